"""From a failure that the service reports to the exception that the caller sees."""

import linecache
import os
import re
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from wherry import exception
from wherry._connection.rebuilt import Rebuilt
from wherry.exception import DeserializationError, ExecutionError, RemoteError
from wherry_proto.messages import Failure, FailureKind, Output, Payload

_INSTALLED = str(Path(exception.__file__).parent)
# Where a container has the source, in the order in which it looks for a module.
_SOURCES = ("/root/", "/run/wherry/source/")

# Where a container has the SDK and the runner.
_INSIDE = re.compile(r"<[^<>]*>:/wherry/(sdk|runner)/")

# Each container that fails has its own.
_MAX_SHOWN = 200
# Exceptions whose input is known: one of the latest ends a program.
_MAX_KNOWN = 200

Load = Callable[[Payload], Any]


class Failures:
    """Rebuilds exceptions. `load` unpickles payloads, `local_root` is the root of the source that was shipped."""

    def __init__(self, load: Load) -> None:
        self._load = load
        # The names of files whose lines can be shown, the oldest first.
        self._shown: dict[str, None] = {}
        # How many inputs have failed, and which the latest exceptions are of: by `id`, so that none is kept for it.
        self.num_failed = 0
        self._inputs: deque[tuple[int, type[BaseException], str]] = deque(maxlen=_MAX_KNOWN)
        self._lock = threading.Lock()

    def of(self, output: Output, local_root: Path | None = None) -> BaseException:
        """Return the exception to raise for an output that is a failure; `input_of` knows it from then on."""
        assert output.failure is not None
        error = self.exception(output.failure, local_root)
        self.num_failed += 1
        self._inputs.append((id(error), type(error), output.input_id))
        return error

    def input_of(self, error: BaseException) -> str:
        """Return the input ("in-…") that has failed with an exception, or with one that led to it; "" for none."""
        known = {(number, kind): input_id for number, kind, input_id in self._inputs}
        return next((found for one in _all_of(error) if (found := known.get((id(one), type(one))))), "")

    def exception(self, failure: Failure, local_root: Path | None = None) -> BaseException:
        """Return the exception to raise for a failure."""
        kind = failure.kind
        if kind in (FailureKind.EXCEPTION, FailureKind.STARTUP, FailureKind.SERIALIZATION):
            return self._of_user(failure, local_root)
        made = _KINDS.get(kind, exception.RemoteError)(_text(failure))
        return made

    def _of_user(self, failure: Failure, local_root: Path | None) -> BaseException:
        reason = ""
        if failure.exception is not None and (failure.exception.data or failure.exception.blob_id):
            try:
                loaded = self._load(failure.exception)
                error = Rebuilt(loaded, lambda file: self._marked(file, failure.container_id, local_root)).error
            except (DeserializationError, RemoteError, LookupError, AttributeError, TypeError, ValueError) as problem:
                reason = str(problem)
            else:
                return _harmless(error, failure)
        if failure.kind == FailureKind.SERIALIZATION:
            return exception.SerializationError(_text(failure))
        if failure.kind == FailureKind.STARTUP:
            return RemoteError(_text(failure))
        return ExecutionError(_not_loadable(failure, reason))

    def _marked(self, filename: str, container_id: str, local_root: Path | None) -> str:
        """Return `<co-…>:/path`, and let the shipped file's lines be shown under that name."""
        marked = f"<{container_id}>:{filename}" if container_id else filename
        lines = _lines_of(filename, local_root)
        if lines:
            # An entry without a time is never checked against a file.
            linecache.cache[marked] = (sum(map(len, lines)), None, lines, marked)
            with self._lock:
                self._shown.pop(marked, None)
                self._shown[marked] = None
                if len(self._shown) > _MAX_SHOWN:
                    oldest = next(iter(self._shown))
                    del self._shown[oldest]
                    linecache.cache.pop(oldest, None)
        return marked


def _lines_of(filename: str, local_root: Path | None) -> list[str]:
    """Return the lines, as they are here, of a file that was shipped, or of code that was typed in."""
    place = next((one for one in _SOURCES if filename.startswith(one)), None)
    if local_root is not None and place is not None:
        return linecache.getlines(str(local_root / filename.removeprefix(place)))
    # A cell of a notebook, or standard input: named like a file, and there is none.
    if filename in linecache.cache and not os.path.exists(filename):
        return linecache.getlines(filename)
    return []


_KINDS: dict[int, type[exception.Error]] = {
    FailureKind.TIMEOUT: exception.FunctionTimeoutError,
    FailureKind.CANCELLED: exception.RemoteError,
    FailureKind.CONTAINER_LOST: exception.RemoteError,
    FailureKind.OUT_OF_MEMORY: exception.RemoteError,
    FailureKind.NOT_FOUND: exception.NotFoundError,
    FailureKind.EXPIRED: exception.OutputExpiredError,
    FailureKind.INTERNAL: exception.InternalError,
    FailureKind.EXHAUSTED: exception.ResourceExhaustedError,
}


def _harmless(error: BaseException, failure: Failure) -> BaseException:
    """Return an exception that fails what waits for it, and does nothing beyond that."""
    effects = dict(_STEERING)
    # Unpickled, it has loaded asyncio.
    if (asyncio := sys.modules.get("asyncio.exceptions")) is not None:
        effects[asyncio.CancelledError] = "count as a cancellation"
    for kind, effect in effects.items():
        if issubclass(type(error), kind):
            # Its own words, as its container had them: here they may raise anything.
            said = f"{failure.type_name.removeprefix('builtins.')}: {failure.message}".removesuffix(": ")
            return exception.UnraisableError(
                f"the function raised {said}. It is not raised as itself here, where it would {effect}.", error
            )
    return error


_STEERING: dict[type[BaseException], str] = {
    SystemExit: "end this program",
    KeyboardInterrupt: "count as Ctrl-C",
    GeneratorExit: "count as the end of a generator",
    StopIteration: "count as the end of a loop",
    StopAsyncIteration: "count as the end of a loop",
}


def hide_internals(error: BaseException) -> None:
    """Drop Wherry's own frames from the traceback of an exception, its causes and contexts and a group's members.

    Frames that are all Wherry's stay where the exception is none of Wherry's: what went wrong is then in them.
    """
    for current in _all_of(error):
        kept = _without_internals(current.__traceback__)
        if kept is not None or isinstance(current, exception.Error):
            # Not by assignment: a class may refuse that.
            BaseException.with_traceback(current, kept)


def _all_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception, what led to it, and a group's members, each once."""
    seen: set[int] = set()
    waiting: deque[BaseException | None] = deque([error])
    while waiting:
        current = waiting.popleft()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        waiting += [current.__cause__, current.__context__]
        if isinstance(current, BaseExceptionGroup):
            waiting += current.exceptions


def _is_internal(file: str) -> bool:
    """Whether a file is Wherry's own, here or in a container: what is there is called `<co-…>:/wherry/…`."""
    return file.startswith(_INSTALLED) or bool(_INSIDE.match(file))


def _without_internals(traceback: TracebackType | None) -> TracebackType | None:
    frames: list[TracebackType] = []
    while traceback is not None:
        if not _is_internal(traceback.tb_frame.f_code.co_filename):
            frames.append(traceback)
        traceback = traceback.tb_next
    chain: TracebackType | None = None
    for frame in reversed(frames):
        chain = TracebackType(chain, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    return chain


def _not_loadable(failure: Failure, reason: str) -> str:
    parts = [f"the function raised {failure.type_name or 'an exception'}: {failure.message}"]
    if reason:
        parts.append(f"It can't be raised as itself here: {reason}.")
    if failure.traceback:
        parts.append(f"Remote traceback:\n{failure.traceback.rstrip()}")
    return "\n".join(parts)


def _text(failure: Failure) -> str:
    text = failure.message or failure.type_name or "the input failed"
    if failure.type_name and failure.message and failure.kind == FailureKind.STARTUP:
        text = f"{failure.type_name}: {failure.message}"
    if failure.traceback:
        text += f"\nRemote traceback:\n{failure.traceback.rstrip()}"
    return text
