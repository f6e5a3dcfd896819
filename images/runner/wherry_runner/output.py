"""What user code prints: sys.stdout and sys.stderr as they are flushed, descriptors 1 and 2 through pipes."""

from __future__ import annotations

import io
import os
from _thread import allocate_lock, get_ident
from select import EPOLLIN
from time import monotonic, sleep, time

from wherry_runner import descriptors
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
READ_BYTES = 64 << 10
FULL_S = 0.05
MOST_READS = 16
_PIPES = 2


class Lines:
    """Hands lines to the link; makes the printing thread wait when the agent does not read.

    What is flushed goes before its line has ended, as a row that goes on in the next one of its stream and owner.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._lock = allocate_lock()
        self._while_began = 0.0
        self._sent_at_once = 0
        # Whose last row goes on.
        self._open: set[tuple[int, str | None]] = set()
        # Begun lines that wait a moment for more: since when, and the text.
        self._late: dict[tuple[int, str | None], tuple[float, bytes]] = {}
        self.nudge: Callable[[], None] = lambda: None
        # Takes what subprocesses have written so far, so that it comes before what is printed now.
        self.drain: Callable[[], None] = lambda: None
        link.late = self._late
        link.put_late = self._put_late

    @property
    def is_full(self) -> bool:
        """Whether so much waits for an agent that is away that no more is to be taken."""
        link = self._link
        return not link.is_open and link.log_bytes_put - link.log_bytes_sent > MOST_WAITING_BYTES

    def put(
        self,
        stream: int,
        owner: str | None,
        lines: list[bytes],
        rest: bytes = b"",
        at_once: bool = False,
        waits: bool = True,
    ) -> None:
        """Send lines, and `rest`, which has begun and goes on: `at_once`, or within a moment.

        With `waits` false it never waits for the agent: for who may be the one that connects anew.
        """
        link = self._link
        key = (stream, owner)
        at_ms = int(time() * 1000)
        with self._lock:
            late = self._late
            since = 0.0
            if late:
                since, text = late.pop(key, (0.0, b""))
                if lines:
                    lines[0] = text + lines[0]
                else:
                    rest = text + rest
                if lines or at_once:
                    self._put_late(0.0, locked=True)
            for line in lines:
                self._put_row(stream, owner, at_ms, line, False)
            if lines and self._open:
                self._open.discard(key)
            if rest:
                if len(rest) >= MAX_LINE or (at_once and self._may_send_at_once()):
                    self._open.add(key)
                    self._put_row(stream, owner, at_ms, rest, True)
                else:
                    late[key] = (since or monotonic(), rest)
        if link.log_bytes_put - link.log_bytes_sent > SEND_AT_BYTES:
            link.flush()
            while waits and self.is_full:
                self.nudge()
                sleep(FULL_S)
        elif (lines and self._may_send_at_once()) or (at_once and not late):
            link.flush(wait=False)
        else:
            self.nudge()

    def flush(self, stream: int, owner: str | None) -> None:
        """Send what waits of a begun line."""
        if (stream, owner) in self._late:
            self.put(stream, owner, [], at_once=True)

    def end(self, owner: str | None) -> None:
        """End the lines that `owner` has begun; send what others have begun. Its output follows."""
        if not (self._open or self._late):
            return
        with self._lock:
            for key in ((1, owner), (2, owner)):
                _, text = self._late.pop(key, (0.0, b""))
                if text or key in self._open:
                    self._open.discard(key)
                    self._put_row(*key, int(time() * 1000), text, False)
            self._put_late(0.0, locked=True)

    def _put_row(self, stream: int, owner: str | None, at_ms: int, line: bytes, goes_on: bool) -> None:
        link = self._link
        pieces = (line,) if len(line) <= MAX_LINE else _pieces(line)
        for piece in pieces[:-1]:
            link.put_row(LOG, [stream, owner, at_ms, 1], piece)
        link.put_row(LOG, [stream, owner, at_ms, 1] if goes_on else [stream, owner, at_ms], pieces[-1])
        link.log_bytes_put += len(line) + LINE_BYTES * len(pieces)

    def _put_late(self, after_s: float = WHILE_S, locked: bool = False) -> None:
        """Put the begun lines that have waited for so long."""
        if not locked and not self._lock.acquire(False):
            return  # whoever has it puts them, or the next look does
        try:
            until = monotonic() - after_s
            for key in [key for key, (since, _) in self._late.items() if since <= until]:
                self._open.add(key)
                self._put_row(*key, int(time() * 1000), self._late.pop(key)[1], True)
        finally:
            if not locked:
                self._lock.release()

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
        # Lines, by the input that has begun them.
        self.begun: dict[str | None, list[str]] = {}
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
        length = len(text)
        if text and self.buffer.begun and (begun := self.buffer.begun.pop(input_id.get(), b"")):
            # What follows is no rest of the character that was begun.
            text = begun.decode("utf-8", "replace") + text
        if self._raw:
            os.write(self._number, text.encode("utf-8", "replace"))
        else:
            self._shielded(self._take, text)
        return length

    def _shielded(self, do: Callable[..., None], *arguments: str) -> None:
        interrupter = self._interrupter
        shielded = get_ident() == interrupter.main_thread
        if shielded:
            interrupter.shield()
        try:
            do(*arguments)
        finally:
            if shielded:
                interrupter.unshield()

    def _take(self, text: str) -> None:
        owner = input_id.get()
        with self._lock:
            begun = self.begun.get(owner)
            if "\n" not in text and "\r" not in text:
                if begun is None:
                    begun = self.begun[owner] = []
                begun.append(text)
                if len(begun) < 64 and len(text) < MAX_LINE:
                    return
                # Many small pieces are joined now and then; a line without an end goes at the limit.
                text = "".join(begun)
                if len(text) < MAX_LINE:
                    begun[:] = [text]
                    return
                del self.begun[owner]
            elif begun is not None:
                begun.append(text)
                text = "".join(begun)
                del self.begun[owner]
        # As a terminal's stream does: with a line's end, or a return to its beginning, all that there is goes.
        lines = text.encode("utf-8", "replace").split(b"\n")
        rest = lines.pop()
        self._lines.drain()
        self._lines.put(self._number, owner, lines, rest)

    def _give_begun(self) -> None:
        owner = input_id.get()
        begun = None
        if self.begun:
            with self._lock:
                begun = self.begun.pop(owner, None)
        if begun:
            self._lines.drain()
            self._lines.put(self._number, owner, [], "".join(begun).encode("utf-8", "replace"), at_once=True)
        else:
            self._lines.flush(self._number, owner)

    def end_line(self, owner: str | None) -> None:
        """Give what `owner` has begun: its output follows, before which all of its lines are ended."""
        if self.buffer.begun and (start := self.buffer.begun.pop(owner, b"")):
            self.begun.setdefault(owner, []).append(start.decode("utf-8", "replace"))
        if self.begun:
            with self._lock:
                begun = self.begun.pop(owner, None)
            if begun and (text := "".join(begun)):
                # The keeper ends inputs, too.
                self._lines.put(self._number, owner, [], text.encode("utf-8", "replace"), waits=False)

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
        """Send a begun line as far as it has come; whole lines are on their way already."""
        if not self._raw:
            self._shielded(self._give_begun)

    def close(self) -> None:
        """Do nothing: standard output outlives an input."""

    def reconfigure(self, **options: Any) -> None:
        """Accept what `io.TextIOWrapper.reconfigure` accepts; the encoding stays UTF-8."""


class _Buffer(io.BufferedIOBase):
    """`sys.stdout.buffer`."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        # The beginning of a character, by the input that wrote it.
        self.begun: dict[str | None, bytes] = {}
        self.raw = self

    def write(self, data: Any, /) -> int:
        chunk = bytes(data)
        owner = input_id.get()
        whole = self.begun.pop(owner, b"") + chunk
        cut = _end_of_characters(whole)
        self._stream.write(whole[:cut].decode("utf-8", "replace"))
        if cut < len(whole):
            self.begun[owner] = whole[cut:]
        return len(chunk)

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self._stream.fileno()

    def flush(self) -> None:
        self._stream.flush()

    def close(self) -> None:
        """Do nothing, as `Stream.close`."""


def _end_of_characters(data: bytes) -> int:
    """Return where a character begins that is not whole yet: it may come in two writes. Else, the end."""
    end = len(data)
    for back in range(1, min(4, end) + 1):
        byte = data[end - back]
        if byte & 0xC0 == 0xC0:
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return end - back if back < length else end
        if byte < 0x80:
            break
    return end


class Pipes:
    """Descriptors 1 and 2 lead here, so that output of subprocesses and of C code arrives too."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._lock = allocate_lock()
        self._numbers: dict[int, int] = {}
        # The beginning of a character.
        self._rest = {1: b"", 2: b""}
        lines.drain = self.drain
        self._epoll = descriptors.new_epoll()
        self._original_stdout, self.original_stderr = (descriptors.move(os.dup(number)) for number in (1, 2))
        for number in (1, 2):
            source, target = os.pipe2(os.O_CLOEXEC)
            os.dup2(target, number, inheritable=True)
            os.close(target)
            source = descriptors.move(source)
            os.set_blocking(source, False)
            self._numbers[source] = number
            self._epoll.register(source, EPOLLIN)

    @property
    def fds(self) -> list[int]:
        return list(self._numbers)

    def give_back(self) -> None:
        """Let 1 and 2 be what they were, for a program that takes this one's place."""
        os.dup2(self._original_stdout, 1)
        os.dup2(self.original_stderr, 2)

    def drain(self) -> None:
        """Take all that has been written so far, or wait for who is taking it right now."""
        # A pipe holds at most 1 MiB; a program that never stops writing must not keep us here.
        for _ in range(MOST_READS):
            with self._lock:
                ready = self._epoll.poll(0, _PIPES)
                for fd, _ in ready:
                    if not self._pump(fd):
                        self._epoll.unregister(fd)
            if not ready or self._lines.is_full:
                return

    def pump_one(self, fd: int) -> bool:
        """Take what one pipe holds; False: it has no writer any more (user code closed 1 or 2)."""
        with self._lock:
            return self._pump(fd)

    def _pump(self, fd: int) -> bool:
        number = self._numbers[fd]
        if self._lines.is_full:
            # Who writes waits. We do not: we may be the one who connects anew.
            sleep(FULL_S)
            return True
        try:
            data = os.read(fd, READ_BYTES)
        except BlockingIOError:
            return True
        if not data:
            return False
        if self._rest[number]:
            data = self._rest[number] + data
        end = len(data) if data[-1] < 0x80 else _end_of_characters(data)
        self._rest[number] = data[end:]
        lines = data[:end].split(b"\n")
        rest = lines.pop()
        # Whoever wrote it did not wait for the line's end, so what has begun goes too.
        self._lines.put(number, input_id.only, [_clean(line) for line in lines], _clean(rest), waits=False)
        return True

    def end_lines(self, owner: str | None = None) -> None:
        """Take what has been written; end what `owner`, or the only input, has begun: an output follows."""
        # Before each value that a generator yields: mostly there is nothing.
        with self._lock:
            ready = self._epoll.poll(0, _PIPES)
        if ready:
            self.drain()
        only = input_id.only
        if self._rest[1] or self._rest[2]:
            with self._lock:
                for number in (1, 2):
                    rest, self._rest[number] = self._rest[number], b""
                    if rest:
                        self._lines.put(number, only, [], _clean(rest), waits=False)
        self._lines.end(only)
        if owner != only:
            self._lines.end(owner)


def _clean(line: bytes) -> bytes:
    return line if line.isascii() else line.decode("utf-8", "replace").encode()
