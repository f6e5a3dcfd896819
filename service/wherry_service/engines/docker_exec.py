"""A command run inside a container of Docker's, its streams on one socket."""

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from wherry_service.engines.docker_streams import Translated
from wherry_service.engines.engine import EngineError, ExecSpec

if TYPE_CHECKING:
    import docker

T = TypeVar("T")

_HEADER = struct.Struct(">BxxxL")
_PIECE = 1 << 16
# Docker says that an exec has ended a moment after its streams have.
_EXIT_WITHIN_S = 5.0
# Until then a command that was asked for has a number, or has ended.
_START_WITHIN_S = 10.0


class DockerExec:
    """Implements `engine.Exec`."""

    def __init__(self, client: "docker.APIClient", exec_id: str, spec: ExecSpec, translated: Translated) -> None:
        self._client = client
        self._exec_id = exec_id
        self._tty = spec.tty
        self._translated = translated
        self._pipe = _pipe(_started(client, exec_id, spec.tty))
        # Without a terminal both streams come in one, in frames: what of the current one has still to come.
        self._stream = 1
        self._rest = 0
        self._head = b""

    async def read(self) -> tuple[int, bytes] | None:
        with self._translated():
            if self._tty:
                data = await self._pipe.receive(_PIECE)
                return (1, data) if data else None
            while not self._rest:
                data = await self._pipe.receive(_HEADER.size - len(self._head))
                if not data:
                    return None
                self._head += data
                if len(self._head) == _HEADER.size:
                    self._stream, self._rest = _HEADER.unpack(self._head)
                    self._head = b""
            data = await self._pipe.receive(min(self._rest, _PIECE))
            self._rest -= len(data)
            return (self._stream, data) if data else None

    async def write(self, data: bytes) -> None:
        with self._translated():
            await self._pipe.send(data)

    async def close_stdin(self) -> None:
        with self._translated():
            await self._pipe.end()

    def hand_over(self) -> socket.socket | None:
        return self._pipe.hand_over() if self._tty else None

    async def resize(self, rows: int, columns: int) -> None:
        await self._ask(lambda: self._client.exec_resize(self._exec_id, height=rows, width=columns))

    async def pid(self) -> int:
        return await self._ask(self._pid)

    async def exit_code(self) -> int | None:
        return await self._ask(self._exit_code)

    def close(self) -> None:
        self._pipe.close()

    async def _ask(self, work: Callable[[], T]) -> T:
        def run() -> T:
            with self._translated():
                return work()

        return await asyncio.get_running_loop().run_in_executor(None, run)

    def _pid(self) -> int:
        deadline = time.monotonic() + _START_WITHIN_S
        while time.monotonic() < deadline:
            found: dict[str, Any] = self._client.exec_inspect(self._exec_id)
            if found.get("Running") and found.get("Pid"):
                return int(found["Pid"])
            # The streams are there before the command, and its number comes after it.
            if not found.get("Running") and found.get("ExitCode") is not None:
                return 0
            time.sleep(0.005)
        return 0

    def _exit_code(self) -> int | None:
        deadline = time.monotonic() + _EXIT_WITHIN_S
        while time.monotonic() < deadline:
            found: dict[str, Any] = self._client.exec_inspect(self._exec_id)
            if not found.get("Running"):
                return found.get("ExitCode")
            time.sleep(0.005)
        return None


class _Pipe(Protocol):
    """Both directions of an exec's streams, as they are on the socket."""

    async def receive(self, most: int) -> bytes:
        """Return what comes next, at most so many bytes; b"" at the end."""

    async def send(self, data: bytes) -> None:
        """Send it all; waits while the other side does not read."""

    async def end(self) -> None:
        """Say that nothing follows."""

    def hand_over(self) -> socket.socket | None:
        """Receive nothing more, and return the socket that has the rest; None where it can't be had."""

    def close(self) -> None:
        """Let go of it; whoever waits is woken."""


class _LoopPipe:
    """On the event loop: a key that crosses to a thread and back each way takes twice as long to its echo."""

    def __init__(self, response: Any, buffer: Any, sock: socket.socket) -> None:
        self._response = response
        self._socket = sock
        sock.setblocking(False)
        # What came with the answer's headers.
        self._early: bytes = buffer.peek()
        self._waiting = 0
        self._closed = False
        self._handed_over = False
        self._readable: asyncio.Future[None] | None = None

    async def receive(self, most: int) -> bytes:
        if self._early:
            data, self._early = self._early[:most], self._early[most:]
            return data
        with self._in_use():
            # Not `sock_recv`, whose end by a cancellation may lose what it has received.
            while not self._handed_over:
                try:
                    return self._socket.recv(most)
                except BlockingIOError:
                    await self._until_readable()
        return b""

    def hand_over(self) -> socket.socket | None:
        if self._early:
            return None
        self._handed_over = True
        self._wake()
        return self._socket

    async def send(self, data: bytes) -> None:
        with self._in_use():
            await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def end(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._closed = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        if not self._waiting:
            self._response.close()

    async def _until_readable(self) -> None:
        loop = asyncio.get_running_loop()
        self._readable = loop.create_future()
        loop.add_reader(self._socket, self._wake)
        try:
            await self._readable
        finally:
            loop.remove_reader(self._socket)
            self._readable = None

    def _wake(self) -> None:
        if self._readable is not None and not self._readable.done():
            self._readable.set_result(None)

    @contextlib.contextmanager
    def _in_use(self) -> Iterator[None]:
        """Keep the socket's number while somebody waits for it: another might get that."""
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1
            if self._closed and not self._waiting:
                self._response.close()


class _ThreadsPipe:
    """In two threads: for sockets that the event loop can't wait for, of TLS and ssh."""

    def __init__(self, response: Any, buffer: Any, sock: socket.socket) -> None:
        self._response = response
        self._buffer = buffer
        self._socket = sock
        sock.settimeout(None)
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="docker-exec")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="docker-exec-stdin")

    async def receive(self, most: int) -> bytes:
        data: bytes = await self._in(self._reader, lambda: self._buffer.read1(most))
        return data

    async def send(self, data: bytes) -> None:
        await self._in(self._writer, lambda: self._socket.sendall(data))

    async def end(self) -> None:
        await self._in(self._writer, lambda: self._socket.shutdown(socket.SHUT_WR))

    def hand_over(self) -> socket.socket | None:
        return None

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._response.close()
        for threads in (self._reader, self._writer):
            threads.shutdown(wait=False, cancel_futures=True)

    async def _in(self, threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(threads, work)


def open_exec(client: "docker.APIClient", engine_id: str, spec: ExecSpec, translated: Translated) -> DockerExec:
    """Start a command in a running container; raise `EngineError`."""
    made = client.exec_create(
        engine_id,
        list(spec.command),
        stdin=True,
        tty=spec.tty,
        environment=dict(spec.env),
        workdir=spec.workdir or None,
        user=spec.user,
    )
    return DockerExec(client, made["Id"], spec, translated)


def _started(client: "docker.APIClient", exec_id: str, tty: bool) -> Any:
    response = client._post_json(  # type: ignore[attr-defined]  # its public form gives the socket without the buffer  # noqa: SLF001 - the library has no other way to it
        client._url("/exec/{0}/start", exec_id),  # type: ignore[attr-defined]  # noqa: SLF001 - the library has no other way to it
        headers={"Connection": "Upgrade", "Upgrade": "tcp"},
        data={"Tty": tty, "Detach": False},
        stream=True,
        timeout=None,
    )
    client._raise_for_status(response)  # type: ignore[attr-defined]  # noqa: SLF001 - the library has no other way to it
    if not hasattr(getattr(response.raw, "_fp", None), "fp"):
        raise EngineError("this version of Docker's SDK keeps its connections elsewhere: install the one in use here")
    return response


def _pipe(response: Any) -> _Pipe:
    # What came with the answer's headers is in the buffer: the socket alone does not have it.
    buffer: Any = response.raw._fp.fp  # noqa: SLF001 - the library has no other way to it
    sock: socket.socket = buffer.raw._sock  # noqa: SLF001 - the library has no other way to it
    kind = _LoopPipe if type(sock) is socket.socket else _ThreadsPipe
    return kind(response, buffer, sock)
