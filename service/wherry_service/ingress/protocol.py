"""HTTP/1.1 and websockets on a connection: uvicorn's, with bounds on heads and on how long they take."""

import asyncio
import sys
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request

from wherry_service.ingress.heads import is_host
from wherry_service.ingress.refusals import Refusals

# In a scope: ends the connection at once. Closed in order, it would wait for a client that takes nothing.
ABORT = "wherry.abort"

# In a scope: an event that is set when the connection has been lost, for those who do not receive yet.
LOST = "wherry.lost"

REFUSED = {
    400: b"400 Bad Request",
    408: b"408 Request Timeout",
    431: b"431 Request Header Fields Too Large",
}
MAX_HEADERS = 256
# Requests of one connection behind the one that is answered; hardly any client sends more than that one.
MAX_WAITING = 64
# How long a client that is refused may go on sending before the connection is closed.
LINGER_S = 1.0
# Of a websocket's bytes, read at once.
PIECE_BYTES = 4 << 10


class Malformed(Exception):
    """A head breaks a rule that the parser does not know."""


class BoundedHttp(HttpToolsProtocol):
    """Refuses heads that are too large, too slow, or mean different things to different readers."""

    max_head_bytes = 64 << 10
    head_timeout_s = 20.0
    refusals = Refusals()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._in_head = True
        self._lost = asyncio.Event()
        # Bytes of the head so far; and of what is not the body, since its last piece.
        self._head_bytes = self._idle_bytes = 0
        self._refusal = 400
        self._timer: asyncio.TimerHandle | None = None
        self._refused = False
        # Of the request that is answered.
        self._served: RequestResponseCycle | None = None
        self._expect_head()

    def _expect_head(self) -> None:
        self._timer = self.loop.call_later(self.head_timeout_s, self._late)

    def _late(self) -> None:
        self._timer = None
        if self._in_head and not self.transport.is_closing():
            self._refuse(408, f"the request's head did not come within {self.head_timeout_s:g} s")

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._lost.set()
        # uvicorn tells the newest request alone, and another one may be the one that is answered.
        self.pipeline.clear()
        if self._served is not None and not self._served.response_complete:
            self._served.disconnected = True
            self._served.message_event.set()
        super().connection_lost(exc)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing() or self._refused:
            return
        if self._in_head:
            self._head_bytes += len(data)
        self._idle_bytes += len(data)
        super().data_received(data)
        if self._refused:  # by what the parser found
            return
        # What chunks say of themselves, and trailers: the parser keeps a line that has not ended.
        if not self._in_head and self._idle_bytes > self.max_head_bytes and not self.transport.is_closing():
            self._refuse(431, "the request's trailers are too large")
        # The parser keeps a header that has not ended; several requests may be in one piece.
        if self._in_head and self._head_bytes > self.max_head_bytes and not self.transport.is_closing():
            self._refuse(431, "the request's headers are too large")

    # Parser callbacks: what they raise is the context of an error of the parser

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope[ABORT] = self.transport.abort  # type: ignore[literal-required]
        self.scope[LOST] = self._lost  # type: ignore[literal-required]
        if not self._in_head:
            self._in_head, self._head_bytes = True, 0
        self._hosts = self._lengths = 0
        self._sizes = 0
        self._chunked = False
        if self._timer is None:
            self._expect_head()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        if not self._in_head:
            # A trailer. Headers are what was checked, by us and by whoever is before us: it is not one of them.
            return
        super().on_header(name, value)
        name = name.lower()
        if name == b"host":
            self._hosts += 1
        elif name == b"content-length":
            self._lengths += 1
        elif name == b"transfer-encoding":
            self._check(not self._chunked and value.strip().lower() == b"chunked", "transfer-encoding is not chunked")
            self._chunked = True
        self._check(len(self.headers) <= MAX_HEADERS, "too many headers", 431)

    def on_body(self, body: bytes) -> None:
        self._idle_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._idle_bytes = 0
        super().on_message_complete()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_bytes = self._idle_bytes = 0
        self._stop_timer()
        version = self.parser.get_http_version()
        self._check(self._hosts == 1 or (version == "1.0" and not self._hosts), "host is missing, or there are two")
        self._check(
            all(is_host(value) for name, value in self.headers if name == b"host"), "host is not a name and a port"
        )
        self._check(self._lengths <= 1, "there are two lengths")
        self._check(not (self._lengths and self._chunked), "there are a length and chunks")
        self._check(not (self._chunked and version == "1.0"), "HTTP/1.0 has no chunks")
        if self.url[:1] != b"/" and self.url != b"*":
            self._check(b"://" in self.url, "the target is no path")
            self._check(self._is_of_host(), "the target's host is another than the header's")
        self._check(len(self.pipeline) < MAX_WAITING, "too many requests that wait for the answers of others")
        super().on_headers_complete()

    def _is_of_host(self) -> bool:
        """Whether a target with a host in it has the one that the header names: it counts for some, that for us."""
        try:
            found = httptools.parse_url(self.url)
        except httptools.HttpParserInvalidURLError:
            return False
        (host,) = (value for name, value in self.headers if name == b"host")
        named = (found.host or b"") + (b":%d" % found.port if found.port else b"")
        return found.userinfo is None and named.lower() == host.strip().lower()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._served = cycle
        super()._start_asgi_task(cycle, _until_close(cycle, app) if self.scope["http_version"] == "1.0" else app)

    def _count(self, size: int) -> None:
        self._sizes += size
        self._check(self._sizes <= self.max_head_bytes, "headers are too large", 431)

    def _check(self, holds: bool, what: str, status: int = 400) -> None:
        if not holds:
            self._refusal = status
            raise Malformed(what)

    # Refusing

    def send_400_response(self, msg: str) -> None:
        # uvicorn says the same of all: the parser's error, which it handles just now, says what is wrong.
        error = sys.exception()
        ours = error.__context__ if error is not None else None
        self._refuse(self._refusal, str(ours if isinstance(ours, Malformed) else error or msg))

    def _refuse(self, status: int, text: str) -> None:
        self.refusals.add((self.client or ("?",))[0], status, text)
        cycle: Any = self.cycle
        if self.pipeline or (cycle is not None and not cycle.response_complete and cycle.response_started):
            # In the midst of a response nothing can be said any more.
            self.transport.abort()
            return
        if cycle is not None and not cycle.response_complete:
            # The app of the request whose body is malformed hears that its client is gone.
            cycle.disconnected = True
            cycle.message_event.set()
        self._stop_timer()
        self._in_head = False
        body = f"{REFUSED[status].decode()}: {text}\n".encode()
        self.transport.write(
            b"HTTP/1.1 %s\r\ncontent-type: text/plain; charset=utf-8\r\n"
            b"content-length: %d\r\nconnection: close\r\n\r\n%s" % (REFUSED[status], len(body), body)
        )
        # Closed with bytes unread, the connection would be reset, and the answer lost with it.
        self._refused = True
        self.transport.write_eof()
        self._timer = self.loop.call_later(LINGER_S, self.transport.close)


def _until_close(cycle: RequestResponseCycle, app: Any) -> Any:
    """Have responses to HTTP/1.0, which knows no chunks, end with the connection where they have no length."""

    async def served(scope: Any, receive: Any, send: Any) -> None:
        endless = False

        async def unchunked(message: Any) -> None:
            nonlocal endless
            if message["type"] == "http.response.start":
                endless = all(name.lower() != b"content-length" for name, _ in message.get("headers", ()))
                if endless:
                    cycle.chunked_encoding = False
            elif endless:
                cycle.expected_content_length = len(message.get("body", b""))
            await send(message)

        await app(scope, receive, unchunked)

    return served


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """Can be ended at once; holds no more of a client's than a message and what one piece of its bytes becomes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        # What arrived behind a message that nobody has taken yet.
        self._held = b""

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):
            self.scope[ABORT] = self.transport.abort  # type: ignore[literal-required]

    def data_received(self, data: bytes) -> None:
        self._held = self._held + data if self._held else data
        self._feed()

    async def receive(self) -> Any:
        message = await super().receive()
        self._feed()
        return message

    def _feed(self) -> None:
        """Have it read by pieces: many messages may be in what has arrived, and compressed ones are much larger."""
        position = 0
        while position < len(self._held) and not self.read_paused and not self.transport.is_closing():
            piece = self._held[position : position + PIECE_BYTES]
            position += len(piece)
            super().data_received(piece)
        self._held = b"" if self.transport.is_closing() else self._held[position:]

    def handle_cont(self, event: Frame) -> None:
        # Not kept one by one: there may be millions, of nothing each.
        joined = self.frames[0] if isinstance(self.frames[0], bytearray) else bytearray(self.frames[0])
        joined += event.data
        self.frames = [joined]  # type: ignore[list-item]
        if event.fin:
            self.frames = [bytes(joined)]
            self.send_receive_event_to_app()

    def handle_ping(self) -> None:
        answer = b"".join(self.conn.data_to_send())
        # Who reads nothing gets no more answers: they would wait in memory, and nothing bounds how many it asks for.
        if self.writable.is_set():
            self.transport.write(answer)
