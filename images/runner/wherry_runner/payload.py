"""Values to bytes and back: small ones inline, big ones from a file, and to the agent over a socket of their own."""

from __future__ import annotations

import os
from _pickle import PickleBuffer, Pickler, load, loads
from _pickle import dumps as pickle_dumps

# The C half of `socket`, as in link.py.
from _socket import AF_UNIX, SHUT_RDWR, SHUT_WR, SOCK_CLOEXEC, SOCK_STREAM, socket
from time import monotonic, sleep

TYPE_CHECKING = False  # typing and collections cost 12 ms and 2 MiB; only the type checker needs them
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

INLINE_BYTES = 1 << 20
PICKLE = 1
JSON = 2
# As long as the runner looks for an agent that is away (watch.py).
AGENT_AWAY_S = 600.0
ASK_EVERY_S = 0.1
# As long as a value is sent again to an agent whose disk does not take it.
NO_ROOM_S = 60.0
_PROTOCOL = 5
_SMALL = frozenset((type(None), bool, int, float))
_MOST_ANSWER = 4096


class ValueRefused(Exception):
    """The agent does not take a value; the message says why."""


class NoRoom(ValueRefused):
    """The agent's disk does not take it now."""


class _Cut(Exception):
    """The agent went away while a value was being sent."""


class Payloads:
    """Reads under the container's directory (`/run/wherry`), and sends to a socket in it."""

    def __init__(self, directory: str) -> None:
        self._in = os.path.join(directory, "in")
        self._socket = os.path.join(directory, "values.sock")

    def read(self, format: int, blob: str | None, data: bytes) -> Any:
        """Return args and kwargs. Raise whatever reading them raises.

        The agent takes the file away when the input has ended.
        """
        if format != PICKLE:
            return self._read_json(format, blob, data)
        if blob is None:
            return loads(data)
        with open(os.path.join(self._in, blob), "rb", buffering=64 << 10) as file:
            return load(file)

    def _read_json(self, format: int, blob: str | None, data: bytes) -> Any:
        if format != JSON:
            raise ValueError(f"format {format} is unknown here")
        from wherry_runner.json_values import read_arguments  # noqa: PLC0415 - start-up cost: json's 3 ms, only for such inputs

        if blob is not None:
            with open(os.path.join(self._in, blob), "rb") as file:
                data = file.read()
        return read_arguments(data)

    def write(self, value: Any) -> tuple[bytes, str | None, int]:
        """Pickle: return the bytes, or the name by which the agent knows them, and the size.

        Waits for an agent that is away, and for one whose disk is full. Raises what pickling raises, `ValueRefused`,
        and OSError where it stays away.
        """
        if type(value) in _SMALL:
            data = pickle_dumps(value, _PROTOCOL)
            return data, None, len(data)
        try:
            return self._write(value)
        except (_Cut, NoRoom):
            return self._patiently(self._write, value)

    def write_json(self, value: Any, name: str) -> tuple[bytes, str | None, int]:
        """As `write`, as JSON; raise `NotJson` for what that can't hold, which names it from `name` on."""
        from wherry_runner.json_values import dump  # noqa: PLC0415 - start-up cost: as above

        data = dump(value, name)
        if len(data) <= INLINE_BYTES:
            return data, None, len(data)
        return self._patiently(self._send, data)

    def _patiently(
        self, write: Callable[[Any], tuple[bytes, str | None, int]], value: Any
    ) -> tuple[bytes, str | None, int]:
        no_room_until = 0.0
        pause = ASK_EVERY_S
        while True:
            try:
                return write(value)
            except _Cut:
                # What it has is lost with it.
                sleep(ASK_EVERY_S)
            except NoRoom:
                no_room_until = no_room_until or monotonic() + NO_ROOM_S
                if monotonic() > no_room_until:
                    raise
                sleep(pause)
                pause = min(2 * pause, 2.0)

    def _send(self, data: bytes) -> tuple[bytes, str | None, int]:
        sink = _Sink(self._socket)
        try:
            sink.write(data)
            return sink.finish()
        finally:
            sink.discard()

    def _write(self, value: Any) -> tuple[bytes, str | None, int]:
        sink = _Sink(self._socket)
        try:
            try:
                Pickler(sink, _PROTOCOL).dump(value)
            except (_Cut, ValueRefused):
                raise
            except Exception as error:  # whatever a user's __reduce__ raises
                sink.discard()
                pickler = _cloud_pickler()
                if pickler is None:
                    raise
                sink = _Sink(self._socket)
                try:
                    pickler(sink, _PROTOCOL).dump(value)
                except (_Cut, ValueRefused):
                    raise
                except Exception as second:
                    raise second from error
            return sink.finish()
        finally:
            sink.discard()


def raw_bytes(data: Any) -> Any:
    """Return the memory of what a pickler passes to `write`, as one flat row of bytes, without copying it.

    From 64 KiB on that is the object itself: a bytearray, or the PickleBuffer of an array, which has no length, may
    have several dimensions, and may hold its columns one after the other.
    """
    return PickleBuffer(data).raw()


def _cloud_pickler() -> Any:
    # Only when pickle has failed: it costs 15 ms to import.
    try:
        # The SDK's: byte code then says which Python can run it.
        return __import__("wherry._connection.pickling", fromlist=["checked_pickler"]).checked_pickler()
    except (ImportError, SyntaxError):
        pass  # a Python that is too old for the SDK, and not for this
    try:
        return __import__("cloudpickle").Pickler
    except ImportError:
        return None


class _Sink:
    """Keeps what is written, up to the inline limit; beyond it, sends it on without gathering it first."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._chunks: list[bytes] = []
        self._size = 0
        self._socket: socket | None = None

    def write(self, data: Any) -> None:
        if type(data) is not bytes:
            data = raw_bytes(data)
        self._size += len(data)
        if self._socket is None:
            if self._size <= INLINE_BYTES:
                # A pickler may reuse what it passes, unless it is bytes.
                self._chunks.append(data if type(data) is bytes else bytes(data))
                return
            self._socket = _connected(self._path)
            chunks, self._chunks = self._chunks, []
            self._send(b"".join(chunks))
        self._send(data)

    def _send(self, data: Any) -> None:
        assert self._socket is not None
        try:
            self._socket.sendall(data)
        except OSError:
            # It says why it hangs up, where it can.
            self._hear()
            raise _Cut from None

    def _hear(self) -> str:
        """Return the name that the agent gives the value; raise `ValueRefused`, `NoRoom`, `_Cut`."""
        assert self._socket is not None
        answer = b""
        try:
            while not answer.endswith(b"\n") and len(answer) < _MOST_ANSWER:
                data = self._socket.recv(_MOST_ANSWER)
                if not data:
                    raise _Cut
                answer += data
        except OSError:
            raise _Cut from None
        text = answer.decode(errors="replace").rstrip("\n")
        if text.startswith("!"):
            raise ValueRefused(text[1:])
        if text.startswith("?"):
            raise NoRoom(text[1:])
        return text

    def finish(self) -> tuple[bytes, str | None, int]:
        if self._socket is None:
            chunks = self._chunks
            return (chunks[0] if len(chunks) == 1 else b"".join(chunks)), None, self._size
        try:
            self._socket.shutdown(SHUT_WR)
        except OSError:
            raise _Cut from None
        return b"", self._hear(), self._size

    def discard(self) -> None:
        """Let go of it. What was sent and is not finished is the agent's to forget."""
        sock, self._socket = self._socket, None
        if sock is not None:
            try:  # noqa: SIM105
                # A process that was forked meanwhile has the socket, too.
                sock.shutdown(SHUT_RDWR)
            except OSError:
                pass  # the agent has hung up
            sock.close()


def _connected(path: str) -> socket:
    until = monotonic() + AGENT_AWAY_S
    while True:
        sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
        try:
            sock.connect(path)
        except OSError:
            sock.close()
            if monotonic() > until:
                raise
            sleep(ASK_EVERY_S)
        else:
            return sock


def with_article(name: str) -> str:
    """Return "an Attr", "a Lock"."""
    return f"{'an' if name[:1].lower() in ('a', 'e', 'i', 'o') else 'a'} {name}"
