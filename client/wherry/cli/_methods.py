"""Methods of classes on the command line: the class's arguments and the method's are options together."""

import inspect
import typing
from collections.abc import Callable
from typing import Any

from wherry._classes.blueprint import Blueprint
from wherry._classes.definition import ClassDefinition
from wherry._classes.parameters import MISSING
from wherry._classes.partial import HANDLE
from wherry.app import App
from wherry.exception import InvalidError
from wherry.function import Function

_BY_NAME = inspect.Parameter.KEYWORD_ONLY


class MethodTarget:
    """What `file.py::Class.method` names."""

    def __init__(self, app: App, blueprint: Blueprint, name: str) -> None:
        self.app = app
        self.name = f"{blueprint.user_class.__name__}.{name}"
        self._method = name
        self._blueprint = blueprint
        self._class_handle = getattr(blueprint.user_class, HANDLE).cls

    @property
    def signature(self) -> Callable[..., Any]:
        """A function with all these parameters; raise InvalidError where two have one name."""
        of_class = _class_parameters(self._blueprint)
        method = self._blueprint.methods[self._method].raw_f
        of_method = _parameters(method)[1:]
        if both := {item.name for item in of_class} & {item.name for item in of_method}:
            raise InvalidError(f"{self.name} and its class both have a parameter {both.pop()!r}: call it from Python")
        rest = [item for item in of_method if item.kind is item.VAR_KEYWORD]
        first = [item for item in of_method if item.kind is not item.VAR_KEYWORD]
        return _options(method.__doc__, [*first, *of_class, *rest])

    def bind(self, kwargs: dict[str, Any]) -> tuple[Function[..., Any], dict[str, Any]]:
        """Return the method of an object made with its share of the options, and the rest of them."""
        names = [item.name for item in _class_parameters(self._blueprint)]
        own = {name: kwargs[name] for name in names if name in kwargs}
        rest = {name: value for name, value in kwargs.items() if name not in own}
        return getattr(self._class_handle(**own), self._method), rest


def methods_of(app: App) -> dict[str, MethodTarget]:
    """Return the methods of an app's classes, as `Class.method`."""
    found: dict[str, MethodTarget] = {}
    for definition in app.__wherry_owner__.plan().definitions:
        if isinstance(definition, ClassDefinition):
            for method in definition.blueprint.methods:
                found[f"{definition.name}.{method}"] = MethodTarget(app, definition.blueprint, method)
    return found


def _class_parameters(blueprint: Blueprint) -> list[inspect.Parameter]:
    if not blueprint.parameters:
        init: Any = getattr(blueprint.user_class, "__init__", None)
        given = _parameters(init)[1:] if init is not object.__init__ else []
        named = [item for item in given if item.kind not in (item.VAR_POSITIONAL, item.VAR_KEYWORD)]
        return [item.replace(kind=_BY_NAME) for item in named]
    return [
        inspect.Parameter(
            name, _BY_NAME, default=inspect.Parameter.empty if default is MISSING else default, annotation=hint
        )
        for name, hint, default in blueprint.parameters.options()
    ]


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return a function's parameters, their annotations evaluated as far as they can be."""
    try:
        hints = typing.get_type_hints(function)
    except (NameError, TypeError):
        # Names that exist for type checkers only.
        hints = {}
    parameters = inspect.signature(function).parameters.values()
    return [item.replace(annotation=hints.get(item.name, _evaluated(item.annotation))) for item in parameters]


def _evaluated(annotation: Any) -> Any:
    return inspect.Parameter.empty if isinstance(annotation, str) else annotation


def _options(doc: str | None, parameters: list[inspect.Parameter]) -> Callable[..., Any]:
    """Return a function that has these parameters; it is never called."""

    def options() -> None: ...

    options.__doc__ = doc
    options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    annotated = [item for item in parameters if item.annotation is not inspect.Parameter.empty]
    options.__annotations__ = {item.name: item.annotation for item in annotated}
    return options
