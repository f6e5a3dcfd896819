"""Writes docs/reference.md from the docstrings of everything public: `./dev docs [--check]`."""

import enum
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, Generic

import wherry
from docs.made_page import write
from wherry._base.blocking import Bound, blocking, blocking_classmethod, iterating, making
from wherry._base.elsewhere import Refused
from wherry._base.object import Object

PAGE = Path(__file__).parent / "reference.md"
HEAD = """# Reference

Every public name, made from the docstrings by `./dev docs`. "(reference: X)" names what a symbol follows
in the API that Wherry is compatible with. A method marked `.aio` blocks when called plainly and has an
asynchronous form: `await f.remote.aio(x)`, or `async for` where it iterates.
"""
_BLOCKING = (blocking, blocking_classmethod, iterating, making)


def page() -> str:
    """Return the page's text."""
    parts = [HEAD]
    modules = [name for name in wherry.__all__ if isinstance(getattr(wherry, name), ModuleType)]
    for name in sorted(set(wherry.__all__) - set(modules) - {"__version__"}, key=str.lower):
        if isinstance(getattr(wherry, name), Refused):
            continue  # docs/from-modal.md has it
        parts += _entry(f"wherry.{name}", getattr(wherry, name))
    for name in sorted(modules):
        module = importlib.import_module(f"wherry.{name}")
        parts.append(f"## wherry.{name}\n")
        parts.append(_text(module))
        for own in _names_of(module):
            item = getattr(module, own)
            if isinstance(item, Refused):
                continue
            if getattr(wherry, own, None) is item and own in wherry.__all__:
                parts.append(f"- `{own}`: the same as [wherry.{own}](#{_anchor(f'wherry.{own}')})\n")
            else:
                parts += _entry(f"wherry.{name}.{own}", item, level=3)
    return "\n".join(parts).rstrip() + "\n"


def _names_of(module: ModuleType) -> list[str]:
    found = getattr(module, "__all__", None)
    if found is None:
        found = [name for name, item in vars(module).items() if getattr(item, "__module__", None) == module.__name__]
    return [name for name in found if not name.startswith("_")]


def _entry(name: str, item: Any, level: int = 2) -> list[str]:
    parts = [f"{'#' * level} {name}\n"]
    if inspect.isclass(item) and item.__name__ != name.rpartition(".")[2]:
        return [*parts, f"The same as [wherry.{item.__name__}](#{_anchor(f'wherry.{item.__name__}')}).\n"]
    if inspect.isclass(item):
        if not issubclass(item, enum.Enum):
            parts.append(_code(f"class {name.rpartition('.')[2]}{_signature(item)}{_bases(item)}"))
        parts.append(_text(item))
        for member_name, member in _members(item):
            parts += _member(member_name, member)
    else:
        if isinstance(item, Bound):
            item = item.__wrapped__
        # With the quotes that the formatter wants where this reads as a call.
        parts.append(_code(f"{name.rpartition('.')[2]}{_signature(item)}".replace("'", '"')))
        parts.append(_text(item))
    return parts


def _bases(item: type) -> str:
    known = [base for base in item.__bases__ if base not in (object, Generic)]
    named = [base.__name__ for base in known if base is Object or not _is_part(base)]
    return f"  # is a {', '.join(named)}" if named else ""


def _is_part(base: type) -> bool:
    """Whether a class is private, or stands in a private module: it is part of those that are made of it."""
    return any(part.startswith("_") for part in (*base.__module__.split("."), base.__name__))


def _members(item: type) -> Iterator[tuple[str, Any]]:
    kinds = (FunctionType, classmethod, staticmethod, property, enum.Enum, *_BLOCKING)
    # Parts of a class that stand in modules of their own are not shown as its bases, but as its own.
    parts = [base for base in item.__mro__[1:] if _is_part(base)]
    found = {name: member for part in (*reversed(parts), item) for name, member in vars(part).items()}
    own = vars(item)
    for name, member in sorted(found.items(), key=lambda pair: pair[0] not in own):
        said = getattr(member, "__doc__", None)
        if not name.startswith("_") and isinstance(member, kinds) and said and not said.startswith("Inside wherry"):
            yield name, member


def _member(name: str, member: Any) -> list[str]:
    if isinstance(member, enum.Enum):
        return [f"- `{name}`\n"]
    if isinstance(member, property):
        return [f"**`.{name}`**\n", _text(member)]
    plain = member
    suffix = ""
    if isinstance(member, _BLOCKING):
        plain = member.plain
        suffix = "  (`.aio`)"
    elif isinstance(member, classmethod | staticmethod):
        plain = member.__func__
    return [f"**`.{name}{_signature(plain)}`**{suffix}\n", _text(plain)]


def _signature(item: Any) -> str:
    try:
        signature = inspect.signature(item)
    except (TypeError, ValueError):
        return ""
    parameters = [p.replace(annotation=p.empty) for p in signature.parameters.values() if p.name not in ("self", "cls")]
    shown = [p for p in parameters if not p.name.startswith("_")]
    return str(signature.replace(parameters=shown, return_annotation=signature.empty))


def _text(item: Any) -> str:
    return (inspect.getdoc(item) or "").strip() + "\n"


def _code(text: str) -> str:
    return f"```python\n{text}\n```\n"


def _anchor(name: str) -> str:
    return name.lower().replace(".", "")


if __name__ == "__main__":
    write(PAGE, page, "./dev docs", __doc__)
