"""Tracebacks as a terminal shows them: the user's own frames, in colour, and a hint where one helps."""

import functools
import inspect
import re
import sys
import traceback
from collections.abc import Iterator
from types import FrameType
from typing import Any

from wherry._base import modal_name
from wherry._base.misuse import near
from wherry._connection.failure import hide_internals
from wherry._screen.harmless import harmless
from wherry._screen.stream import ScreenStream
from wherry.function import Function

_FILE = re.compile(r'(\s*)(File "(?:.*)", line \d+)(.*)')
# A line below a source line that points at a part of it.
_POINTER = re.compile(r"\s+[\^~]+\s*\Z")
_UNEXPECTED = re.compile(r"(?:([\w.<>]+)\(\) )?got an unexpected keyword argument '(\w+)'")
_DIM, _BOLD, _RED, _CYAN, _END = "\x1b[2m", "\x1b[1m", "\x1b[1;31m", "\x1b[36m", "\x1b[0m"


def show_error(error: BaseException) -> None:
    """Print an exception as Python does, without our own frames and those of the import machinery."""
    hide_internals(error)
    hint = hint_of(error)
    text = "".join(line for line in traceback.format_exception(error) if 'File "<frozen importlib' not in line)
    if hint:
        text += f"{hint}\n"
    stream = ScreenStream(sys.stderr)
    stream.write(coloured(text) if stream.isatty() else text)


def coloured(text: str) -> str:
    """Return a traceback in colour: where, the source line, what. What others wrote in it steers no terminal."""
    return "".join(_lines(harmless(text).splitlines(keepends=True)))


def _lines(lines: list[str]) -> Iterator[str]:
    within = False
    for line in lines:
        bare = line.rstrip("\n")
        end = line[len(bare) :]
        if bare.startswith("Traceback (most recent"):
            within = True
            yield f"{_DIM}{bare}{_END}{end}"
        elif match := _FILE.fullmatch(bare):
            within = True
            yield f"{match[1]}{_CYAN}{match[2]}{_END}{match[3]}{end}"
        elif within and _POINTER.match(bare):
            yield f"{_RED}{bare}{_END}{end}"
        elif within and bare.startswith("    "):
            yield f"{_BOLD}{bare}{_END}{end}"
        elif bare.startswith("hint: "):
            yield f"{_CYAN}{bare}{_END}{end}"
        elif within and bare and not bare.startswith(" "):
            within = False
            name, colon, rest = bare.partition(":")
            yield f"{_RED}{name}{colon}{_END}{rest}{end}"
        else:
            yield line


def hint_of(error: BaseException) -> str:
    """Return a line that helps with an error, "" where none is known: which parameter may have been meant."""
    try:
        return _hint_of(error)
    except Exception:  # noqa: BLE001 - objects of the user's may raise anything; the error is what is to be seen
        return ""


def _hint_of(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name == modal_name.NAME:
        return "hint: programs that `import modal` run as they are with --modal, or WHERRY_MODAL=1"
    found = _UNEXPECTED.search(str(error)) if type(error) is TypeError else None
    if found is None or "did you mean" in str(error).lower():
        return ""
    name, argument = found[1] or "", found[2]
    known = _parameters(name, error)
    meant = near(argument, known) if known else ""
    return f"hint: {name or 'it'} has no parameter {argument!r}{meant}" if meant else ""


def _parameters(name: str, error: BaseException) -> list[str]:
    """Return the parameters of a function that a frame of a traceback knows by its qualified name."""
    trace = error.__traceback__
    frames: list[FrameType] = []
    while trace is not None:
        frames.append(trace.tb_frame)
        trace = trace.tb_next
    for frame in reversed(frames):
        for function in _named(name, frame):
            try:
                parameters = inspect.signature(function).parameters.values()
            except (TypeError, ValueError):
                continue
            return [one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    return []


def _named(name: str, frame: FrameType) -> Iterator[Any]:
    first, *others = name.split(".")
    for known in (frame.f_locals.get(first), frame.f_globals.get(first), getattr(sys.modules["wherry"], first, None)):
        found: Any = functools.reduce(lambda owner, attribute: getattr(owner, attribute, None), others, known)
        if isinstance(found, Function) and found.definition is None:
            # Looked up: its code is not here.
            continue
        # Of a handle: what was decorated has the parameters.
        function = found.get_raw_f() if isinstance(found, Function) else found
        if callable(function):
            yield function
