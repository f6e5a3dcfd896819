"""Requests and web sockets to ports of sandboxes and containers: passed on, and back, and never kept."""

import asyncio
import contextlib
import logging
from typing import Any

import httptools

from wherry_service.engines.engine import EngineError
from wherry_service.ingress.answers import Answer
from wherry_service.ingress.heads import BODILESS, HOP_BY_HOP, Headers, header
from wherry_service.node.tunnel import Target

log = logging.getLogger(__name__)

CONNECT_WITHIN_S = 10.0
NO_WAY = "a service that is itself a container, as with compose.yaml, does not reach the network of sandboxes"
MAX_RESPONSE_HEAD = 64 << 10
MAX_MESSAGE = 16 << 20
_PIECE = 1 << 16


async def connect(target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | str:
    """Return a connection to where a target answers, or why there is none."""
    try:
        async with asyncio.timeout(CONNECT_WITHIN_S):
            if address := await target.address():
                return await asyncio.open_connection(address, target.port)
    except (ConnectionRefusedError, EngineError):
        pass
    except (OSError, TimeoutError):
        # Nobody has said no: what is sent there does not arrive.
        return f"port {target.port} there is out of the service's reach: {NO_WAY}"
    return f"nothing listens on port {target.port} there"


class _Response:
    """What the parser has read of a response, not yet passed on (a protocol of httptools)."""

    def __init__(self) -> None:
        self.headers: Headers = []
        self.begun = self.complete = False
        self.body: list[bytes] = []
        self.size = 0

    def on_message_begin(self) -> None:
        self.headers, self.size = [], 0

    def on_header(self, name: bytes, value: bytes) -> None:
        self.size += len(name) + len(value)
        if self.size > MAX_RESPONSE_HEAD:
            raise ValueError("the head is too large")
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.begun = True

    def on_body(self, body: bytes) -> None:
        self.body.append(body)

    def on_message_complete(self) -> None:
        self.complete = True


class TunnelRequest:
    """One HTTP request to a tunnel, and its response back, neither kept."""

    def __init__(self, scope: dict[str, Any], receive: Any, send: Any, target: Target) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._target = target
        self._started = False

    async def serve(self, path: str, headers: list[list[str]]) -> None:
        """Pass it on to that path with these headers."""
        connection = await connect(self._target)
        if isinstance(connection, str):
            await Answer(502, connection).send(self._send)
            return
        reader, writer = connection
        sending = asyncio.ensure_future(self._pass_body(writer, self._head(path, headers)))
        try:
            await self._respond(reader)
        except (OSError, ValueError, httptools.HttpParserError) as error:
            log.info("a response of port %d of %s broke: %s", self._target.port, self._target.owner_id, error)
            if not self._started:
                await Answer(502, "what answers there sent no HTTP response").send(self._send)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            writer.close()

    def _head(self, path: str, headers: list[list[str]]) -> bytes:
        rows = [f"{self._scope['method']} {path} HTTP/1.1"]
        rows += [f"{name}: {value}" for name, value in headers]
        if self._is_chunked:
            rows.append("transfer-encoding: chunked")
        return "\r\n".join([*rows, "connection: close", "", ""]).encode("latin-1")

    @property
    def _is_chunked(self) -> bool:
        return bool(header(self._scope, b"transfer-encoding"))

    async def _pass_body(self, writer: asyncio.StreamWriter, head: bytes) -> None:
        """Send the head, then the body as it comes; then wait for the client to go."""
        with contextlib.suppress(OSError):
            writer.write(head)
            while True:
                message = await self._receive()
                if message["type"] != "http.request":
                    # The client is gone: so is its request.
                    writer.transport.abort()
                    return
                body = message.get("body", b"")
                if self._is_chunked and body:
                    body = b"%x\r\n%s\r\n" % (len(body), body)
                if self._is_chunked and not message.get("more_body"):
                    body += b"0\r\n\r\n"
                if body:
                    writer.write(body)
                    await writer.drain()

    async def _respond(self, reader: asyncio.StreamReader) -> None:
        response = _Response()
        parser = httptools.HttpResponseParser(response)
        while True:
            data = await reader.read(_PIECE)
            if data:
                parser.feed_data(data)
            if response.begun and not self._started:
                status = parser.get_status_code()
                if status < 200:
                    # A remark ahead of the response.
                    response.begun = response.complete = False
                    if status == 101:
                        raise ValueError("it changes the protocol")
                    continue
                await self._start(status, response.headers)
                if self._scope["method"] == "HEAD" or status in BODILESS:
                    await self._body(b"", False)
                    return
            if response.body:
                whole, response.body = b"".join(response.body), []
                await self._body(whole, not response.complete)
            elif response.complete and self._started:
                await self._body(b"", False)
            if response.complete:
                return
            if not data:
                if not self._started:
                    raise ValueError("it ended without a response")
                if any(name in (b"content-length", b"transfer-encoding") for name, _ in response.headers):
                    # In the midst of it: the client's connection ends without the response's end.
                    return
                await self._body(b"", False)
                return

    async def _start(self, status: int, headers: Headers) -> None:
        self._started = True
        kept = [row for row in headers if row[0] not in HOP_BY_HOP]
        await self._send({"type": "http.response.start", "status": status, "headers": kept})

    async def _body(self, data: bytes, more: bool) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": more})


class TunnelSocket:
    """A web socket to a tunnel."""

    def __init__(self, scope: dict[str, Any], receive: Any, send: Any, target: Target) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._target = target

    async def serve(self, path: str, headers: list[list[str]]) -> None:
        """Open it there, and pass messages on both ways."""
        from websockets.asyncio.client import connect as open_socket  # noqa: PLC0415 - start-up cost: for those who use it
        from websockets.exceptions import WebSocketException  # noqa: PLC0415 - start-up cost: as above

        await self._receive()
        try:
            async with asyncio.timeout(CONNECT_WITHIN_S):
                address = await self._target.address()
                peer = await open_socket(
                    f"ws://{address}:{self._target.port}{path}",
                    additional_headers=[(name, value) for name, value in headers if _is_passed(name)],
                    subprotocols=self._scope.get("subprotocols") or None,
                    max_size=MAX_MESSAGE,
                    compression=None,
                    proxy=None,
                    user_agent_header=None,
                )
        except (OSError, TimeoutError, EngineError, WebSocketException) as error:
            log.info("no web socket at port %d of %s: %s", self._target.port, self._target.owner_id, error)
            answer = Answer(502, f"no web socket answers on port {self._target.port} there")
            await answer.send(self._send, prefix="websocket.http.response")
            return
        await self._send({"type": "websocket.accept", "subprotocol": peer.subprotocol})
        passing = [asyncio.ensure_future(self._out(peer)), asyncio.ensure_future(self._back(peer))]
        try:
            await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in passing:
                one.cancel()
            await asyncio.gather(*passing, return_exceptions=True)
            await peer.close()

    async def _out(self, peer: Any) -> None:
        while (message := await self._receive())["type"] == "websocket.receive":
            text = message.get("text")
            await peer.send(text if text is not None else message["bytes"])
        await peer.close(message.get("code") or 1000)

    async def _back(self, peer: Any) -> None:
        from websockets.exceptions import ConnectionClosed  # noqa: PLC0415 - start-up cost: as above

        try:
            while True:
                data = await peer.recv()
                kind = "text" if isinstance(data, str) else "bytes"
                await self._send({"type": "websocket.send", kind: data})
        except ConnectionClosed:
            code = peer.close_code if peer.close_code not in (None, 1005, 1006) else 1000
            await self._send({"type": "websocket.close", "code": code, "reason": peer.close_reason or ""})


def _is_passed(name: str) -> bool:
    # The rest of the handshake is between the two ends of each of the two sockets.
    return name not in ("host", "connection", "upgrade") and not name.startswith("sec-websocket-")
