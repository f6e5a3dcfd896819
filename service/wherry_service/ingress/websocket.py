"""One websocket: messages to a container and back."""

import asyncio
import logging
from typing import Any

from wherry_service.apps.endpoints import Endpoint
from wherry_service.calls.call import Input
from wherry_service.calls.exchange import END, Event, Exchange, Exchanges
from wherry_service.ingress import answers
from wherry_service.ingress.heads import affinity_of, checked
from wherry_service.pools.container import Container

log = logging.getLogger(__name__)

REFUSED = "websocket.http.response"
# The app's end without a close frame of its own, and a failure.
NORMAL, INTERNAL = 1000, 1011
MAX_MESSAGE = 16 << 20


class WebSocket:
    """A websocket on its way."""

    def __init__(
        self,
        scope: dict[str, Any],
        receive: Any,
        send: Any,
        endpoint: Endpoint,
        exchanges: Exchanges,
        container: Container[Input] | None = None,
    ) -> None:
        # Of its session; None: any.
        self._container = container
        self._scope = scope
        self._receive = receive
        self._send = send
        self._endpoint = endpoint
        self._exchanges = exchanges
        self._pieces: list[bytes] = []
        self._size = 0
        # What the container is given, once there is something.
        self.exchange: Exchange | None = None

    async def serve(self, head: dict[str, Any], function_id: str) -> None:
        """Pass the handshake on to the endpoint's function or a variant, then messages, until either side closes."""
        if (await self._receive())["type"] != "websocket.connect":
            return
        exchange = self.exchange = Exchange(function_id, self._endpoint.method, head, b"")
        refusal = self._exchanges.open(exchange, lambda: affinity_of(self._scope), self._container)
        if refusal is not None:
            await answers.of_refusal(refusal, exchange.request_id).send(self._send, prefix=REFUSED)
            return
        reader: asyncio.Future[None] | None = None
        closed = False
        try:
            event = await exchange.next()
            if event[0]["k"] != "accept":
                closed = True
                await self._refuse(exchange, event)
                return
            await self._accept(event)
            exchange.took(event)
            reader = asyncio.ensure_future(self._read(exchange))
            while True:
                event = await exchange.next()
                kind = event[0]["k"]
                if kind == "message":
                    await self._message(event)
                    exchange.took(event)
                    continue
                closed = True
                if kind == "close":
                    await self._close(event[0])
                elif kind == END:
                    output = exchange.ended
                    failed = output is not None and output.failure is not None
                    await self._send({"type": "websocket.close", "code": INTERNAL if failed else NORMAL, "reason": ""})
                return
        except ValueError:
            closed = True
            await self._send({"type": "websocket.close", "code": INTERNAL, "reason": ""})
        finally:
            if reader is not None:
                reader.cancel()
            if not closed and exchange.ended is None:
                exchange.tell({"k": "gone", "code": 1006})
            self._exchanges.close(exchange)

    async def _read(self, exchange: Exchange) -> None:
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                exchange.tell({"k": "gone", "code": message.get("code", 1005), "reason": message.get("reason") or ""})
                self._exchanges.withdraw(exchange)
                return
            text = message.get("text")
            data = message.get("bytes") or b"" if text is None else text.encode("utf-8", "surrogatepass")
            await exchange.put({"k": "message", "text": text is not None}, data)

    async def _accept(self, event: Event) -> None:
        if fault := event[0].get("fault"):
            log.warning("a websocket is refused: the app's answer has %.200s", fault)
            raise ValueError("the app's answer can't be sent")
        subprotocol = event[0].get("subprotocol")
        if subprotocol is not None and subprotocol not in self._scope.get("subprotocols", []):
            raise ValueError("the app chose a subprotocol that the client does not speak")
        headers = [row for row in checked(event[0].get("headers") or []) if not row[0].startswith(b"sec-websocket-")]
        await self._send({"type": "websocket.accept", "subprotocol": subprotocol, "headers": headers})

    async def _message(self, event: Event) -> None:
        self._size += len(event[1])
        if self._size > MAX_MESSAGE:
            raise ValueError("a message is too large")
        self._pieces.append(event[1])
        if event[0].get("more"):
            return
        data = b"".join(self._pieces)
        self._pieces, self._size = [], 0
        if event[0].get("text"):
            await self._send({"type": "websocket.send", "text": data.decode()})
        else:
            await self._send({"type": "websocket.send", "bytes": data})

    async def _close(self, head: dict[str, Any]) -> None:
        code = head.get("code")
        if type(code) is not int or not (1000 <= code <= 1014 or 3000 <= code <= 4999) or code in (1004, 1005, 1006):
            code = NORMAL
        await self._send({"type": "websocket.close", "code": code, "reason": str(head.get("reason") or "")[:120]})

    async def _refuse(self, exchange: Exchange, event: Event) -> None:
        kind = event[0]["k"]
        if kind == "close":
            await answers.Answer(403, "the app refused the websocket", exchange.request_id).send(
                self._send, prefix=REFUSED
            )
        elif kind == "start":
            status = event[0].get("status")
            if type(status) is not int or not 300 <= status <= 599:
                raise ValueError("a websocket is refused with another status")
            headers = checked(event[0].get("headers"))
            await self._send({"type": f"{REFUSED}.start", "status": status, "headers": headers})
            more = True
            while more:
                exchange.took(event)
                event = await exchange.next()
                more = event[0]["k"] == "body" and bool(event[0].get("more"))
                body = event[1] if event[0]["k"] == "body" else b""
                await self._send({"type": f"{REFUSED}.body", "body": body, "more_body": more})
        elif exchange.ended is not None and exchange.ended.failure is not None:
            await answers.of_failure(exchange.ended.failure, exchange.request_id).send(self._send, prefix=REFUSED)
        else:
            await answers.Answer(502, "the app did not answer", exchange.request_id).send(self._send, prefix=REFUSED)
