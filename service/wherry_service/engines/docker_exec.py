"""A command run inside a container of Docker's, its streams on one socket."""

import asyncio
import contextlib
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from wherry_service.engines.docker_streams import Translated
from wherry_service.engines.engine import EngineError, ExecSpec

if TYPE_CHECKING:
    import docker

T = TypeVar("T")

_HEADER = struct.Struct(">BxxxL")
_PIECE = 1 << 16
# Docker says that an exec has ended a moment after its streams have.
_EXIT_WITHIN_S = 5.0


class DockerExec:
    """Implements `engine.Exec`. Two threads of its own at most: whoever does not read or write holds up nobody else."""

    def __init__(self, client: "docker.APIClient", exec_id: str, spec: ExecSpec, translated: Translated) -> None:
        self._client = client
        self._exec_id = exec_id
        self._tty = spec.tty
        self._translated = translated
        response = _started(client, exec_id, spec.tty)
        # What came with the answer's headers is in the buffer, so it is read and not the socket itself.
        self._buffer: Any = response.raw._fp.fp
        self._response = response
        self._socket: socket.socket = self._buffer.raw._sock
        self._socket.settimeout(None)
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="docker-exec")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="docker-exec-stdin")

    async def read(self) -> tuple[int, bytes] | None:
        return await self._in(self._reader, self._read)

    async def write(self, data: bytes) -> None:
        await self._in(self._writer, lambda: self._socket.sendall(data))

    async def close_stdin(self) -> None:
        await self._in(self._writer, lambda: self._socket.shutdown(socket.SHUT_WR))

    async def resize(self, rows: int, columns: int) -> None:
        await self._in(None, lambda: self._client.exec_resize(self._exec_id, height=rows, width=columns))

    async def pid(self) -> int:
        found: dict[str, Any] = await self._in(None, lambda: self._client.exec_inspect(self._exec_id))
        return int(found.get("Pid") or 0) if found.get("Running") else 0

    async def exit_code(self) -> int | None:
        return await self._in(self._reader, self._exit_code)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._response.close()
        for threads in (self._reader, self._writer):
            threads.shutdown(wait=False, cancel_futures=True)

    async def _in(self, threads: ThreadPoolExecutor | None, work: Callable[[], T]) -> T:
        def run() -> T:
            with self._translated():
                return work()

        awaited: Awaitable[T] = asyncio.get_running_loop().run_in_executor(threads, run)
        return await awaited

    def _read(self) -> tuple[int, bytes] | None:
        if self._tty:
            data = self._buffer.read1(_PIECE)
            return (1, data) if data else None
        header = self._buffer.read(_HEADER.size)
        if len(header) < _HEADER.size:
            return None
        stream, size = _HEADER.unpack(header)
        return stream, self._buffer.read(size)

    def _exit_code(self) -> int | None:
        deadline = time.monotonic() + _EXIT_WITHIN_S
        while time.monotonic() < deadline:
            found: dict[str, Any] = self._client.exec_inspect(self._exec_id)
            if not found.get("Running"):
                return found.get("ExitCode")
            time.sleep(0.005)
        return None


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
    response = client._post_json(  # type: ignore[attr-defined]  # its public form gives the socket without the buffer
        client._url("/exec/{0}/start", exec_id),  # type: ignore[attr-defined]
        headers={"Connection": "Upgrade", "Upgrade": "tcp"},
        data={"Tty": tty, "Detach": False},
        stream=True,
        timeout=None,
    )
    client._raise_for_status(response)  # type: ignore[attr-defined]
    if not hasattr(getattr(response.raw, "_fp", None), "fp"):
        raise EngineError("this version of Docker's SDK keeps its connections elsewhere: install the one in use here")
    return response
