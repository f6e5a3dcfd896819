"""What a container of Docker's prints and reads, as streams; each keeps a thread of its own while it is open."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import docker

Translated = Callable[[], AbstractContextManager[None]]
"""Turns Docker's errors into the engine's."""


class _Output:
    """An open stream of what a container prints."""

    def __init__(self, client: "docker.APIClient", chunks: Any) -> None:
        self._client = client
        self._chunks = chunks

    def next(self) -> bytes:
        """Return what comes next, b"" at the end."""
        return bytes(next(self._chunks, b""))

    def close(self) -> None:
        """End it; a thread that waits for more is woken."""
        close = getattr(self._chunks, "close", None)
        if close is not None:
            with contextlib.suppress(OSError, ValueError):  # it is closed already, or still running
                close()
        self._client.close()


def open_output(client: "docker.APIClient", engine_id: str, stream: int, follow: bool) -> _Output:
    """Open what the container prints on stream 1 or 2. The client belongs to the stream from here on."""
    try:
        chunks: Any = client.logs(engine_id, stdout=stream == 1, stderr=stream == 2, stream=True, follow=follow)
    except BaseException:
        client.close()
        raise
    return _Output(client, chunks)


async def read_output(open_it: Callable[[], _Output], translated: Translated) -> AsyncIterator[bytes]:
    """Yield what an output has, reading on only when the last piece has been taken."""
    loop = asyncio.get_running_loop()
    threads = ThreadPoolExecutor(1, thread_name_prefix="docker-output")

    def opened() -> _Output:
        with translated():
            return open_it()

    def piece(output: _Output) -> bytes:
        with translated():
            return output.next()

    try:
        output = await loop.run_in_executor(threads, opened)
        try:
            while data := await loop.run_in_executor(threads, piece, output):
                yield data
        finally:
            output.close()
    finally:
        threads.shutdown(wait=False)


class DockerStdin:
    """Implements `engine.Stdin`."""

    def __init__(self, attached: Any, translated: Translated) -> None:
        # On a unix socket Docker's SDK gives the reading half, which holds the socket itself.
        self._attached = attached
        self._socket: socket.socket = getattr(attached, "_sock", attached)
        self._socket.settimeout(None)
        self._translated = translated
        # Its own: a command that does not read holds up nobody else.
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="docker-stdin")

    async def write(self, data: bytes) -> None:
        await asyncio.get_running_loop().run_in_executor(self._threads, self._write, data)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._threads, self._close)

    def abandon(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._attached.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _write(self, data: bytes) -> None:
        with self._translated():
            self._socket.sendall(data)

    def _close(self) -> None:
        with self._translated():
            self._socket.shutdown(socket.SHUT_WR)


def clean_config(container: Mapping[str, Any], image: Mapping[str, Any], labels: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings of an image that is made of a container: its own image's, and these labels.

    Docker merges what is absent here with the container's, and can't be told to leave it out: a variable that the
    image does not have, and a label, become empty.
    """
    of_image = dict(_pairs(image.get("Env") or []))
    env = {name: of_image.get(name, "") for name, _ in _pairs(container.get("Env") or [])}
    return {
        "Env": [f"{name}={value}" for name, value in env.items()],
        "Labels": {**dict.fromkeys(container.get("Labels") or {}, ""), **(image.get("Labels") or {}), **labels},
        # Without either, the container's command would be the image's.
        "Cmd": image.get("Cmd") or ([] if image.get("Entrypoint") else ["/bin/sh"]),
        "Entrypoint": image.get("Entrypoint") or [],
        "User": image.get("User") or container.get("User") or "",
        "WorkingDir": image.get("WorkingDir") or "/",
    }


def _pairs(variables: list[str]) -> Iterator[tuple[str, str]]:
    for variable in variables:
        name, _, value = variable.partition("=")
        yield name, value
