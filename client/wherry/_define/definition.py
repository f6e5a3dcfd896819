"""How a function is defined: where its code is, and of what kind it is."""

from __future__ import annotations

import sys

from wherry._base.code import importable_name, innermost, is_written, kind_of, main_of
from wherry._base.hints import TYPE_CHECKING, Any
from wherry._define.marks import batched_mark, concurrent_mark
from wherry.exception import InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from wherry._classes.blueprint import Blueprint
    from wherry._define.options import FunctionOptions
    from wherry._define.web_options import WebOptions
    from wherry_proto.messages import MethodSpec


# A bit of `co_flags`.
_VARARGS = 0x04


class Definition:
    """A function of the user's, and what it asks for. (reference: Function.info)"""

    __slots__ = ("function", "is_async", "is_generator", "module_name", "name", "options", "web")

    def __init__(
        self,
        function: Callable[..., Any],
        name: str | None,
        is_generator: bool | None,
        options: FunctionOptions,
        web: WebOptions | None = None,
    ) -> None:
        yields, self.is_async = kind_of(function)
        self.function = function
        self.name = name or function.__qualname__
        self.is_generator = yields if is_generator is None else is_generator
        self.module_name = importable_name(function.__module__, function)
        self.options = options = options.marked_by(function)
        # How it is reached over HTTP, None: not at all.
        self.web = web
        if not name and "<locals>" in self.name:
            self.name = function.__name__
        if not self.is_global and not self.sends_itself:
            kind = "a lambda" if function.__name__ == "<lambda>" else "defined inside another function"
            raise InvalidError(
                f"{function.__qualname__} is {kind}, so a container can't import it: move it to the top level "
                "of a module, or use @app.function(serialized=True) to send the function itself"
            )
        if web is not None:
            from wherry._define.web_options import check_options  # loaded with the decorator

            check_options(self.name, web, options)
        if options.schedule is not None:
            _check_scheduled(self.name, function, options, web is not None)
        if self.is_generator and options.retries is not None and options.retries.max_retries:
            raise InvalidError(f"{self.name} is a generator function: retries= does not work with it, leave it out")
        if self.is_generator and options.max_batch_size:
            raise InvalidError(
                f"{self.name} is a generator function: @wherry.batched() does not work with it; return a list instead"
            )

    @property
    def is_global(self) -> bool:
        """Whether the function can be found by importing its module."""
        return "<locals>" not in self.function.__qualname__ and self.function.__name__ != "<lambda>"

    @property
    def sends_itself(self) -> bool:
        """Whether the function itself is sent, not its module: that was asked for, or no file has it."""
        return self.options.serialized or not is_written(self._written, self.function.__qualname__, self.module)

    @property
    def _written(self) -> Any:
        """A function that is where the definition is."""
        return self.function

    @property
    def shipped(self) -> Any:
        """What is pickled where the code itself is sent."""
        return self.function

    @property
    def module(self) -> ModuleType | None:
        name = self.function.__module__
        return main_of(self.function) if name == "__main__" else sys.modules.get(name)

    def is_again(self, known: Definition) -> bool:
        """Whether this is another one's function, defined again: its module was reloaded, or a cell has run again."""
        mine, theirs = self.function, known.function
        if mine.__qualname__ != theirs.__qualname__:
            return False
        own_file = getattr(self.module, "__file__", None)
        if self.module_name != known.module_name and (not own_file or own_file != _file_of(known)):
            return False
        # Code that runs again is compiled, or read, again. Not so in a shell, where what one cell has defined makes
        # functions in others.
        code = getattr(innermost(mine), "__code__", None)
        is_shell = mine.__module__ == "__main__" and not own_file
        return is_shell or mine is theirs or code is None or code is not getattr(innermost(theirs), "__code__", None)


class ClassDefinition(Definition):
    """A class of the user's, and what it asks for."""

    __slots__ = ("blueprint",)

    def __init__(self, blueprint: Blueprint, name: str | None, options: FunctionOptions) -> None:
        user_class = blueprint.user_class
        self.blueprint = blueprint
        self.function = user_class
        self.name = name or user_class.__name__
        self.is_generator = self.is_async = False
        self.web = None
        self.module_name = importable_name(user_class.__module__, _function_in(user_class))
        self.options = options = _marked_by_methods(blueprint, options.marked_by(user_class))
        if options.schedule is not None:
            raise InvalidError(
                f"class {self.name} has schedule=, which does not say what is to run: give it to an @app.function() "
                "that calls a method"
            )
        if not self.is_global and not self.sends_itself:
            raise InvalidError(
                f"class {user_class.__qualname__} is defined inside a function, so a container can't import it: move "
                "it to the top level of a module, or use @app.cls(serialized=True) to send the class itself"
            )

    @property
    def module(self) -> ModuleType | None:
        name = self.function.__module__
        return main_of(_function_in(self.function)) if name == "__main__" else sys.modules.get(name)

    @property
    def _written(self) -> Any:
        return _function_in(self.function)

    @property
    def shipped(self) -> Any:
        return _SentClass(self.blueprint.user_class, self.name)

    def method_specs(self) -> list[MethodSpec]:
        """Describe the methods for the service."""
        from wherry_proto.messages import MethodSpec  # not needed to import wherry

        found = []
        for name, partial in self.blueprint.methods.items():
            is_generator, is_async = kind_of(partial.raw_f)
            if partial.is_generator is not None:
                is_generator = partial.is_generator
            web = getattr(partial, "web", None)
            found.append(
                MethodSpec(
                    name=name,
                    is_generator=is_generator,
                    is_async=is_async,
                    web=web.message() if web is not None else None,
                )
            )
        return found


def _marked_by_methods(blueprint: Blueprint, options: FunctionOptions) -> FunctionOptions:
    """Return the options with what marks on methods add; raise InvalidError for marks that can't be there."""
    name = blueprint.user_class.__name__
    for own, partial in blueprint.methods.items():
        web = getattr(partial, "web", None)
        if web is not None:
            from wherry._define.web_options import check_options  # loaded with the decorator

            check_options(f"{name}.{own}", web, options)
            if blueprint.required:
                raise InvalidError(
                    f"{name}.{own} is a web endpoint, and {name} can't be made without {blueprint.required[0]}=: give "
                    "it a default, since nobody passes it when a request comes"
                )
        if concurrent_mark(partial.raw_f) is not None:
            raise InvalidError(
                f"@wherry.concurrent() is on method {name}.{own}: put it below @app.cls(), since all methods of a "
                "class share its containers"
            )
        if batched_mark(partial.raw_f) is not None:
            others = [other for other in blueprint.methods if other != own]
            if others:
                raise InvalidError(
                    f"class {name} has @wherry.batched() on {own}, and method {others[0]} beside it: a batch is of one "
                    "method, so move the others to a class of their own"
                )
            options = options.marked_by(partial.raw_f)
    return options


class _SentClass:
    """Arrives in the container as the class's handle."""

    def __init__(self, user_class: type, name: str) -> None:
        self._user_class = user_class
        self._name = name

    def __reduce__(self) -> Any:
        from wherry.cls import received  # above us: it makes handles

        return received, (self._user_class, "", self._name)


def _file_of(definition: Definition) -> str | None:
    return getattr(definition.module, "__file__", None)


def _function_in(user_class: Any) -> Any:
    """Return a function that is defined in a class."""
    from wherry._classes.partial import PartialFunction  # above us: methods are made there

    found = [value.raw_f if isinstance(value, PartialFunction) else value for value in vars(user_class).values()]
    return next((value for value in found if getattr(value, "__module__", None) == user_class.__module__), None)


def _check_scheduled(name: str, function: Any, options: FunctionOptions, is_web: bool) -> None:
    """Raise InvalidError where a function with a schedule is one that nobody but a caller can run."""
    if is_web:
        raise InvalidError(f"{name} is a web endpoint, which requests run: give schedule= to a function of its own")
    if options.max_batch_size:
        raise InvalidError(f"{name} has @wherry.batched(), and a schedule has no inputs to batch: leave out either")
    # A wrapper that takes whatever it is given hands it on.
    while hasattr(function, "__wrapped__") and _takes_all(function):
        function = function.__wrapped__
    code = function.__code__
    defaults, keyword_defaults = function.__defaults__ or (), function.__kwdefaults__ or {}
    names = code.co_varnames
    needed = [*names[: code.co_argcount - len(defaults)]]
    keyword_only = names[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    needed += [one for one in keyword_only if one not in keyword_defaults]
    if needed:
        raise InvalidError(
            f"{name} has a schedule, and needs {', '.join(needed)}: a schedule passes nothing, so give "
            f"{'it a default' if len(needed) == 1 else 'each a default'}"
        )


def _takes_all(function: Any) -> bool:
    code = getattr(function, "__code__", None)
    return code is None or bool(code.co_flags & _VARARGS)
