"""What user code prints: sys.stdout and sys.stderr line by line, file descriptors 1 and 2 through pipes."""

from __future__ import annotations

import io
import os
from _thread import allocate_lock, get_ident
from select import EPOLLIN, epoll
from time import monotonic, sleep, time

from wherry_runner.context import input_id
from wherry_runner.interrupt import Interrupter
from wherry_runner.link import LINE_BYTES, LOG, Link

TYPE_CHECKING = False  # typing and collections cost 12 ms and 2 MiB; only the type checker needs them
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

MAX_LINE = 64 << 10
# The first few lines of a while are sent by who printed them, so that a crash does not take them along; more of them
# wait for the keeper, and travel together.
WHILE_S = 0.01
LINES_AT_ONCE = 4
SEND_AT_BYTES = 128 << 10
MOST_WAITING_BYTES = 8 << 20


class Lines:
    """Hands lines to the link; makes the printing thread wait when the agent does not read."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._lock = allocate_lock()
        self._while_began = 0.0
        self._sent_at_once = 0
        self.nudge: Callable[[], None] = lambda: None

    def put(self, stream: int, owner: str | None, lines: list[bytes], goes_on: bool = False) -> None:
        """Send lines; with `goes_on` the last of them has not ended yet."""
        link = self._link
        at_ms = int(time() * 1000)
        size = 0
        last = len(lines) - 1
        with self._lock:
            for number, line in enumerate(lines):
                pieces = (line,) if len(line) <= MAX_LINE else _pieces(line)
                for piece in pieces[:-1]:
                    link.put_row(LOG, [stream, owner, at_ms, 1], piece)
                    size += len(piece) + LINE_BYTES
                piece = pieces[-1]
                if goes_on and number == last:
                    link.put_row(LOG, [stream, owner, at_ms, 1], piece)
                else:
                    link.put_row(LOG, [stream, owner, at_ms], piece)
                size += len(piece) + LINE_BYTES
            link.log_bytes_put += size
        if link.log_bytes_put - link.log_bytes_sent > SEND_AT_BYTES:
            link.flush()
            while not link.is_open and link.log_bytes_put - link.log_bytes_sent > MOST_WAITING_BYTES:
                self.nudge()
                sleep(0.05)
        elif self._may_send_at_once():
            link.flush(wait=False)
        else:
            self.nudge()

    def _may_send_at_once(self) -> bool:
        now = monotonic()
        if now - self._while_began > WHILE_S:
            self._while_began, self._sent_at_once = now, 0
        self._sent_at_once += 1
        return self._sent_at_once <= LINES_AT_ONCE


def _pieces(line: bytes) -> Sequence[bytes]:
    pieces: list[bytes] = []
    start = 0
    while len(line) - start > MAX_LINE:
        end = start + MAX_LINE
        while end > start + MAX_LINE - 4 and line[end] & 0xC0 == 0x80:
            end -= 1
        pieces.append(line[start:end])
        start = end
    pieces.append(line[start:])
    return pieces


class Stream(io.TextIOBase):
    """Stands for sys.stdout or sys.stderr. A line belongs to the input that printed it."""

    def __init__(self, number: int, lines: Lines, interrupter: Interrupter) -> None:
        self._number = number
        self._lines = lines
        self._interrupter = interrupter
        self._lock = allocate_lock()
        self._begun: dict[str | None, list[str]] = {}
        self._raw = False
        self.buffer = _Buffer(self)
        self.mode = "w"
        self.name = "<stdout>" if number == 1 else "<stderr>"

    encoding = "utf-8"
    errors = "replace"
    line_buffering = True
    write_through = False

    def write(self, text: str, /) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if self._raw:
            os.write(self._number, text.encode("utf-8", "replace"))
            return len(text)
        interrupter = self._interrupter
        shielded = get_ident() == interrupter.main_thread
        if shielded:
            interrupter.shield()
        try:
            self._take(text)
        finally:
            if shielded:
                interrupter.unshield()
        return len(text)

    def _take(self, text: str) -> None:
        owner = input_id.get()
        goes_on = False
        with self._lock:
            begun = self._begun.get(owner)
            end = text.rfind("\n")
            if end < 0:
                if begun is None:
                    begun = self._begun[owner] = []
                begun.append(text)
                if len(begun) < 64 and len(text) < MAX_LINE:
                    return
                # Many small pieces are joined now and then; a line without an end goes at the limit.
                line = "".join(begun)
                if len(line) < MAX_LINE:
                    begun[:] = [line]
                    return
                del self._begun[owner]
                lines, goes_on = [line], True
            else:
                lines = text[:end].split("\n")
                if begun is not None:
                    begun.append(lines[0])
                    lines[0] = "".join(begun)
                    del self._begun[owner]
                if end + 1 < len(text):
                    self._begun[owner] = [text[end + 1 :]]
        self._lines.put(self._number, owner, [line.encode("utf-8", "replace") for line in lines], goes_on)

    def end_line(self, owner: str | None) -> None:
        """Send the line that `owner` has begun: its output follows."""
        if self._begun:
            with self._lock:
                begun = self._begun.pop(owner, None)
            if begun and (line := "".join(begun)):
                self._lines.put(self._number, owner, [line.encode("utf-8", "replace")])

    def write_through_descriptor(self) -> None:
        """In a forked child: the link is the parent's, the pipe is shared."""
        self._raw = True
        self._lock = allocate_lock()

    # What programs ask of a text stream

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self._number

    def flush(self) -> None:
        """Do nothing: whole lines are on their way already, and a begun one is sent with its end."""

    def close(self) -> None:
        """Do nothing: standard output outlives an input."""

    def reconfigure(self, **options: Any) -> None:
        """Accept what `io.TextIOWrapper.reconfigure` accepts; the encoding stays UTF-8."""


class _Buffer(io.BufferedIOBase):
    """`sys.stdout.buffer`."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._rest = b""
        self.raw = self

    def write(self, data: Any, /) -> int:
        chunk = bytes(data)
        whole = self._rest + chunk
        # A character may come in two writes.
        cut = len(whole)
        for back in range(1, min(4, cut) + 1):
            byte = whole[cut - back]
            if byte & 0xC0 == 0xC0:
                length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
                if back < length:
                    cut -= back
                break
            if byte < 0x80:
                break
        self._rest = whole[cut:]
        self._stream.write(whole[:cut].decode("utf-8", "replace"))
        return len(chunk)

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self._stream.fileno()

    def flush(self) -> None:
        """Do nothing, as `Stream.flush`."""

    def close(self) -> None:
        """Do nothing, as `Stream.close`."""


class Pipes:
    """Descriptors 1 and 2 lead here, so that output of subprocesses and of C code arrives too."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._lock = allocate_lock()
        self._numbers: dict[int, int] = {}
        self._begun = {1: b"", 2: b""}
        self._epoll = epoll()
        self.original_stderr = os.dup(2)
        for number in (1, 2):
            source, target = os.pipe2(os.O_CLOEXEC)
            os.dup2(target, number, inheritable=True)
            os.close(target)
            os.set_blocking(source, False)
            self._numbers[source] = number
            self._epoll.register(source, EPOLLIN)

    @property
    def fds(self) -> list[int]:
        return list(self._numbers)

    def drain(self) -> None:
        """Take all that has been written so far."""
        while ready := self._epoll.poll(0):
            for fd, _ in ready:
                if not self.pump_one(fd):
                    self._epoll.unregister(fd)

    def pump_one(self, fd: int) -> bool:
        """Take what one pipe holds; False: it has no writer any more (user code closed 1 or 2)."""
        number = self._numbers[fd]
        with self._lock:
            try:
                data = os.read(fd, 64 << 10)
            except BlockingIOError:
                return True
            if not data:
                return False
            lines = (self._begun[number] + data).split(b"\n")
            self._begun[number] = lines.pop()
            goes_on = len(self._begun[number]) > MAX_LINE
            if goes_on:
                lines.append(self._begun[number])
                self._begun[number] = b""
            if lines:
                self._lines.put(number, input_id.only, [_clean(line) for line in lines], goes_on)
        return True

    def end_lines(self) -> None:
        """Send begun lines too: an output follows."""
        self.drain()
        if self._begun[1] or self._begun[2]:
            with self._lock:
                for number in (1, 2):
                    line, self._begun[number] = self._begun[number], b""
                    if line:
                        self._lines.put(number, input_id.only, [_clean(line)])


def _clean(line: bytes) -> bytes:
    return line if line.isascii() else line.decode("utf-8", "replace").encode()
