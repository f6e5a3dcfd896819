"""gRPC on a unix socket that only its owner can open: `wherry.sock`.

gRPC bounds a message, and not how many have begun at a time. So what comes passes through here on its way to a socket
of gRPC's own, and the bytes of messages that are not whole are counted.
"""

import asyncio
import contextlib
import logging
import os
from pathlib import Path
from typing import cast

import grpc.aio

from wherry_service.api.budget import Budget
from wherry_service.api.edge import MESSAGE_LIMIT, generic_handlers
from wherry_service.api.rpc import Handler
from wherry_service.api.tally import Tally
from wherry_service.errors import Rarely

log = logging.getLogger(__name__)

SOCKET_NAME = "wherry.sock"
# Where gRPC listens.
INNER_NAME = "grpc.sock"
MAX_CONNECTIONS = 10_000
# Bytes of messages that have begun and are not whole: of one connection, and of all.
MAX_CONNECTION_BYTES = 256 << 20
MAX_BYTES = 1 << 30
# Requests of one connection at a time; one more waits at its client.
MAX_STREAMS = 10_000


class SocketEdge:
    """Serves the service's handlers to its own user."""

    def __init__(
        self, state_dir: Path, max_connection_bytes: int = MAX_CONNECTION_BYTES, max_bytes: int = MAX_BYTES
    ) -> None:
        self.budget = Budget(max_bytes)
        self.max_connection_bytes = max_connection_bytes
        self.connections: set[_Front] = set()
        self._none_is_left = asyncio.Event()
        self._none_is_left.set()
        self._rarely = Rarely()
        self._path, self._inner = state_dir / SOCKET_NAME, state_dir / INNER_NAME
        self._listening: asyncio.Server | None = None
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", MESSAGE_LIMIT),
                ("grpc.max_send_message_length", MESSAGE_LIMIT),
                ("grpc.max_concurrent_streams", MAX_STREAMS),
            ]
        )

    async def start(self, handlers: dict[str, Handler]) -> None:
        """Listen."""
        self._server.add_generic_rpc_handlers((generic_handlers(handlers),))
        # Only their owner may connect: the sockets are the credential.
        before = os.umask(0o177)
        try:
            for path in (self._path, self._inner):
                path.unlink(missing_ok=True)
            self._server.add_insecure_port(f"unix:{self._inner}")
        finally:
            os.umask(before)
        self._inner.chmod(0o600)
        await self._server.start()
        before = os.umask(0o177)
        try:
            self._listening = await asyncio.get_running_loop().create_unix_server(
                lambda: _Front(self, self._inner), path=str(self._path)
            )
        finally:
            os.umask(before)

    async def stop(self, grace_s: float) -> None:
        """Stop listening, let what is being answered end, and remove the sockets."""
        if self._listening is not None:
            self._listening.close()
        await self._server.stop(grace_s)
        for connection in list(self.connections):
            connection.close()
        await self._none_is_left.wait()
        for path in (self._path, self._inner):
            path.unlink(missing_ok=True)

    def joined(self, connection: "_Front") -> None:
        """Hear of a connection more."""
        self.connections.add(connection)
        self._none_is_left.clear()

    def left(self, connection: "_Front") -> None:
        """Hear that one has ended."""
        self.connections.discard(connection)
        if not self.connections:
            self._none_is_left.set()

    def tell(self, what: str) -> None:
        """Say once in a while in the log what a client was refused for."""
        if self._rarely.may_tell(what[:24]):
            log.warning("a client on %s %s", SOCKET_NAME, what)


class _Half(asyncio.Protocol):
    """One of the two sockets of a connection; what it reads is written to the other."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def other(self) -> "_Half":
        raise NotImplementedError

    def pause_writing(self) -> None:
        if (transport := self.other().transport) is not None:
            with contextlib.suppress(RuntimeError):  # it is paused or closed already
                transport.pause_reading()

    def resume_writing(self) -> None:
        if (transport := self.other().transport) is not None:
            with contextlib.suppress(RuntimeError):
                transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        # What was read of this one is still written to the other.
        if (transport := self.other().transport) is not None:
            transport.close()


class _Front(_Half):
    """The client's side."""

    def __init__(self, edge: SocketEdge, inner: Path) -> None:
        super().__init__()
        self.tally = Tally()
        self._edge = edge
        self._inner = inner
        self._back = _Back(self)
        self._counted = 0
        self._dialling: asyncio.Task[None] | None = None
        # What came before gRPC's side was there. Not None: it is not there yet.
        self._early: list[bytes] | None = []

    def other(self) -> _Half:
        return self._back

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.transport is not None
        self._edge.joined(self)
        if len(self._edge.connections) > MAX_CONNECTIONS:
            self._edge.tell(f"finds {MAX_CONNECTIONS} open connections: more are refused")
            self.transport.abort()
            return
        self._dialling = asyncio.ensure_future(self._dial())

    async def _dial(self) -> None:
        try:
            await asyncio.get_running_loop().create_unix_connection(lambda: self._back, path=str(self._inner))
        except OSError as error:
            self._edge.tell(f"can't be served: {error.strerror}")
            self.close()
            return
        if self.transport is None:
            self._back.close()
            return
        early, self._early = self._early or [], None
        for data in early:
            self.data_received(data)
        self._back.resume_writing()

    def data_received(self, data: bytes) -> None:
        if self._early is not None:
            # Here and not when it is made: uvloop begins to read after that.
            self._early.append(data)
            self._back.pause_writing()
            return
        if self._back.transport is None or self._back.transport.is_closing():
            return
        self.tally.sent.feed(data)
        self._back.transport.write(data)
        self.count()

    def count(self) -> None:
        """Note what is held now; end the connection where that is too much."""
        more, self._counted = self.tally.held - self._counted, self.tally.held
        fits = self._edge.budget.change(more)
        if more > 0 and (not fits or self._counted > self._edge.max_connection_bytes):
            self._edge.tell(f"has requests of {self._counted >> 20} MiB begun: the connection is closed")
            self.close()

    def close(self) -> None:
        if self.transport is not None:
            self.transport.abort()
        self._back.close()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._edge.left(self)
        self._edge.budget.change(-self._counted)
        self._counted = self.tally.held = 0


class _Back(_Half):
    """gRPC's side."""

    def __init__(self, front: _Front) -> None:
        super().__init__()
        self._front = front

    def other(self) -> _Half:
        return self._front

    def data_received(self, data: bytes) -> None:
        if self._front.transport is None:
            return
        self._front.tally.answered.feed(data)
        self._front.transport.write(data)
        self._front.count()

    def close(self) -> None:
        if self.transport is not None:
            self.transport.abort()
