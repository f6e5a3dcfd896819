"""A network between clients and the service that can be cut, held up and taken down: a TCP proxy in a thread."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_PIECE = 1 << 16
# Closing a socket so sends a reset, not an end.
_RESET = struct.pack("ii", 1, 0)


class Proxy:
    """Forwards connections to a port of this machine."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[Any]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._asks, self._answers = asyncio.Event(), asyncio.Event()
        self._asks.set()
        self._answers.set()
        self._up = True
        self.port = self._on_loop(self._listen())

    def cut(self) -> int:
        """Reset all connections; return how many those were."""
        return self._on_loop(self._cut())

    def hold(self, *, answers_only: bool = False) -> None:
        """Let nothing through, or nothing of what the service says, until `release`."""
        self._call(self._answers.clear)
        if not answers_only:
            self._call(self._asks.clear)

    def release(self) -> None:
        """Let through what was held up, and what comes."""
        self._call(self._asks.set)
        self._call(self._answers.set)

    def take_down(self) -> int:
        """Reset all connections, and refuse new ones until `bring_up`."""
        self._up = False
        return self.cut()

    def bring_up(self) -> None:
        """Take connections again."""
        self._up = True

    def close(self) -> None:
        """End all connections, and the thread."""
        self.release()
        self.take_down()
        self._on_loop(self._stop())
        self._call(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _call(self, function: Callable[[], object]) -> None:
        self._loop.call_soon_threadsafe(function)

    def _on_loop(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def _stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await asyncio.gather(*self._serving, return_exceptions=True)
        # What was aborted is closed in the loop's next round.
        await asyncio.sleep(0)

    async def _cut(self) -> int:
        pairs = list(self._pairs)
        for writer in [writer for pair in pairs for writer in pair]:
            with contextlib.suppress(OSError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()
        return len(pairs)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._up:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        pair = (writer, far_writer)
        self._pairs.add(pair)
        try:
            await asyncio.gather(
                self._pump(reader, far_writer, self._asks), self._pump(far_reader, writer, self._answers)
            )
        finally:
            self._pairs.discard(pair)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, go: asyncio.Event) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_PIECE):
                await go.wait()
                writer.write(data)
                await writer.drain()
        writer.close()
