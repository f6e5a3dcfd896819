"""An exception as a `failure` frame: text always, the exception itself where it can be pickled."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pickle import Pickler
from traceback import format_exception
from types import TracebackType
from typing import TYPE_CHECKING, Any

from wherry_runner.payload import raw_bytes

if TYPE_CHECKING:
    from wherry_runner.frames import Header


MAX_TYPE = 256
MAX_MESSAGE = 64 << 10
MAX_TRACEBACK = 256 << 10
MAX_PICKLE = 1 << 20
# Control characters grow sixfold in JSON: the whole text stays far below a header's 1 MiB.
_MAX_ESCAPED = 900 << 10
_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep


def describe(error: BaseException, kind: str = "exception", hint: str = "") -> tuple[Header, bytes]:
    """Return a failure's fields and the pickle of `(exception, traceback dict or None)`, empty where impossible."""
    trace = trim(error.__traceback__)
    error.__traceback__ = trace
    if hint:
        _add_note(error, hint)
    data = _pickle(error, trace)
    return fields(kind, _type_name(error), _message(error, hint), _traceback_text(error, trace, hint)), data


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


def trim(trace: TracebackType | None) -> TracebackType | None:
    """Drop the runner's frames, and the import machinery's, at both ends of a traceback."""
    while trace is not None and _is_internal(trace):
        trace = trace.tb_next
    last = node = trace
    while node is not None:
        if not _is_internal(node):
            last = node
        node = node.tb_next
    if last is not None:
        last.tb_next = None
    return trace


def _is_internal(trace: TracebackType) -> bool:
    name = trace.tb_frame.f_code.co_filename
    return name.startswith(_HERE) or name.startswith("<frozen importlib")


def _type_name(error: BaseException) -> str:
    cls = type(error)
    return f"{cls.__module__}.{cls.__qualname__}"


def _message(error: BaseException, hint: str) -> str:
    try:
        text = str(error)
    except Exception as second:  # a user's __str__ may raise anything  # noqa: BLE001
        text = f"<its message can't be shown: __str__ raised {type(second).__name__}>"
    return f"{text}\n{hint}" if hint else text


def _traceback_text(error: BaseException, trace: TracebackType | None, hint: str) -> str:
    try:
        text = "".join(format_exception(type(error), error, trace))
    except Exception as second:  # it calls __str__, too  # noqa: BLE001
        return f"<no traceback: {type(second).__name__} while it was formatted>"
    return text if not hint or hint in text else f"{text}{hint}\n"


def _add_note(error: BaseException, note: str) -> None:
    try:
        notes = list(getattr(error, "__notes__", ()))
        error.__notes__ = [*notes, note]
    except (AttributeError, TypeError):
        pass  # an exception without a __dict__; the message has the hint as well


def _pickle(error: BaseException, trace: TracebackType | None) -> bytes:
    details = _traceback_dict(trace)
    for bare in (False, True):
        for base in _picklers():
            data = _try_pickle(base, (error, details), bare)
            if data:
                return data
    return b""


def _picklers() -> list[type[Pickler]]:
    found: list[type[Pickler]] = [Pickler]
    try:
        from cloudpickle import Pickler as CloudPickler
    except ImportError:
        return found
    return [*found, CloudPickler]


def _try_pickle(base: type[Pickler], value: Any, bare: bool) -> bytes:
    """Pickle and unpickle again: many exceptions pickle well, and then can't be rebuilt from their args."""
    import pickle

    class ExceptionPickler(base):  # type: ignore[valid-type,misc]
        def reducer_override(self, item: Any) -> Any:
            if isinstance(item, BaseException):
                return _reduce(item, bare)
            inherited: Callable[[Any], Any] | None = getattr(super(), "reducer_override", None)
            return NotImplemented if inherited is None else inherited(item)

    buffer = _Buffer()
    try:
        ExceptionPickler(buffer, 5).dump(value)
        data = buffer.getvalue()
        if len(data) > MAX_PICKLE:
            return b""
        again, _ = pickle.loads(data)
        return data if type(again) is type(value[0]) or base is not Pickler else b""
    except Exception:  # a user's __reduce__ and __init__ may raise anything; the text remains  # noqa: BLE001
        return b""


class _Buffer(io.BytesIO):
    def write(self, data: Any) -> int:
        return super().write(data if type(data) is bytes else raw_bytes(data))


def _reduce(error: BaseException, bare: bool) -> Any:
    """As the exception's own, and its cause: BaseException.__setstate__ sets what it is given as attributes.

    With `bare`, rebuild without calling __init__, whose signature may not fit `args`.
    """
    reduced = error.__reduce_ex__(4)
    if bare:
        import copyreg

        reduced = (copyreg.__newobj__, (type(error), *error.args), error.__dict__ or None)  # type: ignore[attr-defined]
    if isinstance(reduced, str) or len(reduced) > 3 or type(error).__setstate__ is not BaseException.__setstate__:
        return reduced
    state = reduced[2] if len(reduced) == 3 else None
    if state is not None and type(state) is not dict:
        return reduced
    state = dict(state or {})
    if error.__cause__ is not None:
        state["__cause__"] = error.__cause__
    elif error.__context__ is not None and not error.__suppress_context__:
        state["__context__"] = error.__context__
    if error.__suppress_context__:
        state["__suppress_context__"] = True
    return (reduced[0], reduced[1], state) if state else (reduced[0], reduced[1])


def _traceback_dict(trace: TracebackType | None) -> dict[str, Any] | None:
    if trace is None:
        return None
    try:
        from tblib import Traceback

        details: dict[str, Any] = Traceback(trace).to_dict()
    except Exception:  # absent, or one that does not know this Python; the text remains  # noqa: BLE001
        return None
    return details


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
            "`wherry run package.module::function` (or `wherry run -m package.module`), not as a path to the file."
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
