"""What commands print and read, as streams: of a sandbox, and of a process run inside a container."""

from __future__ import annotations

import codecs
import contextlib
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from wherry._base.blocking import blocking
from wherry._base.waiting import in_thread
from wherry.exception import InvalidError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

T = TypeVar("T", str, bytes)

# Seconds after which an unfinished line is given out as it is, and characters or bytes of one that is not waited for.
QUIET_S = 0.1
_LONG_LINE = 1 << 18


class StreamReader(Generic[T]):
    """What a command prints, as text or bytes; each part is read once. (reference: StreamReader)

    `for line in stream` and `async for line in stream` give it line by line, each with its line end.
    """

    def __init__(
        self,
        pieces: Callable[[], Iterator[bytes]],
        text: bool,
        by_line: bool = True,
        before: Callable[[], None] = lambda: None,
        file_descriptor: int = 1,
        soon: bool = False,
    ) -> None:
        # By line, but what stands there is not waited for longer than `pieces` does, which then gives an empty one.
        self._soon = soon
        self._quiet = False
        self._file_descriptor = file_descriptor
        self._open = pieces
        # Called before each wait.
        self._before = before
        self._by_line = by_line
        self._pieces: Iterator[bytes] | None = None
        self._decode: Any = (
            codecs.getincrementaldecoder("utf-8")("replace").decode if text else lambda data, final: data
        )
        self._empty: T = "" if text else b""  # type: ignore[assignment]
        # Read and not given out yet: of the first of these, what begins at `_start`.
        self._held: deque[T] = deque()
        self._start = 0
        self._over = False
        self._lock = threading.Lock()

    @property
    def file_descriptor(self) -> int:
        """1 for standard output, 2 for standard error."""
        return self._file_descriptor

    @blocking
    def close(self) -> None:
        """Read nothing more: what has not been read is dropped."""
        # Without the lock, which whoever waits for more holds.
        self._over = True
        self._held.clear()
        self._start = 0

    async def aclose(self) -> None:
        """As `close`."""
        await in_thread(self.close)

    @blocking
    def read(self) -> T:
        """Wait for the end, and return all that has not been read yet."""
        with self._lock:
            while self._more():
                pass
            return self._take()

    @read.awaiting
    async def _read_aio(self) -> T:
        return await in_thread(self.read)

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        with self._lock:
            found = self._next_line() if self._by_line else self._next_piece()
        if not found:
            raise StopIteration
        return found

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        found = await in_thread(lambda: next(self, self._empty))
        if not found:
            raise StopAsyncIteration
        return found

    def _next_piece(self) -> T:
        while not any(self._held) and self._more():
            pass
        return self._take()

    def _next_line(self) -> T:
        newline: T = "\n" if self._empty == "" else b"\n"  # type: ignore[assignment]
        begun: list[T] = []
        size = 0
        while self._held or self._more():
            while self._held:
                piece = self._held[0]
                end = piece.find(newline, self._start) + 1
                begun.append(piece[self._start : end or None])
                # A piece of many lines stays where it is: to cut each off would copy the rest each time.
                self._start = end
                if not end or end == len(piece):
                    self._held.popleft()
                    self._start = 0
                if end:
                    return self._empty.join(begun)
                size += len(piece)
            if self._soon and (size > _LONG_LINE or (self._quiet and size)):
                break
        return self._empty.join(begun)

    def _take(self) -> T:
        if self._start:
            self._held[0], self._start = self._held[0][self._start :], 0
        held = self._empty.join(self._held)
        self._held.clear()
        return held

    def _more(self) -> bool:
        """Read one piece more; False at the end."""
        if self._over:
            return False
        self._before()
        if self._pieces is None:
            self._pieces = self._open()
        data = next(self._pieces, None)
        self._over, self._quiet = data is None, data == b""
        self._held.append(self._decode(data or b"", self._over))
        return not self._over or any(self._held)


class StreamWriter:
    """What a command reads. (reference: StreamWriter)

    What is written is sent by `drain`, and at the latest when the command's end or output is waited for.
    """

    def __init__(self, send: Callable[[bytes, bool], None]) -> None:
        self._send = send
        self._waiting: list[bytes] = []
        self._eof = False
        self._eof_sent = False
        self._lock = threading.Lock()

    def write(self, data: str | bytes | bytearray | memoryview) -> None:
        """Write text (as UTF-8) or bytes; raise InvalidError for anything else, and after `write_eof`."""
        if not isinstance(data, str | bytes | bytearray | memoryview):
            raise InvalidError(f"a command's input is text or bytes, not {type(data).__name__}")
        if self._eof:
            raise InvalidError("nothing can be written to a command's input after write_eof()")
        self._waiting.append(data.encode() if isinstance(data, str) else bytes(data))

    def write_eof(self) -> None:
        """Say that nothing follows; sent after what has been written."""
        self._eof = True

    @blocking
    def drain(self) -> None:
        """Send what has been written, and wait until the service has it."""
        with self._lock:
            data, self._waiting = b"".join(self._waiting), []
            eof = self._eof and not self._eof_sent
            if data or eof:
                self._eof_sent = self._eof
                self._send(data, eof)

    @drain.awaiting
    async def _drain_aio(self) -> None:
        await in_thread(self.drain)

    def flush(self) -> None:
        """As `drain`, for `print(…, file=process.stdin, flush=True)`."""
        self.drain()


class FedReader:
    """Pieces of a stream that another thread hears: kept until they are read."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._over = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()

    def feed(self, data: bytes) -> None:
        """Add a piece; what reads waits for it no longer."""
        with self._changed:
            self._pieces.append(data)
            self._changed.notify_all()

    def end(self, error: BaseException | None = None) -> None:
        """Say that nothing follows; `error` is raised to whoever reads to the end."""
        with self._changed:
            self._over, self._error = True, error
            self._changed.notify_all()

    def pieces(self, quiet_s: float | None = None) -> Iterator[bytes]:
        """Yield what has come, waiting for more until the end; raise the error that it ended with.

        Where nothing follows what has come for `quiet_s` seconds, an empty piece says so, once.
        """
        waits_s = None
        while True:
            with self._changed:
                has_more = self._changed.wait_for(lambda: self._pieces or self._over, waits_s)
                waits_s = quiet_s if has_more else None
                data = b"".join(self._pieces)
                self._pieces.clear()
                if has_more and not data and self._error is not None:
                    raise self._error
            if has_more and not data:
                return
            yield data


class PassingReader(FedReader):
    """Pieces of a stream that are not kept: printed here as they come, or dropped."""

    def __init__(self, shows: bool) -> None:
        super().__init__()
        self._shows = shows
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode

    def feed(self, data: bytes) -> None:
        """Print a piece, or drop it."""
        if self._shows:
            with contextlib.suppress(OSError, ValueError):  # nobody sees it any more
                sys.stdout.write(self._decode(data))
                sys.stdout.flush()

    def pieces(self, quiet_s: float | None = None) -> Iterator[bytes]:
        """Raise InvalidError: there is nothing to read."""
        raise InvalidError("only output that goes to StreamType.PIPE can be read")
