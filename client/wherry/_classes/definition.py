"""How a class is defined: where its code is, and what its methods add to its options."""

from __future__ import annotations

import sys

from wherry._base.code import importable_name, kind_of, main_of
from wherry._base.hints import TYPE_CHECKING, Any
from wherry._classes.partial import PartialFunction
from wherry._define.definition import Definition
from wherry._define.marks import batched_mark, concurrent_mark
from wherry._define.names import check_function_name
from wherry.exception import InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

    from wherry._classes.blueprint import Blueprint
    from wherry._define.options import FunctionOptions
    from wherry._define.recipe import Recipe
    from wherry.secret import Secret
    from wherry_proto.messages import MethodSpec, ParameterSpec


class ClassDefinition(Definition):
    """A class of the user's, and what it asks for."""

    __slots__ = ("_sent", "blueprint")

    is_class = True

    def __init__(
        self, blueprint: Blueprint, name: str | None, options: FunctionOptions, sent: Callable[[type, str], Any]
    ) -> None:
        user_class = blueprint.user_class
        self.blueprint = blueprint
        # What is pickled where the class itself is sent.
        self._sent = sent
        self.function = user_class
        self.name = user_class.__name__ if name is None else check_function_name(name)
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
        """As of a function; a class does not say itself which of two scripts it is in."""
        name = self.function.__module__
        return main_of(_function_in(self.function)) if name == "__main__" else sys.modules.get(name)

    @property
    def _written(self) -> Any:
        return _function_in(self.function)

    @property
    def shipped(self) -> Any:
        """What is pickled where the class itself is sent."""
        return self._sent(self.blueprint.user_class, self.name)

    @property
    def needs_parameters(self) -> bool:  # type: ignore[override]
        """Whether no object can be made without arguments."""
        return bool(self.blueprint.required)

    def web_names(self, name: str) -> list[str]:
        """Return the names of the methods that are web endpoints, with the class's before them."""
        methods = self.blueprint.methods.items()
        return [f"{name}.{own}" for own, partial in methods if getattr(partial, "web", None) is not None]

    def parameter_specs(self) -> list[ParameterSpec]:
        """Describe the parameters that requests, and calls from other languages, may give."""
        return self.blueprint.parameters.specs()

    def image_on(self, recipe: Recipe, secrets: Sequence[Secret]) -> Recipe:
        """Return the image of its containers, made of that one: its methods with `@build()` have run in it."""
        if not self.blueprint.builds:
            return recipe
        from wherry._classes.building import built  # noqa: PLC0415 - start-up cost: only for classes that have such

        return built(recipe, self, secrets)

    def method_specs(self) -> list[MethodSpec]:
        """Describe the methods for the service."""
        from wherry_proto.messages import MethodSpec  # noqa: PLC0415 - start-up cost: not needed to import wherry

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
            web.check(f"{name}.{own}", options)
            if blueprint.required and not blueprint.parameters:
                raise InvalidError(
                    f"{name}.{own} is a web endpoint, and {name} can't be made without {blueprint.required[0]}=: give "
                    f"it a default, or declare it in the class, as in `{blueprint.required[0]}: str = "
                    "wherry.parameter()`: then requests say it in their query"
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


def _function_in(user_class: Any) -> Any:
    """Return a function that is defined in a class."""
    found = [value.raw_f if isinstance(value, PartialFunction) else value for value in vars(user_class).values()]
    return next((value for value in found if getattr(value, "__module__", None) == user_class.__module__), None)
