"""An exception as a `failure` frame: text always, the exception itself where it can be pickled."""

from __future__ import annotations

import os
import sys
from traceback import format_exception, format_tb
from types import TracebackType
from typing import TYPE_CHECKING, Any

from wherry_runner import errors

if TYPE_CHECKING:
    from wherry_runner.frames import Header


MAX_TYPE = 256
MAX_MESSAGE = 64 << 10
MAX_TRACEBACK = 256 << 10
# Control characters grow sixfold in JSON: the whole text stays far below a header's 1 MiB.
_MAX_ESCAPED = 900 << 10
_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep


def describe(error: BaseException, kind: str = "exception", hint: str = "") -> tuple[Header, bytes]:
    """Return a failure's fields and its pickle (`errors.dumps`), empty where impossible.

    Raises nothing, whatever the exception does while it is looked at: an input must be answered.
    """
    try:
        clean(error)
        trace = error.__traceback__
        if hint:
            _add_note(error, hint)
        data = errors.dumps(error, _type_name, _text)
        return fields(kind, _type_name(error), _message(error, hint), _traceback_text(error, trace, hint)), data
    except BaseException as second:  # user code runs in all of these  # noqa: BLE001
        text = f"<it can't be shown: {_type_name(second)} while it was looked at>"
        return fields(kind, _type_name(error), f"{text}\n{hint}" if hint else text), b""


def text_of(error: BaseException) -> str:
    """Return an exception with its traceback, as Python prints it; raises nothing."""
    header, _ = describe(error)
    return str(header["traceback"]) or f"{header['type']}: {header['message']}\n"


def fields(kind: str, type_name: str, message: str, traceback: str = "") -> Header:
    """Return the fields of a failure, trimmed to the protocol's limits."""
    header: Header = {
        "kind": kind,
        "type": _cut(type_name, MAX_TYPE),
        "message": _cut(message, MAX_MESSAGE),
        "traceback": _cut_middle(traceback, MAX_TRACEBACK),
    }
    while _escaped_size(header) > _MAX_ESCAPED:
        header["message"] = _cut(header["message"], len(header["message"]) // 2)
        header["traceback"] = _cut_middle(header["traceback"], len(header["traceback"]) // 2)
    return header


def cancelled(traceback: str = "") -> tuple[Header, bytes]:
    """Return the failure of a cancelled input."""
    return fields("cancelled", "wherry.exception.InputCancellation", "the input was cancelled", traceback), b""


def timed_out(timeout_s: float, traceback: str = "") -> tuple[Header, bytes]:
    """Return the failure of an input that ran too long."""
    message = f"the function ran over its timeout of {timeout_s:g} s"
    return fields("timeout", "wherry.exception.FunctionTimeoutError", message, traceback), b""


def clean(error: BaseException) -> None:
    """Drop Wherry's own frames, and the import machinery's, from an exception and from all that it leads to."""
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting and len(seen) < _MAX_CLEANED:
        current = waiting.pop()
        if id(current) in seen or not issubclass(type(current), BaseException):
            continue
        seen.add(id(current))
        # Not by assignment: a class may refuse that.
        BaseException.with_traceback(current, _without_internals(current.__traceback__))
        waiting += [current.__cause__, current.__context__]
        # Groups are newer than the oldest Python that a container may have.
        members = getattr(current, "exceptions", None)
        if isinstance(members, tuple):
            waiting += members


_MAX_CLEANED = 10_000


def _without_internals(trace: TracebackType | None) -> TracebackType | None:
    internal = (_HERE, "<frozen importlib", *_sdk())
    kept: list[TracebackType] = []
    while trace is not None:
        if not trace.tb_frame.f_code.co_filename.startswith(internal):
            kept.append(trace)
        trace = trace.tb_next
    chain: TracebackType | None = None
    for node in reversed(kept):
        chain = TracebackType(chain, node.tb_frame, node.tb_lasti, node.tb_lineno)
    return chain


def _sdk() -> tuple[str, ...]:
    """Where the SDK's files are, if user code has imported it."""
    file = getattr(sys.modules.get("wherry.exception"), "__file__", None)
    return (os.path.dirname(file) + os.sep,) if isinstance(file, str) else ()


def _type_name(error: BaseException) -> str:
    cls = type(error)
    try:
        return f"{cls.__module__}.{cls.__qualname__}"
    except BaseException:  # a metaclass may raise anything  # noqa: BLE001
        return str(_NAME(cls))


_NAME: Any = type.__dict__["__name__"].__get__


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as second:  # a user's __str__ may raise anything  # noqa: BLE001
        return f"<its message can't be shown: __str__ raised {type(second).__name__}>"


def _message(error: BaseException, hint: str) -> str:
    text = _text(error)
    return f"{text}\n{hint}" if hint else text


def _traceback_text(error: BaseException, trace: TracebackType | None, hint: str) -> str:
    try:
        text = "".join(format_exception(type(error), error, trace))
    except BaseException as second:  # it runs code of the exception's, too  # noqa: BLE001
        lines = ["Traceback (most recent call last):\n", *format_tb(trace)] if trace is not None else []
        lines += [f"{_type_name(error)}: {_text(error)}\n", f"<{_type_name(second)} while it was formatted>\n"]
        text = "".join(lines)
    return text if not hint or hint in text else f"{text}{hint}\n"


def _add_note(error: BaseException, note: str) -> None:
    try:
        notes = list(getattr(error, "__notes__", ()))
        error.__notes__ = [*notes, note]
    except BaseException:  # it may have no __dict__, or a __setattr__ that refuses  # noqa: BLE001
        pass  # the message has the hint as well


def _cut(text: str, limit: int) -> str:
    data = text.encode("utf-8", "backslashreplace")
    if len(data) <= limit:
        return data.decode()
    return data[: max(0, limit - 32)].decode("utf-8", "ignore") + f"… ({len(data)} bytes)"


def _cut_middle(text: str, limit: int) -> str:
    """Trim a traceback: its beginning and its end tell most."""
    data = text.encode("utf-8", "backslashreplace")
    if len(data) <= limit:
        return data.decode()
    half = max(0, limit // 2 - 32)
    left = data[:half].decode("utf-8", "ignore")
    return f"{left}\n… ({len(data)} bytes)\n{data[-half:].decode('utf-8', 'ignore')}"


def _escaped_size(header: Header) -> int:
    texts = (header["message"], header["traceback"])
    return sum(len(text.encode()) + 5 * sum(map(text.count, _CONTROLS)) for text in texts)


_CONTROLS = [chr(code) for code in range(32)] + ['"', "\\"]


def missing_module_hint(error: ImportError, own_module: str) -> str:
    """Return what would help when user code can't be imported; empty when we don't know."""
    text = str(error)
    if "attempted relative import" in text:
        return (
            "Hint: the file uses a relative import, so it must be run as part of its package: "
            "`wherry run -m package.module` (or `package.module::function`), not as a path to the file."
        )
    name = getattr(error, "name", None)
    if not isinstance(error, ModuleNotFoundError) or not name:
        return ""
    top = name.partition(".")[0]
    if top in sys.builtin_module_names or top in getattr(sys, "stdlib_module_names", ()):
        return f"Hint: {top} belongs to Python's standard library, but this image's Python comes without it."
    local = f'Image.add_local_python_source("{top}")'
    if top == own_module.partition(".")[0]:
        return f"Hint: {name} is not among the files that reached the container; {local} adds the whole package."
    package = _PACKAGES.get(top, top)
    return (
        f"Hint: there is no module {top} in the container. If it is a package to install, add it to the image: "
        f'Image.pip_install("{package}"). If it is your own code, add it with {local}.'
    )


# Import names that differ from what pip knows.
_PACKAGES = {
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "dotenv": "python-dotenv",
    "PIL": "pillow",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
