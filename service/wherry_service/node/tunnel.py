"""Ports of a sandbox on ports of this host: a proxy for any protocol over TCP."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from wherry_service.node.copying import copy

log = logging.getLogger(__name__)

CONNECT_WITHIN_S = 10.0
# Of one tunnel, at once: each takes two of the files that the service may have open.
MAX_CONNECTIONS = 1000


@dataclass(frozen=True, slots=True)
class Target:
    """A port of a sandbox or of a function's container, as a tunnel reaches it."""

    owner_id: str
    port: int
    # Finds its address; "" if there is none. Raises `EngineError`.
    address: Callable[[], Awaitable[str]]
    begin_use: Callable[[], None]
    end_use: Callable[[], None]
    # Whether an address may reach it.
    admits: Callable[[str], bool]
    # What a token says of who uses it; None: nobody was asked for one.
    metadata: str | None = None


FindTarget = Callable[[str, int], Target | None]
"""From an owner's id and a port to what answers there; port 0: whichever, since a token says it."""


def anyone(address: str) -> bool:
    """Admit all addresses."""
    return True


class Tunnel:
    """One port. `address` finds the sandbox's, `on_open` and `on_close` hear of each connection."""

    def __init__(
        self,
        port: int,
        address: Callable[[], Awaitable[str]],
        on_open: Callable[[], None],
        on_close: Callable[[], None],
        admits: Callable[[str], bool],
    ) -> None:
        # Whether an address may connect.
        self._admits = admits
        self.port = port
        self.host = ""
        self.host_port = 0
        self._address = address
        self._on_open = on_open
        self._on_close = on_close
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[Any]] = set()
        # That there are too many has been said.
        self._full = False

    async def open(self, host: str, wanted: int = 0) -> None:
        """Listen on a port of this host: the wanted one if it is free, else any. Raises OSError."""
        try:
            self._server = await asyncio.start_server(self._serve, host, wanted)
        except OSError:
            if not wanted:
                raise
            self._server = await asyncio.start_server(self._serve, host, 0)
        self.host = host
        self.host_port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Stop listening, and end the open connections."""
        if self._server is not None:
            self._server.close()
        for task in list(self._connections):
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._connections) >= MAX_CONNECTIONS:
            self._refuse(writer)
            return
        if not self._admits(str(writer.get_extra_info("peername")[0])):
            writer.transport.abort()
            return
        self._full = self._full and len(self._connections) > MAX_CONNECTIONS // 2
        self._connections.add(task)
        self._on_open()
        try:
            await self._carry(reader, writer)
        except asyncio.CancelledError:
            # The tunnel is closed: an end in order, not an error to tell.
            writer.transport.abort()
        finally:
            self._connections.discard(task)
            self._on_close()
            writer.close()

    def _refuse(self, writer: asyncio.StreamWriter) -> None:
        if not self._full:
            self._full = True
            log.warning(
                "the tunnel at %s:%d has %d connections: more are refused", self.host, self.host_port, MAX_CONNECTIONS
            )
        writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(CONNECT_WITHIN_S):
                to_reader, to_writer = await asyncio.open_connection(await self._address(), self.port)
        except (OSError, TimeoutError):
            # As a port on which nobody listens: the connection is refused.
            writer.transport.abort()
            return
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(copy(reader, to_writer))
                group.create_task(copy(to_reader, writer))
        finally:
            to_writer.close()
