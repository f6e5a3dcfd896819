"""A web request and its response, between the ingress and a container: both ways in pieces, with back-pressure."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from wherry_proto.messages import CallKind, Failure, FailureKind, Format, Output, Payload
from wherry_service.calls.call import Call, Input
from wherry_service.calls.client import Client
from wherry_service.calls.dispatcher import Dispatcher
from wherry_service.calls.journal import Journal
from wherry_service.frames import FrameError, read_header, write_header
from wherry_service.ids import new_id
from wherry_service.node.node import NodeContainer
from wherry_service.pools.container import Container
from wherry_service.pools.pool import Pool

# Either side is ahead of the other by at most so much; and says so after taking this much of it.
WINDOW_BYTES = 1 << 20
WINDOW_PIECES = 64
TOOK_BYTES = 128 << 10
TOOK_PIECES = 16
# A larger piece is cut.
PIECE_BYTES = 256 << 10
# A container that does not keep to the window is cut off.
MOST_BYTES = 4 * WINDOW_BYTES
# What can begin or end a response; more of them than these make no sense.
_HEADS = ("start", "accept", "close")
# What a container may say at all: other kinds of events are the service's own.
_KINDS = frozenset((*_HEADS, "body", "message"))
_MOST_HEADS = 2

Event = tuple[dict[str, Any], bytes]
"""What the container says: a header with its kind at "k", and bytes."""

END = "end"


class Exchange:
    """One request on its way (implements `node.Stream`)."""

    def __init__(self, function_id: str, method: str, head: dict[str, Any], body: bytes) -> None:
        self.call = Call(new_id("fc"), function_id, CallKind.WEB, _Sender(self), "")
        data = write_header(head)
        data = b"".join((len(data).to_bytes(4, "big"), data, body))
        payload = Payload(format=Format.WEB, data=data, size=len(data))
        self.item = Input(new_id("in"), self.call, 0, payload, method, time.time_ns() // 1_000_000)
        self.item.stream = self
        # Set once it has ended.
        self.ended: Output | None = None
        # Whether nobody wants the response any more; called at its end then.
        self._abandoned: Callable[[], None] | None = None
        # Set when the app wants to read the body of a client that waits with it.
        self.wanted = asyncio.Event()
        self._container: NodeContainer | None = None
        # To the container: what it has not taken yet, in order; how many bytes that is; who waits to say more.
        self._ahead: deque[Event] = deque()
        self._ahead_bytes = 0
        self._room: asyncio.Future[None] | None = None
        # From the container.
        self._events: deque[Event] = deque()
        self._event_bytes = 0
        self._num_heads = 0
        self._taken_pieces = 0
        self._taken_bytes = 0
        self._news: asyncio.Future[None] | None = None

    @property
    def request_id(self) -> str:
        return self.item.input_id

    @property
    def has_begun(self) -> bool:
        """Whether a container was given it."""
        return self._container is not None

    # To the container

    async def put(self, header: dict[str, Any], part: bytes = b"") -> None:
        """Send a piece when there is room for it; a large one in several, `more` being true for all but the last."""
        while len(part) > PIECE_BYTES:
            await self._put({**header, "more": True}, part[:PIECE_BYTES])
            part = part[PIECE_BYTES:]
        await self._put(header, part)

    async def _put(self, header: dict[str, Any], part: bytes) -> None:
        while self._ahead_bytes >= WINDOW_BYTES or len(self._ahead) >= WINDOW_PIECES:
            if self.ended is not None:
                return
            self._room = asyncio.get_running_loop().create_future()
            await self._room
        self.tell(header, part)

    def tell(self, header: dict[str, Any], part: bytes = b"") -> None:
        """Send a piece at once."""
        self._ahead.append((header, part))
        self._ahead_bytes += len(part)
        if self._container is not None:
            self._container.stream(self.request_id, header, part)

    # node.Stream

    def attach(self, container: NodeContainer) -> None:
        self._container = container
        for header, part in self._ahead:
            container.stream(self.request_id, header, part)

    def detach(self) -> None:
        self._container = None

    def feed(self, header: dict[str, Any], part: bytes) -> None:
        if header["k"] == "took":
            self._took(header.get("n"))
            return
        if header["k"] == "want":
            self.wanted.set()
            return
        if header["k"] not in _KINDS:
            raise ValueError(f"sent an unknown piece of a response, {header['k'][:32]!r}")
        if header["k"] in _HEADS:
            self._num_heads += 1
            if self._num_heads > _MOST_HEADS:
                raise ValueError("began a response again and again")
        if self._abandoned is not None:
            self._event_bytes += len(part) + 64
            self.took((header, part))
            return
        self._event_bytes += len(part) + 64
        if self._event_bytes > MOST_BYTES:
            raise ValueError("sent more of a response than its window allows")
        self._heard((header, part))

    def _took(self, count: Any) -> None:
        if type(count) is not int or not 0 <= count <= len(self._ahead):
            raise ValueError("took more of a request than there was")
        for _ in range(count):
            self._ahead_bytes -= len(self._ahead.popleft()[1])
        self._make_room()

    def _make_room(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    # From the container

    async def next(self) -> Event:
        """Wait for what it says next; the last one's kind is `END`, and `ended` says how."""
        while not self._events:
            self._news = asyncio.get_running_loop().create_future()
            await self._news
        return self._events.popleft()

    def interrupt(self) -> None:
        """Have whoever waits for the next event look at what else has happened."""
        self._heard(({"k": "interrupt"}, b""))

    def is_next_there(self) -> bool:
        return bool(self._events)

    def took(self, event: Event) -> None:
        """Say that a piece was passed on, so that the container may send more."""
        size = len(event[1])
        self._event_bytes -= size + 64
        self._taken_pieces += 1
        self._taken_bytes += size
        if (self._taken_pieces >= TOOK_PIECES or self._taken_bytes >= TOOK_BYTES) and self.ended is None:
            if self._container is not None:
                self._container.stream(self.request_id, {"k": "took", "n": self._taken_pieces}, b"")
            self._taken_pieces = self._taken_bytes = 0

    def abandon(self, at_end: Callable[[], None]) -> None:
        """Drop what the container still says, and what it has said."""
        self._abandoned = at_end
        while self._events:
            self.took(self._events.popleft())

    def _heard(self, event: Event) -> None:
        self._events.append(event)
        news, self._news = self._news, None
        if news is not None and not news.done():
            news.set_result(None)

    def end(self, output: Output) -> None:
        """Hear how it ended."""
        self.ended = output
        if self._abandoned is not None:
            self._abandoned()
        self._heard(({"k": END}, b""))
        self._make_room()


class _Sender(Client):
    """Stands for who sent the request, as the call's client: only the end is of interest."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__("", "")
        self._exchange = exchange

    def output(self, output: Output) -> None:
        self._exchange.end(output)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request was not taken; `status` is the HTTP status that says it best, 0: the failure's own."""

    failure: Failure
    status: int = 0


def _unserved(pool: Pool[Input], why: str, status: int) -> Refusal:
    text = f"server {pool.plan.name!r}: {why}; send it again"
    return Refusal(Failure(kind=FailureKind.EXHAUSTED, message=text), status)


class Exchanges:
    """Gives requests to functions."""

    def __init__(self, journal: Journal, dispatcher: Dispatcher, queue_limit: int) -> None:
        self._journal = journal
        self._dispatcher = dispatcher
        self._queue_limit = queue_limit

    def open(
        self,
        exchange: Exchange,
        affinity: Callable[[], bytes] = lambda: b"",
        container: Container[Input] | None = None,
    ) -> Refusal | None:
        """Queue a request, or give it to a server; return why not, where it can't be.

        Requests to a server of the same `affinity` go to the same container; b"" is none. Nothing but a server asks
        for it. `container`: that of the request's session.
        """
        if container is not None:
            return self._give(exchange, container)
        queue = self._dispatcher.queue(exchange.call.function_id)
        if queue is not None and queue.pool.plan.is_server:
            return self._place(exchange, queue.pool, affinity())
        failure = self._refusal(exchange)
        if failure is not None:
            return Refusal(failure)
        self._journal.take_in(exchange.item)
        self._dispatcher.submit((exchange.item,))
        return None

    def _place(self, exchange: Exchange, pool: Pool[Input], key: bytes) -> Refusal | None:
        """Give a request to a container that is ready; where there is none, one starts."""
        container = pool.place_of(key)
        if container is None:
            pool.wake()
            return _unserved(pool, "no container is ready yet", 503)
        if len(container.held) >= container.slots:
            return _unserved(pool, f"its container has the {container.slots} requests that it takes at once", 429)
        self._give(exchange, container)
        pool.scale()
        return None

    def _give(self, exchange: Exchange, container: Container[Input]) -> Refusal | None:
        if not container.accepts:
            text = "the container of this session does not answer: send it again"
            return Refusal(Failure(kind=FailureKind.EXHAUSTED, message=text), 503)
        self._journal.take_in(exchange.item)
        exchange.item.container = container
        exchange.item.started_ms = time.time_ns() // 1_000_000
        container.send((exchange.item,))
        return None

    def _refusal(self, exchange: Exchange) -> Failure | None:
        queue = self._dispatcher.queue(exchange.call.function_id)
        if self._queue_limit and queue is not None and len(queue) >= self._queue_limit:
            message = f"{len(queue)} requests wait for {queue.pool.plan.name!r} already"
            return Failure(kind=FailureKind.EXHAUSTED, message=message)
        return self._dispatcher.gate()(exchange.item)

    def withdraw(self, exchange: Exchange) -> None:
        """Cancel a request that no container has been given: its sender is gone."""
        if exchange.ended is None and exchange.item.container is None:
            self._dispatcher.cancel(exchange.call)

    def close(self, exchange: Exchange) -> None:
        """Forget a request that has ended, or whose sender is gone: it ends if it has not begun, else it runs on."""
        if exchange.ended is None and exchange.item.container is None:
            self._dispatcher.cancel(exchange.call)
        if exchange.ended is not None:
            self._journal.forget(exchange.call)
        else:
            exchange.abandon(lambda: self._journal.forget(exchange.call))


def response_of(payload: Payload) -> tuple[dict[str, Any], bytes] | None:
    """Return the head and body of a response that came whole, None for one in pieces; raise ValueError on nonsense."""
    data = payload.data
    if not data:
        return None
    size = int.from_bytes(data[:4], "big")
    if payload.format != Format.WEB or len(data) < 4 + size:
        raise ValueError("a response is malformed")
    try:
        header = read_header(data[4 : 4 + size])
    except FrameError as error:
        raise ValueError(str(error)) from None
    if not isinstance(header, dict):
        raise ValueError("a response's header is malformed")
    return header, data[4 + size :]
