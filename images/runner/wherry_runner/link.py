"""The socket to the node agent: an outbox that batches, and what arrives."""

from __future__ import annotations

import os
import sys
from _collections import deque  # type: ignore[import-not-found]  # the C type alone
from _socket import AF_UNIX, MSG_DONTWAIT, SHUT_RDWR, SOCK_CLOEXEC, SOCK_STREAM, socket
from _thread import allocate_lock
from time import monotonic

from wherry_runner import descriptors
from wherry_runner.frames import PROTOCOL, Decoder, encode

TYPE_CHECKING = False  # typing and collections cost 12 ms and 2 MiB; only the type checker needs them
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from wherry_runner.frames import Frame, Header

MAX_ROWS = 512
# A chunk never comes near a frame's limit: one more payload (1 MiB) always fits.
BODY_BYTES = 1 << 20
LOG_BYTES = 192 << 10
# What a waiting line weighs beside its text, so that a million empty lines are bounded too.
LINE_BYTES = 64
# What is kept of answers that have left; of what is beyond it, the agent's death may cost another run.
KEEP_BYTES = 16 << 20
# Above malloc's mmap threshold (128 KiB) every receive maps fresh pages: 51 µs instead of 5.
RECEIVE_BYTES = 64 << 10

OUTPUTS = "outputs"
YIELDS = "yields"
LOG = "log"
# A frame of its own, not a row of one.
FRAME = ""


# large: one connection's state: what is sent, kept and received change together, on every byte's way
class Link:
    """Sends rows and frames in the order they were put; safe to use from any thread.

    `put_row` and `put_frame` only note what is to be sent; `flush` sends it, as few frames as the order allows.
    A frame leaves the outbox when the kernel has taken it whole; else it is sent again on the next connection.
    Answers that are kept are sent again there until the agent says that it has them on disk.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket: socket | None = None
        self._decoder = Decoder()
        self._sending = allocate_lock()
        self._outbox: deque[tuple[str, Any, Any]] = deque()
        self._unsent = b""
        # Each begins with an input that it answers.
        self._unsent_rows: Sequence[Sequence[object]] = ()
        self._dead: socket | None = None
        self._keeping = allocate_lock()
        self._kept: dict[str, tuple[str, Any, Any]] = {}
        self._kept_bytes = 0
        # Two counters, each with one lock's holders as its only writers.
        self.log_bytes_put = 0
        self.log_bytes_sent = 0
        self.flushed_at = 0.0
        # Begun lines that wait for more, and what puts those that have waited for long enough (output.py).
        self.late: dict[Any, Any] = {}
        self.put_late: Callable[[], None] = lambda: None

    # Connection

    @property
    def is_open(self) -> bool:
        return self._socket is not None

    def connect(self, held: Sequence[str], loaded: bool) -> int:
        """Connect and say hello; return the socket's descriptor. Raise OSError when nobody listens."""
        sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
        sock = socket(AF_UNIX, SOCK_STREAM, 0, descriptors.move(sock.detach()))
        try:
            sock.connect(self._path)
            with self._sending:
                running = dict.fromkeys(held)
                answered = dict.fromkeys(self._answered())
                with self._keeping:
                    again = [entry for input_id, entry in self._kept.items() if input_id not in answered]
                    running.update(dict.fromkeys(self._kept))
                running.update(answered)
                hello = {
                    "t": "hello",
                    "protocol": PROTOCOL,
                    "python": _python_version(),
                    "pid": os.getpid(),
                    "running": list(running),
                    "loaded": loaded,
                }
                sock.sendall(encode(hello))
                self._decoder = Decoder()
                self._outbox.extend(again)
                self._socket = sock
        except OSError:
            descriptors.let_go(sock.fileno())
            sock.close()
            raise
        return sock.fileno()

    def _answered(self) -> list[Any]:
        """Inputs whose answer has not left: the agent must know that they are held."""
        answered = [input_id for input_id, *_ in self._unsent_rows]
        for kind, row, _ in self._outbox:
            if kind in (OUTPUTS, YIELDS):
                input_id, *_ = row
                answered.append(input_id)
            elif kind is FRAME:
                answered += _answered_by(row)
        return answered

    def close(self) -> None:
        with self._sending:
            sock, self._socket = self._socket or self._dead, None
            self._dead = None
        if sock is not None:
            descriptors.let_go(sock.fileno())
            sock.close()

    def abandon(self) -> None:
        """After a fork: the socket is the parent's."""
        self._sending = allocate_lock()
        self._outbox.clear()
        self.late.clear()
        self._keeping = allocate_lock()
        self._kept.clear()
        self._unsent = b""
        self.close()

    # Out

    def put_row(self, kind: str, row: list[object], part: bytes) -> None:
        """Note one row of an `outputs`, `yields` or `log` frame."""
        self._outbox.append((kind, row, part))

    def put_frame(self, header: Header, parts: Sequence[bytes] = ()) -> None:
        self._outbox.append((FRAME, header, parts))

    def keep(self, input_id: str, kind: str, row: Any, part: Any) -> None:
        """Keep an input's answer that was put: it is put again on each new connection until it is forgotten."""
        self.forget([input_id])
        size = _size(part)
        with self._keeping:
            if self._kept_bytes + size <= KEEP_BYTES:
                self._kept[input_id] = (kind, row, part)
                self._kept_bytes += size

    def forget(self, input_ids: Sequence[str]) -> None:
        """Keep the answers of these no longer: the agent has them on disk, or they decide nothing."""
        with self._keeping:
            for input_id in input_ids:
                entry = self._kept.pop(input_id, None)
                if entry is not None:
                    _, _, part = entry
                    self._kept_bytes -= _size(part)

    @property
    def has_unsent(self) -> bool:
        return bool(self._outbox or self._unsent or self.late)

    def flush(self, wait: bool = True) -> None:
        """Send all that is noted. With `wait` false, leave it to the thread that is sending right now."""
        if self.late:
            self.put_late()
        while self._socket is not None:
            if not self._sending.acquire(wait):
                return
            try:
                self._drain()
                self.flushed_at = monotonic()
            finally:
                self._sending.release()
            if not self._outbox:
                return

    def _drain(self) -> None:
        while self._socket is not None and (self._unsent or self._outbox):
            if not self._unsent:
                self._unsent = self._next_frame()
            view = memoryview(self._unsent)
            try:
                while view:
                    view = view[self._socket.send(view) :]
            except BaseException as error:
                self._break()
                trace = error.__traceback__
                if not isinstance(error, OSError) or (trace is not None and trace.tb_next is not None):
                    # A signal's handler raised, with half a frame sent: it goes whole on the next connection.
                    raise
                return
            self._unsent = b""
            self._unsent_rows = ()

    def _break(self) -> None:
        # Whoever watches the socket sees its end, closes it and connects anew; until then nothing is sent.
        sock, self._socket = self._socket, None
        if sock is not None:
            self._dead = sock
            try:  # noqa: SIM105
                sock.shutdown(SHUT_RDWR)
            except OSError:
                pass  # it is gone already, which is what we want

    def _next_frame(self) -> bytes:
        """Take the next frame's worth from the outbox. Only the holder of `_sending` takes."""
        outbox = self._outbox
        kind, row, part = outbox.popleft()
        if kind is FRAME:
            self._unsent_rows = [(input_id,) for input_id in _answered_by(row)]
            return encode(row, part)
        rows, parts, size = [row], [part], len(part)
        limit = LOG_BYTES if kind is LOG else BODY_BYTES
        while outbox and len(rows) < MAX_ROWS:
            next_kind, row, part = outbox[0]
            if next_kind is not kind or size + len(part) > limit:
                break
            outbox.popleft()
            rows.append(row)
            parts.append(part)
            size += len(part)
        if kind is LOG:
            self.log_bytes_sent += size + LINE_BYTES * len(rows)
        else:
            self._unsent_rows = rows
        return encode({"t": kind, "rows": rows}, parts)

    # In

    def receive(self) -> list[Frame] | None:
        """Return the frames that have arrived, without waiting; None: the connection has ended."""
        sock = self._socket
        if sock is None:
            return None
        try:
            data = sock.recv(RECEIVE_BYTES, MSG_DONTWAIT)
        except BlockingIOError:
            return []
        except OSError:
            return None
        return self._decoder.feed(data) if data else None


def _answered_by(header: Header) -> Sequence[object]:
    """Return the inputs that a frame answers, or gives back."""
    if header["t"] == "failure":
        return (header["input"],)
    return header["inputs"] if header["t"] == "returned" else ()


def _size(part: bytes | Sequence[bytes]) -> int:
    return LINE_BYTES + (len(part) if isinstance(part, bytes) else sum(map(len, part)))


def _python_version() -> str:
    return ".".join(map(str, sys.version_info[:3]))
