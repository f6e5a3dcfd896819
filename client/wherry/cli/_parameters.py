"""A function's parameters as command line options."""

import datetime
import inspect
import types
import typing
from collections.abc import Callable
from typing import Any

import click

from wherry.exception import InvalidError

_SIMPLE: dict[Any, click.ParamType[Any]] = {
    str: click.STRING,
    int: click.INT,
    float: click.FLOAT,
    datetime.datetime: click.DateTime(
        ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S.%f"]
    ),
}


def parse(function: Callable[..., Any], name: str, args: list[str]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the positional and keyword arguments that `args` mean for the function.

    Raises click's UsageError for what does not fit, InvalidError for a parameter that can't be an option.
    """
    parsed: tuple[tuple[Any, ...], dict[str, Any]] | None = None
    parameters = inspect.signature(function).parameters.values()
    hints = _hints(function)
    variadic = next((item.name for item in parameters if item.kind is inspect.Parameter.VAR_POSITIONAL), None)
    options = [
        _parameter(item, hints.get(item.name, inspect.Parameter.empty))
        for item in parameters
        if item.kind is not inspect.Parameter.VAR_KEYWORD
    ]

    def keep(**values: Any) -> None:
        nonlocal parsed
        rest = tuple(values.pop(variadic)) if variadic is not None else ()
        if not rest:
            parsed = (), values
            return
        # Arguments after named parameters can only be passed by position.
        positional = [
            values.pop(item.name) for item in parameters if item.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        ]
        parsed = (*positional, *rest), values

    command = click.Command(name, params=options, callback=keep, help=inspect.getdoc(function))
    command.main(args=args, prog_name=f"wherry run {name}", standalone_mode=False)
    if parsed is None:
        # --help was asked for, and shown.
        raise SystemExit(0)
    return parsed


def _parameter(parameter: inspect.Parameter, hint: Any) -> click.Parameter:
    name = parameter.name
    default = parameter.default
    if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
        return click.Argument([name], nargs=-1, type=_type_of(name, str if hint is inspect.Parameter.empty else hint))
    required = default is inspect.Parameter.empty
    if hint is inspect.Parameter.empty:
        hint = str if required or default is None else type(default)
    hint, optional = _without_none(hint)
    if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
        raise InvalidError(f"parameter {name!r} is positional-only, so it can't be an option")
    flag = name.replace("_", "-")
    common: dict[str, Any] = {"required": required and not optional}
    if not required:
        common["default"] = default
        common["show_default"] = default is not None
    if hint is bool:
        return click.Option([f"--{flag}/--no-{flag}", name], **common)
    names = [f"--{flag}", *([f"--{name}"] if flag != name else []), name]
    try:
        return click.Option(names, type=_type_of(name, hint), **common)
    except InvalidError:
        if required:
            raise
        # What has a default of a type that can't be written may stay as it is.
        return click.Option(names, type=click.UNPROCESSED, hidden=True, default=default)


def _type_of(name: str, hint: Any) -> click.ParamType[Any]:
    simple = _SIMPLE.get(hint)
    if simple is not None:
        return simple
    if hint is bool:
        return click.BOOL
    if typing.get_origin(hint) is typing.Literal:
        return _Literal(typing.get_args(hint))
    shown = getattr(hint, "__name__", str(hint))
    raise InvalidError(
        f"parameter {name!r} has type {shown}, which can't be an option: use str, int, float, bool, datetime, "
        "Literal, or Optional of one of these"
    )


class _Literal(click.Choice[Any]):
    """A choice that gives back the literal itself, not its text."""

    def __init__(self, values: tuple[Any, ...]) -> None:
        super().__init__([str(value) for value in values])
        self._values = values

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value in self._values:
            return value
        text = super().convert(value, param, ctx)
        return next(item for item in self._values if str(item) == text)


def _without_none(hint: Any) -> tuple[Any, bool]:
    """Return X for Optional[X], and whether it was optional."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        args = [item for item in typing.get_args(hint) if item is not type(None)]
        if len(args) == 1 and len(typing.get_args(hint)) == 2:
            return args[0], True
    return hint, False


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError):
        # Names that exist for type checkers only.
        return {name: hint for name, hint in function.__annotations__.items() if not isinstance(hint, str)}
