"""The API for clients on this machine: frames on a unix socket that only its owner can open.

One connection carries one call of a method. The client sends ["call", METHOD, row], then ["item", row] where it
streams, then ["end"]; the service answers with ["item", row] once or often, then ["end"], or ["error", STATUS, text].
A row is a message as `wherry_proto.rows` makes it, its bytes in the frame's body. Closing the connection cancels.

Against gRPC this saves four thread switches a call, which are most of a warm call's time on an idle machine, and the
client need not load gRPC at all.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator
from typing import Any, cast

from wherry_proto import messages, rows, services
from wherry_proto.messages import Message, SessionUp
from wherry_service.api.budget import Budget
from wherry_service.api.rpc import Handler
from wherry_service.api.sessions import Session, SessionApi, SessionGuard
from wherry_service.api.statuses import status_of
from wherry_service.errors import Exhausted, InvalidRequest, Rarely
from wherry_service.frames import FrameError, Splitter, pack, read_header, write_header
from wherry_service.node.execs import WithSocket
from wherry_service.tasks import Tasks

log = logging.getLogger(__name__)

MAX_FRAME = 64 << 20
MAX_CONNECTIONS = 10_000
# Bytes of requests, begun or being answered, of all connections together.
MAX_BYTES = 1 << 30
SESSION = "Calls.Session"
# Items of an upload that may wait before the client is read no further.
_MAX_WAITING = 8
# Seconds until a client that has much to read is looked at again.
_AGAIN_S = 0.01


class LocalApi:
    """Makes a `Connection` for each client that connects."""

    def __init__(
        self,
        handlers: dict[str, Handler],
        sessions: SessionApi,
        guard: SessionGuard | None = None,
        limit: int = MAX_FRAME,
        max_connections: int = MAX_CONNECTIONS,
        budget: Budget | None = None,
        peer: str = "this machine's clients",
    ) -> None:
        self.handlers = handlers
        self.sessions = sessions
        self.guard = guard
        # Bytes of a frame's header, and of its body.
        self.limit = limit
        self.max_connections = max_connections
        self.budget = budget or Budget(MAX_BYTES)
        # Who connects, for the log.
        self.peer = peer
        self.rarely = Rarely()
        self.connections: set[Connection] = set()
        self.tasks = Tasks("a request could not be answered")

    def __call__(self) -> asyncio.Protocol:
        return Connection(self)

    def close(self) -> None:
        """Close every connection: the service ends."""
        for connection in list(self.connections):
            connection.close()

    def drop_unfinished(self) -> None:
        """Close the connections whose requests take room."""
        for connection in list(self.connections):
            if connection.held_bytes:
                connection.fail(Exhausted("the requests of all containers take too much room: try again later"))


class Connection(asyncio.Protocol):
    """One connection: one call."""

    def __init__(self, api: LocalApi) -> None:
        self._api = api
        self._splitter = Splitter(api.limit, api.limit)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._method = ""
        self._request: type[Message] = SessionUp
        self._session: Session | None = None
        self._items: asyncio.Queue[tuple[Message | None, int]] = asyncio.Queue()
        # Of requests: what has been read and is being answered; and that with what has begun, as the budget has it.
        self._asked_bytes = 0
        self.held_bytes = 0
        self._task: asyncio.Task[None] | None = None
        self._flushing = False
        self._writable = asyncio.Event()
        self._writable.set()

    def close(self) -> None:
        """Close it, what was written first."""
        if self._transport is not None:
            self._transport.close()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._api.connections.add(self)
        if len(self._api.connections) > self._api.max_connections:
            self._tell(f"has {self._api.max_connections} open connections: more are refused")
            self.fail(Exhausted(f"there are {self._api.max_connections} open connections: close some"))

    def data_received(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        try:
            for head, body in self._splitter.feed(data):
                self._frame(read_header(head), head, body)
        except (FrameError, rows.RowError, ValueError, LookupError, TypeError, RecursionError) as error:
            self.fail(InvalidRequest(f"what came is no message of this service's: {error}"))
        except Exception as error:  # noqa: BLE001 - every error is answered; what is not ours is logged with its stack
            self.fail(error)
        if (held := self._splitter.waiting + self._asked_bytes) != self.held_bytes:
            self._hold(held)

    def _hold(self, held: int) -> None:
        more, self.held_bytes = held - self.held_bytes, held
        if not self._api.budget.change(more):
            self._tell(f"has requests of {self._api.budget.used >> 20} MiB open: the connection is closed")
            most = self._api.budget.most >> 20
            self.fail(Exhausted(f"requests that are open at a time have at most {most} MiB together: send fewer"))

    def _tell(self, what: str) -> None:
        if self._api.rarely.may_tell(what[:24]):
            log.warning("%s %s", self._api.peer, what)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()
        if self._session is not None:
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._api.connections.discard(self)
        self._transport = None
        self._api.budget.change(-self.held_bytes)
        self.held_bytes = 0
        self._writable.set()
        if self._session is not None:
            self._session.end()
        if self._task is not None:
            self._task.cancel()

    # Hearing

    def _frame(self, header: Any, head: bytes, body: bytes) -> None:
        kind = header[0]
        if not self._method and kind in ("item", "end"):
            raise InvalidRequest(f"a frame {kind!r} came before any call")
        if kind == "item":
            message = rows.from_row(self._request, header[1], body)
            if self._session is not None:
                self._session.receive(cast("SessionUp", message))
            else:
                self._put(message, len(head) + len(body))
        elif kind == "call" and not self._method:
            self._call(header[1], header[2], body)
            if self._session is None:
                # Held until it is answered: it may wait for long.
                self._asked_bytes += len(head) + len(body)
        elif kind == "end" and self._session is not None:
            self._flush()
            self._end(["end"])
        elif kind == "end":
            self._put(None, 0)
        else:
            raise InvalidRequest(f"unknown frame {str(kind)[:32]!r}")

    def _call(self, name: str, row: Any, body: bytes) -> None:
        method = services.METHODS.get(name)
        if method is None or (name != SESSION and name not in self._api.handlers):
            raise InvalidRequest(f"this service has no method {name[:64]!r}")
        self._method = name
        self._request = getattr(messages, method.request)
        first = rows.from_row(self._request, row, body)
        if name == SESSION:
            self._session = self._api.sessions.begin(cast("SessionUp", first), self._api.guard)
            self._send(self._api.sessions.welcome())
            self._session.client.attach(self._wake)
            return
        request: Any = first
        if method.client_stream:
            self._items.put_nowait((first, 0))
            request = self._uploaded()
        self._task = self._api.tasks.spawn(self._serve(method.server_stream, self._api.handlers[name], request))

    def _put(self, item: Message | None, size: int) -> None:
        self._items.put_nowait((item, size))
        self._asked_bytes += size
        if self._items.qsize() > _MAX_WAITING and self._transport is not None:
            self._transport.pause_reading()

    async def _uploaded(self) -> AsyncIterator[Message]:
        while True:
            item, size = await self._items.get()
            if item is None:
                return
            self._asked_bytes -= size
            if self._transport is not None and size:
                self._hold(self.held_bytes - size)
            if self._items.qsize() <= _MAX_WAITING and self._transport is not None:
                self._transport.resume_reading()
            yield item

    # Answering

    async def _serve(self, streams: bool, handler: Any, request: Any) -> None:
        try:
            if streams:
                async for message in handler(request):
                    await self._writable.wait()
                    if isinstance(message, WithSocket):
                        await self._send_with(message.reply, message.socket)
                    else:
                        self._send(message)
            else:
                self._send(await handler(request))
        except Exception as error:  # noqa: BLE001 - every error becomes a status; what is not ours is logged
            self.fail(error)
        else:
            self._end(["end"])

    def _wake(self) -> None:
        # Once per turn of the loop: whatever has gathered by then goes out in one message.
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        session = self._session
        if session is None or self._transport is None:
            return
        if not session.is_current:
            self._transport.close()
            return
        while self._writable.is_set() and (message := session.client.take()) is not None:
            self._send(message)

    def _send(self, message: Message) -> None:
        if self._transport is not None:
            self._transport.write(_framed(message))

    async def _send_with(self, message: Message, other: socket.socket) -> None:
        """Send a message with a socket, beside the transport, which knows nothing of such: when it has sent all."""
        frame = _framed(message)
        while self._transport is not None and other.fileno() >= 0:
            if not self._transport.get_write_buffer_size():
                number = self._transport.get_extra_info("socket").fileno()
                with socket.socket(fileno=os.dup(number)) as own, contextlib.suppress(BlockingIOError):
                    sent = socket.send_fds(own, [frame], [other.fileno()])
                    self._transport.write(frame[sent:])
                    return
            await asyncio.sleep(_AGAIN_S)

    def fail(self, error: Exception) -> None:
        """Answer with an error, and close."""
        status, text = status_of(self._method or "a call", error)
        self._end(["error", status, text])

    def _end(self, header: list[str]) -> None:
        if self._transport is not None:
            self._transport.write(pack(write_header(header), []))
            self._transport.close()


def _framed(message: Message) -> bytes:
    parts: list[bytes] = []
    row = rows.to_row(message, parts)
    return pack(write_header(["item", row]), parts)
