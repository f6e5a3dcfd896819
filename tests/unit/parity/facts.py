"""What Modal 1.6.4 has, one fact a line: every public name, parameter, `.aio`, base class, command and flag.

`modal-1.6.4-api.json` and `modal-1.6.4-cli.txt` were made by looking at the installed package from outside: `inspect`
and `--help`. Each fact has a name, which `missing.txt` and the table of `docs/from_modal.py` go by:

    modal.volume                     a module
    modal.Volume                     a name
    modal.Volume.listdir             a member
    modal.Volume.listdir(path=)      a parameter: its name, its place or that it is keyword-only, and its default
    modal.Volume.listdir(*)          that it takes any number of arguments
    modal.Volume.listdir.aio         the asynchronous form
    modal.exception.X < Y            a base class
    modal app list                   a command
    modal app list -e/--env          a flag, with its short form
    modal app list <1>               how many arguments it takes
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
API = HERE / "modal-1.6.4-api.json"
COMMANDS = HERE / "modal-1.6.4-cli.txt"

# Bases that are no names of Modal's, or Python's own below its first.
_HIDDEN_BASES = {"_GRPCErrorWrapper", "GRPCError", "_AbstractPatternMatcher", "Generic", "ReprEnum", "object"}
_BUILTIN = {"IntEnum": int, "Enum": object, "str": str, "dict": dict}


@dataclass(frozen=True)
class Fact:
    """One thing that a program may rely on. `path` is where it is looked up; the rest says what is compared there."""

    name: str
    kind: str
    """module, name, parameter, arguments, keywords, aio, base, command, flag or count"""
    path: str
    detail: str = ""
    """Of a parameter its name, of a base the base's, of a flag its spellings, of a count the number."""
    default: str | None = None
    place: int | None = None
    """Of a parameter that may be given by position: which."""


def api() -> Iterator[Fact]:
    """Yield what a program can import and call."""
    modules = json.loads(API.read_text())
    top = {**modules["modal.types"], **modules["modal"]}
    for module, names in modules.items():
        if module != "modal":
            yield Fact(module, "module", module)
        for name, what in names.items():
            full = f"{module}.{name}"
            if what.get("kind") in ("TypeVar", "ParamSpec", "module"):
                continue  # help for type checkers; modules have a line of their own
            again = module not in ("modal", "modal.types") and ("same" in what or top.get(name) == what)
            if again:
                yield Fact(full, "name", full)
            else:
                yield from _entry(full, what)


def _entry(full: str, what: dict[str, Any]) -> Iterator[Fact]:
    yield Fact(full, "name", full)
    yield from _called(full, what)
    bases = what.get("bases", [])
    for base in bases:
        if base not in _HIDDEN_BASES and not (base in ("Exception", "BaseException") and "Error" in bases):
            yield Fact(f"{full} < {base}", "base", full, base)
    of_python = {name for base in bases for name in dir(_BUILTIN.get(base, object)) if base in _BUILTIN}
    for field in what.get("fields", []):
        yield Fact(f"{full}.{field}", "field", full, field)
    for name, member in what.get("members", {}).items():
        if name in what.get("fields", []) or (name in of_python and name != "__init__"):
            continue
        path = f"{full}.{name}"
        if name != "__init__":
            yield Fact(path, "name", path)
            yield from _called(path, member)
        elif "Enum" not in bases and "IntEnum" not in bases:
            yield from _called(full, member)


def _called(path: str, what: dict[str, Any]) -> Iterator[Fact]:
    for place, written in enumerate(what.get("params", [])):
        how, _, rest = written.partition(" ") if written.startswith(("kw ", "pos ")) else ("", "", written)
        name, _, default = rest.partition("=")
        if name.startswith("**"):
            if path.rpartition(".")[2][0].islower():
                yield Fact(f"{path}(**)", "keywords", path)
        elif name.startswith("*"):
            if path.rpartition(".")[2][0].islower():
                yield Fact(f"{path}(*)", "arguments", path)
        else:
            at = None if how == "kw" else place
            shown = default if "=" in rest else None
            # One that has only a place has no name that a program could see.
            yield Fact(f"{path}({name}=)", "parameter", path, "" if how == "pos" else name, shown, at)
    if what.get("aio"):
        yield Fact(f"{path}.aio", "aio", path)


def commands() -> Iterator[Fact]:
    """Yield the command line: commands, their flags and how many arguments they take."""
    for line in COMMANDS.read_text().splitlines():
        if not line.strip():
            continue
        words, _, rest = line.partition("|")
        command = "modal " + words.replace("[hidden]", "").strip()
        yield Fact(command, "command", command)
        found = rest.split()
        arguments = len([word for word in found if re.fullmatch(r"<.*>", word)])
        if arguments:
            yield Fact(f"{command} <{arguments}>", "count", command, str(arguments))
        for flag in found:
            if flag.startswith("-"):
                yield Fact(f"{command} {flag}", "flag", command, flag)


def everything() -> list[Fact]:
    """Return all facts; no two have one name."""
    return [*api(), *commands()]
