"""What a container of Docker's prints and reads, as streams; each keeps a thread of its own while it is open."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import docker

# Bytes that may wait to be taken.
_MOST = 1 << 20

Translated = Callable[[], AbstractContextManager[None]]
"""Turns Docker's errors into the engine's."""


class _Output:
    """What a container prints, read by a thread of its own, and taken in as few pieces as have gathered."""

    def __init__(self, open_it: Callable[[], tuple["docker.APIClient", Any]], translated: Translated) -> None:
        self._loop = asyncio.get_running_loop()
        self._open = open_it
        self._translated = translated
        self._pieces: list[bytes] = []
        self._size = 0
        self._over = False
        self._error: BaseException | None = None
        self._closed = False
        self._chunks: Any = None
        self._changed = threading.Condition()
        self._there = asyncio.Event()
        self._thread = threading.Thread(target=self._read, name="docker-output", daemon=True)
        self._thread.start()

    async def take(self) -> bytes:
        """Return what has come, b"" at the end; raise what reading it raised."""
        await self._there.wait()
        with self._changed:
            data = b"".join(self._pieces)
            self._pieces.clear()
            self._size = 0
            if not self._over:
                self._there.clear()
            self._changed.notify_all()
        if not data and self._error is not None:
            raise self._error
        return data

    def close(self) -> None:
        """End it; the thread that waits for more is woken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            chunks = self._chunks
        if chunks is not None:
            with contextlib.suppress(OSError, ValueError):  # it has ended already
                chunks.close()

    def _read(self) -> None:
        error: BaseException | None = None
        try:
            with self._translated():
                client, chunks = self._open()
                with contextlib.closing(client):
                    with self._changed:
                        self._chunks = chunks
                        if self._closed:
                            return
                    for data in chunks:
                        if not self._put(data):
                            break
        except Exception as raised:  # noqa: BLE001 - it belongs to the one who takes
            error = raised
        finally:
            with self._changed:
                self._over, self._error = True, error
            self._tell()

    def _put(self, data: bytes) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._size < _MOST or self._closed)
            if self._closed:
                return False
            self._pieces.append(data)
            self._size += len(data)
            if len(self._pieces) > 1:
                return True
        self._tell()
        return True

    def _tell(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody takes
            self._loop.call_soon_threadsafe(self._there.set)


def open_output(
    client: "docker.APIClient", engine_id: str, stream: int, follow: bool
) -> tuple["docker.APIClient", Any]:
    """Open what the container prints on stream 1 or 2; return who reads it, to be closed, and the pieces."""
    try:
        if not client.inspect_container(engine_id)["Config"]["Tty"]:
            return client, client.logs(engine_id, stdout=stream == 1, stderr=stream == 2, stream=True, follow=follow)
        # As `logs`, which reads what a terminal has printed byte by byte.
        from docker.types import CancellableStream  # noqa: PLC0415 - start-up cost: loaded with the rest of Docker's SDK

        response = client._get(  # type: ignore[attr-defined]  # noqa: SLF001 - the library has no other way to it
            client._url("/containers/{0}/logs", engine_id),  # type: ignore[attr-defined]  # noqa: SLF001 - the library has no other way to it
            params={"stdout": int(stream == 1), "stderr": int(stream == 2), "follow": int(follow), "tail": "all"},
            stream=True,
        )
        client._raise_for_status(response)  # type: ignore[attr-defined]  # noqa: SLF001 - the library has no other way to it
        return client, CancellableStream(response.iter_content(None), response)
    except BaseException:
        client.close()
        raise


async def read_output(
    open_it: Callable[[], tuple["docker.APIClient", Any]], translated: Translated
) -> AsyncIterator[bytes]:
    """Yield what an output has; it is read on only while little waits to be taken."""
    output = _Output(open_it, translated)
    try:
        while data := await output.take():
            yield data
    finally:
        output.close()


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
        "User": image.get("User") or ("0" if container.get("User") else ""),
        "WorkingDir": image.get("WorkingDir") or "/",
    }


def _pairs(variables: list[str]) -> Iterator[tuple[str, str]]:
    for variable in variables:
        name, _, value = variable.partition("=")
        yield name, value
