"""The transport to a service on this machine: frames on a unix socket, one connection a call.

Against gRPC a lone call wakes half as many threads, and neither gRPC nor protobuf is loaded. What the frames hold is
said in the service's api/local.py, which speaks the other half.
"""

import contextlib
import errno
import json
import os
import select
import socket
import struct
import threading
from collections.abc import Iterable, Iterator
from typing import Any, cast

from wherry import exception
from wherry._connection.transport.transport import Outgoing, Unreadable
from wherry_proto import messages, rows
from wherry_proto.messages import Message, SessionDown, SessionUp
from wherry_proto.services import METHODS

_LENGTHS = struct.Struct(">II")
# Bytes received at a time: while little comes, and while much does. An allocator maps what is larger than 128 KiB, and
# gives it back, each time: two page faults a call, which in a container cost 25 µs.
_RECEIVE_LITTLE = 1 << 16
_RECEIVE_MUCH = 1 << 18
# Bytes of a frame's header, or body: none of the service's comes near it.
_MAX_FRAME = 256 << 20
# After this many milliseconds of quiet, acknowledgements go out by themselves.
_QUIET_MS = 50
# So often who waits looks whether the program has closed the socket under our feet: nothing else would say so.
_LOOK_MS = 1000
_dumps = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_ERRORS: dict[str, type[exception.Error]] = {
    "NOT_FOUND": exception.NotFoundError,
    "INVALID_ARGUMENT": exception.InvalidError,
    "PERMISSION_DENIED": exception.PermissionDeniedError,
    "ALREADY_EXISTS": exception.AlreadyExistsError,
    "RESOURCE_EXHAUSTED": exception.ResourceExhaustedError,
    "FAILED_PRECONDITION": exception.ExecutionError,
    "INTERNAL": exception.InternalError,
}


class FramesTransport:
    """Speaks to the service that listens at a path."""

    def __init__(self, path: str) -> None:
        self._path = path

    def call(self, method: str, request: Message, timeout: float | None = None) -> Message:
        with _Connection(self._path, method, timeout) as connection:
            with connection.refusals():
                connection.call(request)
            return connection.only_item()

    def stream(self, method: str, request: Message) -> Iterator[Message]:
        with _Connection(self._path, method) as connection:
            with connection.refusals():
                connection.call(request)
            yield from connection.items()

    def upload(self, method: str, requests: Iterable[Message]) -> Message:
        with _Connection(self._path, method) as connection:
            with connection.refusals():
                for number, request in enumerate(requests):
                    connection.item(request) if number else connection.call(request)
                connection.end()
            return connection.only_item()

    def exchange(self, method: str, first: Message) -> "FramesExchange":
        return FramesExchange(_Connection(self._path, method, carries_sockets=True), first)

    def session(self, outgoing: Outgoing) -> "FramesSessionStream":
        return FramesSessionStream(_Connection(self._path, "Calls.Session"), outgoing)

    def close(self) -> None:
        """Nothing is kept open but sessions, which are closed by themselves."""

    def become_child(self) -> None:
        """Each call has a connection of its own, so there is nothing to let go of."""


class FramesExchange:
    """An exchange over frames: whoever has something to send writes it, one at a time."""

    def __init__(self, connection: "_Connection", first: Message) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        connection.call(first)

    def send(self, message: Message) -> None:
        with self._sending:
            self._connection.item(message)

    def end(self) -> None:
        with self._sending:
            self._connection.end()

    def __iter__(self) -> Iterator[Message]:
        with self._connection:
            yield from self._connection.items()

    def cancel(self) -> None:
        self._connection.shut_down()

    @property
    def carries_sockets(self) -> bool:
        return True

    def received_socket(self) -> socket.socket:
        return self._connection.received_socket()

    def fileno(self) -> int:
        return self._connection.socket.fileno()


class FramesSessionStream:
    """A session over frames. Whoever has something to send writes it himself; one thread reads."""

    def __init__(self, connection: "_Connection", outgoing: Outgoing) -> None:
        self._connection = connection
        self._outgoing = outgoing
        self._begun = False
        outgoing.attach(self._send, connection.shut_down)

    def __iter__(self) -> Iterator[SessionDown]:
        quiet = select.poll()
        quiet.register(self._connection.socket, select.POLLIN)
        outgoing = self._outgoing

        def wait() -> None:
            while not quiet.poll(_QUIET_MS if outgoing.has_acknowledgements else _LOOK_MS):
                self._connection.check()
                outgoing.flush()

        with self._connection:
            for message in self._connection.items(wait):
                yield cast("SessionDown", message)

    def cancel(self) -> None:
        self._connection.shut_down()

    def abandon(self) -> None:
        # Closed here alone: the parent's descriptor stays, and the connection with it.
        self._connection.close()

    def _send(self, message: SessionUp | None) -> None:
        if message is None:
            self._connection.end()
        elif self._begun:
            self._connection.item(message)
        else:
            self._begun = True
            self._connection.call(message)


class _Connection:
    """One call of a method: frames out, frames in, errors as exceptions."""

    def __init__(self, path: str, method: str, timeout: float | None = None, *, carries_sockets: bool = False) -> None:
        self._path = path
        self._method = method
        self._carries_sockets = carries_sockets
        self._answer: type[Message] = getattr(messages, METHODS[method].response)
        # Sockets that came with frames, until they are asked for.
        self._received: list[int] = []
        self._most = _RECEIVE_LITTLE
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        try:
            self.socket.connect(path)
        except OSError as error:
            self.socket.close()
            if _is_of_handler(error):
                raise
            raise self._away(error) from None
        self._inode = os.fstat(self.socket.fileno()).st_ino

    def __enter__(self) -> "_Connection":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
        while self._received:
            os.close(self._received.pop())

    def close(self) -> None:
        with contextlib.suppress(exception.ConnectionError):
            self.check()
            self.socket.close()

    def check(self) -> None:
        """Raise ConnectionError if the program has closed the socket: its number may be another file's by now.

        Programs that become daemons close all descriptors that they find.
        """
        fd = self.socket.fileno()
        if fd < 0:
            return  # by ourselves, which whoever uses it next hears
        try:
            if os.fstat(fd).st_ino == self._inode:
                return
        except OSError as error:
            if error.errno != errno.EBADF:
                raise  # of a signal's handler
        # Not closed, which would close the other file.
        self.socket.detach()
        raise self._away("this program has closed the connection's file descriptor")

    # Sending

    @contextlib.contextmanager
    def refusals(self) -> Iterator[None]:
        """Where sending fails since the service has refused it already, raise what it said."""
        try:
            yield
        except exception.ConnectionError:
            with contextlib.suppress(exception.ConnectionError):
                self.only_item()
            raise

    def call(self, request: Message) -> None:
        parts: list[bytes] = []
        self._write(["call", self._method, rows.to_row(request, parts)], parts)

    def item(self, message: Message) -> None:
        parts: list[bytes] = []
        self._write(["item", rows.to_row(message, parts)], parts)

    def end(self) -> None:
        self._write(["end"], [])

    def shut_down(self) -> None:
        with contextlib.suppress(OSError, exception.ConnectionError):  # it is down already
            self.check()
            self.socket.shutdown(socket.SHUT_RDWR)

    def _write(self, header: list[Any], parts: list[bytes]) -> None:
        head = _dumps(header).encode(errors="replace")
        body = b"".join(parts)
        self.check()
        try:
            self.socket.sendall(b"".join((_LENGTHS.pack(len(head), len(body)), head, body)))
        except BaseException as error:
            # Half a frame may have left: nothing can follow it here.
            self.shut_down()
            if isinstance(error, OSError) and not _is_of_handler(error):
                raise self._away(error) from None
            raise

    # Receiving

    def only_item(self) -> Message:
        found: list[Message] = list(self.items())
        if len(found) != 1:
            raise exception.InternalError(f"{self._method} was answered by {len(found)} messages")
        return found[0]

    def items(self, wait: Any = None) -> Iterator[Message]:
        """Yield what arrives until the service ends; raise what it answers, or ConnectionError."""
        for head, body in self._frames(wait):
            try:
                item = self._item(json.loads(head), body)
            except (ValueError, TypeError, LookupError, RecursionError) as error:
                raise Unreadable(self._path, error) from None
            if item is None:
                return
            yield item

    def _item(self, header: Any, body: bytes) -> Message | None:
        """Return the message of a frame, None for the end; raise what the service answers."""
        kind = header[0]
        if kind == "item":
            return rows.from_row(self._answer, header[1], body)
        if kind == "error":
            _, status, text = header
            raise _ERRORS.get(status, exception.RemoteError)(str(text))
        if kind != "end":
            raise ValueError(f"a frame {str(kind)[:32]!r}")
        return None

    def received_socket(self) -> socket.socket:
        if not self._received:
            raise exception.InternalError(f"{self._method}: no socket came with the message that speaks of one")
        return socket.socket(fileno=self._received.pop())

    def _frames(self, wait: Any) -> Iterator[tuple[bytes, bytes]]:
        buffer = bytearray()
        start = 0
        while True:
            while len(buffer) - start >= _LENGTHS.size:
                head_length, body_length = _LENGTHS.unpack_from(buffer, start)
                if head_length > _MAX_FRAME or body_length > _MAX_FRAME:
                    raise Unreadable(self._path, f"a frame of {head_length} and {body_length} bytes")
                head = start + _LENGTHS.size
                end = head + head_length + body_length
                if len(buffer) < end:
                    break
                frame = bytes(buffer[head : head + head_length]), bytes(buffer[head + head_length : end])
                start = end
                yield frame
            del buffer[:start]
            start = 0
            if wait is not None:
                wait()
                self.check()
            try:
                data = self._receive()
            except OSError as error:
                if _is_of_handler(error):
                    raise
                raise self._away(error) from None
            if not data:
                raise self._away("it closed the connection")
            buffer += data

    def _receive(self) -> bytes:
        if self._carries_sockets:
            data, descriptors, _, _ = socket.recv_fds(self.socket, self._most, 1)
            self._received += descriptors
        else:
            data = self.socket.recv(self._most)
        self._most = _RECEIVE_MUCH if len(data) >= _RECEIVE_LITTLE else _RECEIVE_LITTLE
        return data

    def _away(self, error: object) -> exception.ConnectionError:
        return exception.ConnectionError(f"no answer from the service at {self._path} to {self._method}: {error}")


def _is_of_handler(error: OSError) -> bool:
    """Whether a signal's handler raised it while the socket was used: the TimeoutError of a time-out decorator, say."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    # Not `__file__`: in a container that is the byte code's. Some of a socket's methods are Python's own code.
    ours = (_is_of_handler.__code__.co_filename, socket.recv_fds.__code__.co_filename)
    return trace is not None and trace.tb_frame.f_code.co_filename not in ours
