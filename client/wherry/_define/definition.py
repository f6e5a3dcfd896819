"""How a function is defined: where its code is, and of what kind it is."""

from __future__ import annotations

import sys

from wherry._base.code import has_file, importable_name, innermost, is_written, kind_of, main_of
from wherry._base.hints import TYPE_CHECKING, Any
from wherry._define.names import check_function_name
from wherry.exception import InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

    from wherry._define.options import FunctionOptions
    from wherry._define.recipe import Recipe
    from wherry._define.web_options import WebOptions
    from wherry.secret import Secret
    from wherry_proto.messages import MethodSpec, ParameterSpec


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
        self.name = function.__qualname__ if name is None else check_function_name(name)
        self.is_generator = yields if is_generator is None else is_generator
        self.module_name = importable_name(function.__module__, function)
        self.options = options = options.marked_by(function)
        # How it is reached over HTTP, None: not at all.
        self.web = web
        if name is None and "<locals>" in self.name:
            self.name = function.__name__
        if not self.is_global and not self.sends_itself:
            kind = "a lambda" if function.__name__ == "<lambda>" else "defined inside another function"
            raise InvalidError(
                f"{function.__qualname__} is {kind}, so a container can't import it: move it to the top level "
                "of a module, or use @app.function(serialized=True) to send the function itself"
            )
        if web is not None:
            web.check(self.name, options)
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

    def came_late(self) -> None:
        """Note that its app runs already. In a script that is past what containers import: the code itself is sent."""
        if self.function.__module__ == "__main__":
            from copy import copy  # noqa: PLC0415 - start-up cost: few define functions so late

            self.options = copy(self.options)
            self.options.serialized = True

    @property
    def _written(self) -> Any:
        """A function that is where the definition is."""
        return self.function

    @property
    def shipped(self) -> Any:
        """What is pickled where the code itself is sent."""
        return self.function

    def web_names(self, name: str) -> list[str]:
        """Return the names of its web endpoints; `name` is its own."""
        return [name] if self.web is not None else []

    # Of classes.
    is_class = False
    needs_parameters = False

    def image_on(self, recipe: Recipe, secrets: Sequence[Secret]) -> Recipe:
        """Return the image of its containers, made of that one; `secrets` are its app's."""
        return recipe

    def parameter_specs(self) -> list[ParameterSpec]:
        """Describe a class's parameters for the service."""
        return []

    def method_specs(self) -> list[MethodSpec]:
        """Describe a class's methods for the service."""
        return []

    @property
    def module(self) -> ModuleType | None:
        """The module that defines it; of a script, the one that runs."""
        name = self.function.__module__
        return main_of(self.function) if name == "__main__" else sys.modules.get(name)

    def is_again(self, known: Definition) -> bool:
        """Whether this is another one's function, defined again: its module was reloaded, or a cell has run again."""
        mine, theirs = self.function, known.function
        if mine.__qualname__ != theirs.__qualname__:
            return False
        own_file = _file_of(self)
        if self.module_name != known.module_name and (not own_file or own_file != _file_of(known)):
            return False
        # Code that runs again is compiled, or read, again. Not so in a shell, where what one cell has defined makes
        # functions in others.
        code = getattr(innermost(mine), "__code__", None)
        is_shell = mine.__module__ == "__main__" and not own_file
        return is_shell or mine is theirs or code is None or code is not getattr(innermost(theirs), "__code__", None)


def _file_of(definition: Definition) -> str | None:
    module = definition.module
    return getattr(module, "__file__", None) if has_file(module) else None


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
