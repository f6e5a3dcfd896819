"""What Wherry has of a fact: it is there and says the same, or what is amiss."""

import ast
import enum
import importlib
import inspect
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from tests.unit.parity.facts import Fact
from wherry._base.blocking import Bound, blocking, blocking_classmethod, iterating, iterating_classmethod, making
from wherry._base.elsewhere import Refused
from wherry._calling.variants import known_changes
from wherry._define.options import known_options

_BLOCKING = (blocking, blocking_classmethod, iterating, iterating_classmethod, making)
_EMPTY = (None, (), [], {}, "", False)
_NO = object()
# Functions that hand `**options` on, and what they know of them; each is called with all in a test of its own.
_OPTIONS: dict[str, Callable[[], Iterable[str]]] = {
    "modal.App.cls": known_options,
    "modal.Function.with_options": known_changes,
    "modal.Cls.with_options": known_changes,
}


def amiss(fact: Fact) -> str | None:
    """Return what is not as the fact says, None where all is."""
    return _CHECKS[fact.kind](fact)


def _module(fact: Fact) -> str | None:
    return None if _imported(fact.path) is not None else "there is no such module"


def _name(fact: Fact) -> str | None:
    return None if _found(fact.path) is not _NO else "there is no such name"


def _field(fact: Fact) -> str | None:
    found = _found(fact.path)
    if found is _NO:
        return "its class is not there"
    if found is _refusing:
        return None
    named = {name for base in found.__mro__ for name in (*vars(base), *vars(base).get("__annotations__", {}))}
    signature = _signature(found)
    return None if fact.detail in named or (signature and fact.detail in signature.parameters) else "no such field"


def _base(fact: Fact) -> str | None:
    found = _found(fact.path)
    if found is _NO:
        return "its class is not there"
    if found is _refusing:
        return None
    bases = [base.__name__ for base in found.__mro__[1:]]
    return None if fact.detail in bases else f"its bases are {', '.join(bases)}"


def _aio(fact: Fact) -> str | None:
    found = _found(fact.path)
    if found is _NO:
        return "it is not there"
    return None if isinstance(found, _BLOCKING) or found is _refusing or hasattr(found, "aio") else "it has no .aio"


def _parameter(fact: Fact) -> str | None:
    found = _found(fact.path)
    if found is _NO:
        return "it is not there"
    if found is _refusing:
        return None
    signature = _signature(found)
    if signature is None:
        return "its parameters can't be seen"
    given = list(signature.parameters.values())
    own = signature.parameters.get(fact.detail)
    if fact.place is not None:
        placed = [one for one in given if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
        many = any(one.kind is one.VAR_POSITIONAL for one in given)
        if fact.place >= len(placed) and not many:
            return f"it takes no argument in place {fact.place + 1}"
        if fact.detail and fact.place < len(placed) and placed[fact.place].name != fact.detail:
            return f"in place {fact.place + 1} it has {placed[fact.place].name}"
    if own is None or own.kind is own.POSITIONAL_ONLY:
        handed_on = fact.path in _OPTIONS and any(one.kind is one.VAR_KEYWORD for one in given)
        if not fact.detail or (handed_on and fact.detail in _OPTIONS[fact.path]()):
            return None
        return "it has no such parameter"
    return _default(fact.default, own)


def _default(theirs: str | None, own: inspect.Parameter) -> str | None:
    if theirs is None:
        return None  # required there: optional here breaks no program
    if own.default is own.empty:
        return f"it is required; there it is {theirs}"
    try:
        value = ast.literal_eval(theirs)
    except (SyntaxError, ValueError):
        return None  # an object of its own
    if value is ... or value == own.default or (value in _EMPTY and own.default in _EMPTY and type(value) is not bool):
        return None
    # What stands for "not said" may say in the docstring what then holds.
    return None if type(own.default).__name__ == "Unset" else f"its default is {own.default!r}, there {theirs}"


def _arguments(fact: Fact) -> str | None:
    found = _found(fact.path)
    if found is _refusing:
        return None
    signature = _signature(found) if found is not _NO else None
    if signature is None:
        return "it is not there"
    kinds = {one.kind for one in signature.parameters.values()}
    wanted = inspect.Parameter.VAR_POSITIONAL if fact.kind == "arguments" else inspect.Parameter.VAR_KEYWORD
    return None if wanted in kinds else "it does not take any number of them"


def _signature(found: Any) -> inspect.Signature | None:
    if isinstance(found, _BLOCKING):
        found, bound = found.plain, True
    elif isinstance(found, Bound):
        found, bound = found.__wrapped__, False
    elif isinstance(found, classmethod):
        found, bound = found.__func__, True
    elif isinstance(found, staticmethod):
        found, bound = found.__func__, False
    else:
        bound = False
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        return None
    given = list(signature.parameters.values())
    if given and (bound or given[0].name in ("self", "cls")) and not inspect.isclass(found):
        given = given[1:]
    # `_warn_parentheses_missing` and the like are ours: they take a place that no program gives.
    return signature.replace(parameters=[one for one in given if not one.name.startswith("_")])


@cache
def _imported(path: str) -> Any:
    if path == "modal":
        return importlib.import_module("wherry")
    try:
        return importlib.import_module(path.replace("modal", "wherry", 1))
    except ModuleNotFoundError:
        return None


def _found(path: str) -> Any:
    """Return the object, unbound, or _NO."""
    parts = path.split(".")
    size = next(n for n in range(len(parts), 0, -1) if _imported(".".join(parts[:n])) is not None)
    if size > 1 and size == len(parts):
        size -= 1  # `modal.functions` is a module, and so may be a name
    found: Any = _imported(".".join(parts[:size]))
    for part in parts[size:]:
        if isinstance(found, Refused):
            return _refusing
        if inspect.isclass(found):
            found = _member(found, part)
        else:
            try:
                found = getattr(found, part, _NO)
            except Exception:  # noqa: BLE001 - what refuses is there
                return _refusing
        if found is _NO:
            return _NO
    return _refusing if isinstance(found, Refused) else found


def _refusing(*args: Any, **known: Any) -> None:
    """Stand for a name that refuses at once, with whatever it is given."""


def _member(owner: type, name: str) -> Any:
    if issubclass(owner, enum.Enum) and name in owner.__members__:
        return owner.__members__[name]
    if name in ("__getattr__", "__aiter__", "__aenter__"):
        return inspect.getattr_static(owner, name, _NO)
    found = inspect.getattr_static(owner, name, _NO)
    if found is _NO and any(name in vars(base).get("__annotations__", {}) for base in owner.__mro__):
        return None
    return found


# The command line


@cache
def _cli() -> Any:
    from wherry.cli.main import commands

    return commands()


def _command(path: str) -> Any:
    found: Any = _cli()
    for word in path.split()[1:]:
        if getattr(found, "hidden", False) and found.context_settings.get("ignore_unknown_options"):
            return found  # it refuses whatever follows
        known = getattr(found, "commands", {})
        if word not in known:
            return None
        found = known[word]
    return found


def _has_command(fact: Fact) -> str | None:
    return None if _command(fact.path) is not None else "there is no such command"


def _flag(fact: Fact) -> str | None:
    command = _command(fact.path)
    if command is None:
        return "there is no such command"
    if command.context_settings.get("ignore_unknown_options"):
        return None
    options = [one for one in command.params if one.param_type_name == "option"]
    known = {name for one in options for name in (*one.opts, *one.secondary_opts)}
    lacking = [name for name in fact.detail.split("/") if name not in known]
    return f"it has no {', '.join(lacking)}" if lacking else None


def _count(fact: Fact) -> str | None:
    command = _command(fact.path)
    if command is None:
        return "there is no such command"
    taken = [one for one in command.params if one.param_type_name == "argument"]
    if command.context_settings.get("allow_extra_args") or any(one.nargs < 0 for one in taken):
        return None
    return None if len(taken) == int(fact.detail) else f"it takes {len(taken)} arguments"


_CHECKS = {
    "module": _module,
    "name": _name,
    "field": _field,
    "base": _base,
    "aio": _aio,
    "parameter": _parameter,
    "arguments": _arguments,
    "keywords": _arguments,
    "command": _has_command,
    "flag": _flag,
    "count": _count,
}
