"""A function's parameters as command line options."""

import datetime
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import typer

from wherry.exception import InvalidError

_EMPTY = inspect.Parameter.empty
_SIMPLE = (str, int, float, bool)
# What help texts say that an option takes.
_WORDS = {str: "TEXT", int: "INTEGER", float: "NUMBER"}
_DATES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S.%f"]


def parse(function: Callable[..., Any], name: str, args: list[str]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the positional and keyword arguments that `args` mean for the function.

    Raises InvalidError for a parameter that can't be an option. Exits with 2, having said why, on arguments that do
    not fit, and with 0 after `--help`.
    """
    parsed: tuple[tuple[Any, ...], dict[str, Any]] | None = None
    parameters = list(inspect.signature(function).parameters.values())
    hints = _hints(function)
    variadic = next((item.name for item in parameters if item.kind is inspect.Parameter.VAR_POSITIONAL), None)

    def keep(**values: Any) -> None:
        nonlocal parsed
        for item in parameters:
            if item.name != variadic and isinstance(values.get(item.name), list) and not values[item.name]:
                # Not given: a list that is a default is not made anew.
                values[item.name] = item.default
        rest = tuple(values.pop(variadic) or ()) if variadic is not None else ()
        if not rest:
            parsed = (), values
            return
        # Arguments after named parameters can only be passed by position.
        before = [item for item in parameters if item.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
        parsed = (*(values.pop(item.name, item.default) for item in before), *rest), values

    options = [option for item in parameters if (option := _option(item, hints.get(item.name, _EMPTY))) is not None]
    keep.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    keep.__annotations__ = {option.name: option.annotation for option in options}
    keep.__doc__ = _help(function, [item for item in parameters if item.name not in keep.__annotations__])
    command = typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"max_content_width": 120, "help_option_names": ["-h", "--help"]},
    )
    command.command(name)(keep)
    try:
        command(args, prog_name=f"wherry run {name}")
    except SystemExit:
        if parsed is None:
            raise
    assert parsed is not None
    return parsed


def _help(function: Callable[..., Any], left_out: list[inspect.Parameter]) -> str:
    """Return the text above the options: the docstring, and what is no option, so that nobody looks for it."""
    shown = ", ".join(item.name for item in left_out if item.kind is not inspect.Parameter.VAR_KEYWORD)
    note = f"Not an option, since its type can't be one: {shown}. It keeps its default." if shown else ""
    return "\n\n".join(text for text in (inspect.getdoc(function) or "", note) if text)


def _option(parameter: inspect.Parameter, hint: Any) -> inspect.Parameter | None:
    """Return the parameter as typer wants it; None when it can only keep its default."""
    name, default = parameter.name, parameter.default
    if parameter.kind is inspect.Parameter.VAR_KEYWORD:
        return None
    if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
        raise InvalidError(f"parameter {name!r} is positional-only, so it can't be an option")
    required = default is _EMPTY
    if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
        kind, extra = _type_of(name, str if hint is _EMPTY else hint)
        extra["metavar"] = f"{name.upper()}..."
        return _made(name, list[kind] | None, typer.Argument(None, **extra))  # type: ignore[valid-type]
    if hint is _EMPTY:
        hint = str if required or default is None else type(default)
    hint, optional = _without_none(hint)
    try:
        kind, extra = _type_of(name, hint)
    except InvalidError:
        if required:
            raise
        return None
    if required:
        default = None if optional else ...
    annotation = kind | None if default is None else kind
    return _made(name, annotation, typer.Option(default, *_flags(name, hint), **extra))


def _made(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _flags(name: str, hint: Any) -> list[str]:
    flag = name.replace("_", "-")
    if hint is bool:
        return [f"--{flag}/--no-{flag}"]
    # Spelled as in the code it works too.
    return [f"--{flag}", *([f"--{name}"] if flag != name else [])]


def _type_of(name: str, hint: Any) -> tuple[Any, dict[str, Any]]:
    """Return the annotation for typer, and what else it needs to know."""
    if hint in _SIMPLE:
        return hint, {"metavar": _WORDS.get(hint)}
    if hint is datetime.datetime:
        return hint, {"formats": _DATES, "metavar": "DATE"}
    if hint in (list, Sequence, Iterable):
        return list[str], {"metavar": _WORDS[str]}
    if typing.get_origin(hint) in (list, Sequence, Iterable) and (own := typing.get_args(hint)[0]) in _SIMPLE:
        return list[own], {"metavar": _WORDS.get(own)}  # type: ignore[valid-type]
    if typing.get_origin(hint) is typing.Literal:
        values = typing.get_args(hint)
        return str, {"parser": _one_of(values), "metavar": "[" + "|".join(map(str, values)) + "]"}
    shown = getattr(hint, "__name__", str(hint))
    raise InvalidError(
        f"parameter {name!r} has type {shown}, which can't be an option: use str, int, float, bool, datetime, "
        "Literal, a list of simple ones, or Optional of one of these"
    )


def _one_of(values: tuple[Any, ...]) -> Callable[[Any], Any]:
    def parse_value(text: Any) -> Any:
        for value in values:
            if text == value or text == str(value):
                return value
        raise typer.BadParameter(f"{text!r} is not one of {', '.join(map(repr, map(str, values)))}")

    return parse_value


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
