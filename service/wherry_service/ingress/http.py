"""One HTTP request: to a container, and its response back, without keeping either."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

from wherry_service.apps.endpoints import Endpoint
from wherry_service.calls.call import Input
from wherry_service.calls.exchange import END, Event, Exchange, Exchanges, response_of
from wherry_service.ingress import answers
from wherry_service.ingress.heads import BODILESS, Headers, affinity_of, checked, header, status_of
from wherry_service.ingress.protocol import LOST
from wherry_service.ingress.refusals import Refusals
from wherry_service.ingress.results import Results
from wherry_service.ingress.settings import HttpSettings
from wherry_service.pools.container import Container

log = logging.getLogger(__name__)

Scope = dict[str, Any]
Receive = Any
Send = Any


# How long a client that is refused may go on sending before the connection is closed.
LINGER_S = 2.0


class BodyTooLarge(Exception):
    """A request's body has more bytes than are allowed."""


class BodyLate(Exception):
    """A request's body stopped coming."""


# large: one request, and all that is asked of on its way
class HttpRequest:
    """A request on its way."""

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        endpoint: Endpoint,
        settings: HttpSettings,
        exchanges: Exchanges,
        results: Results,
        cors: Headers,
        refusals: Refusals,
        container: Container[Input] | None = None,
    ) -> None:
        # Of its session; None: any.
        self._container = container
        self._scope = scope
        self._receive = receive
        self._passed_on = send
        self._endpoint = endpoint
        self._settings = settings
        self._exchanges = exchanges
        self._results = results
        self._cors = cors
        self._refusals = refusals
        self._body_bytes = 0
        self._body_ended = asyncio.Event()
        self._fault: Exception | None = None
        self._exchange: Exchange | None = None
        # A piece of the body that is waited for, begun before the request was passed on.
        self._pending: asyncio.Future[dict[str, Any]] | None = None
        # The client sends its body when it is told to go on, and has not been told yet.
        self._waits = False

    @property
    def exchange(self) -> Exchange | None:
        """What the container is given, once there is something."""
        return self._exchange

    async def _send(self, message: dict[str, Any]) -> None:
        if self._waits and message["type"] == "http.response.start":
            # Whether it sends its body now is its own choice: what comes next on this connection can't be told apart.
            message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
        await self._passed_on(message)

    async def serve(self, head: dict[str, Any], function_id: str, result_url: Callable[[str], str]) -> None:
        """Pass the request on to the endpoint's function or a variant of it, then the response back.

        `result_url` makes the URL of a call's result.
        """
        try:
            first, more = await self._first_piece()
        except (BodyTooLarge, BodyLate) as error:
            await self._refuse(error)
            return
        if first is None:
            return
        head["more"] = more
        if self._waits:
            head["waits"] = True
        exchange = self._exchange = Exchange(function_id, self._endpoint.method, head, first)
        refusal = self._exchanges.open(exchange, lambda: affinity_of(self._scope), self._container)
        if refusal is not None:
            if self._pending is not None:
                self._pending.cancel()
            await answers.of_refusal(refusal, exchange.request_id).send(self._send, self._cors)
            return
        reader = asyncio.ensure_future(self._read(exchange, more))
        kept = False
        try:
            kept = await self._respond(exchange, lambda: result_url(exchange.call.call_id))
        except ConnectionError:
            # The client takes nothing any more; the app hears so below.
            pass
        finally:
            reader.cancel()
            if self._pending is not None:
                self._pending.cancel()
            if not kept:
                if exchange.ended is None:
                    exchange.tell({"k": "gone"})
                self._exchanges.close(exchange)

    # The request's body

    async def _first_piece(self) -> tuple[bytes | None, bool]:
        length = header(self._scope, b"content-length")
        if not length and not header(self._scope, b"transfer-encoding"):
            # The event that there is no body is there already; or what there is came with the head.
            message = await self._receive()
        else:
            limit = self._settings.max_body_bytes
            if length and limit and int(length) > limit:
                raise BodyTooLarge
            if header(self._scope, b"expect").lower() == b"100-continue" and not self._endpoint.web.no_wait:
                # It is told to go on when the app wants to read: the app may refuse first.
                self._waits = True
                return b"", True
            # What came with the head goes with it; what comes later keeps no app from seeing the head.
            self._pending = asyncio.ensure_future(self._next_piece())
            await asyncio.sleep(0)
            if not self._pending.done():
                return b"", True
            message, self._pending = self._pending.result(), None
        if message["type"] != "http.request":
            return None, False
        body: bytes = message.get("body", b"")
        more = bool(message.get("more_body"))
        if not more:
            self._body_ended.set()
        self._count(body)
        return body, more

    async def _next_piece(self) -> dict[str, Any]:
        try:
            async with asyncio.timeout(self._settings.body_timeout_s or None):
                message: dict[str, Any] = await self._receive()
        except TimeoutError:
            raise BodyLate from None
        return message

    def _count(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._settings.max_body_bytes and self._body_bytes > self._settings.max_body_bytes:
            raise BodyTooLarge

    async def _until_wanted(self, exchange: Exchange) -> bool:
        """Wait until the app wants to read the body; return False if the client has gone before."""
        waiters = [asyncio.ensure_future(event.wait()) for event in (exchange.wanted, self._scope[LOST])]
        try:
            await asyncio.wait(waiters, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiter in waiters:
                waiter.cancel()
        return not self._scope[LOST].is_set()

    async def _read(self, exchange: Exchange, more: bool) -> None:
        """Pass the rest of the body on; then wait for the client to go."""
        try:
            if self._waits:
                if not await self._until_wanted(exchange):
                    exchange.tell({"k": "gone"})
                    self._exchanges.withdraw(exchange)
                    return
                self._waits = False
            while more:
                pending, self._pending = self._pending or self._next_piece(), None
                message = await pending
                if message["type"] != "http.request":
                    exchange.tell({"k": "gone"})
                    return
                body = message.get("body", b"")
                more = bool(message.get("more_body"))
                self._count(body)
                await exchange.put({"k": "body", "more": more}, body)
            self._body_ended.set()
            while (await self._receive())["type"] != "http.disconnect":
                pass
            exchange.tell({"k": "gone"})
            self._exchanges.withdraw(exchange)
        except (BodyTooLarge, BodyLate) as error:
            self._fault = error
            exchange.interrupt()
        finally:
            self._body_ended.set()

    async def _refuse(self, error: Exception) -> None:
        if isinstance(error, BodyTooLarge):
            limit = self._settings.max_body_bytes
            status, text = 413, f"a request's body has at most {limit >> 20} MiB here"
        else:
            status, text = 408, "the request's body stopped coming"
        client = self._scope.get("client") or ("?",)
        self._refusals.add(client[0], status, text)
        answer = answers.Answer(status, text)
        answer.headers.append((b"connection", b"close"))
        # Closed with bytes unread, the connection would be reset, and the answer lost with it.
        await answer.send(self._send, self._cors, finish=False)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while (await self._receive())["type"] == "http.request":
                    pass
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    # The response

    async def _respond(self, exchange: Exchange, result_url: Callable[[], str]) -> bool:
        """Send the response; return whether the request was handed to those whose result is fetched later."""
        limit = self._endpoint.web.response_timeout_s or self._settings.response_timeout_s
        if self._endpoint.web.no_wait:
            await self._body_ended.wait()
            return await self._hand_over(exchange, answers.accepted(result_url()), at_once=True)
        if limit > 0:
            try:
                async with asyncio.timeout(limit):
                    event = await exchange.next()
            except TimeoutError:
                # Who fetches the result later has sent the whole request by then.
                exchange.wanted.set()
                await self._body_ended.wait()
                if self._fault is None and not exchange.is_next_there():
                    return await self._hand_over(exchange, answers.redirect(self._scope["method"], result_url()))
                event = await exchange.next()
        else:
            event = await exchange.next()
        if self._fault is not None:
            await self._refuse(self._fault)
            return False
        try:
            if event[0]["k"] == END:
                await self._whole(exchange)
            elif event[0]["k"] == "start":
                await self._streamed(exchange, event)
            else:
                raise ValueError(f"{event[0]['k']!r:.32} before the start of a response")
        except ValueError as error:
            log.warning("request %s: the app's response is malformed: %s", exchange.request_id, error)
            await answers.Answer(502, f"the app's response is malformed: {error}", exchange.request_id).send(
                self._send, self._cors
            )
        return False

    async def _hand_over(self, exchange: Exchange, answer: answers.Answer, at_once: bool = False) -> bool:
        if self._fault is not None and at_once:
            await self._refuse(self._fault)
            return False
        self._results.collect(self._endpoint, exchange)
        await answer.send(self._send, self._cors)
        return True

    async def _whole(self, exchange: Exchange) -> None:
        output = exchange.ended
        assert output is not None
        if output.failure is not None:
            await answers.of_failure(output.failure, exchange.request_id).send(self._send, self._cors)
            return
        response = response_of(output.payload) if output.payload is not None else None
        if response is None:
            raise ValueError("it ended without one")
        head, body = response
        await self._start(exchange, head, len(body))
        if head["status"] in BODILESS:
            body = b""
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def _start(self, exchange: Exchange, head: dict[str, Any], size: int | None) -> None:
        if fault := head.get("fault"):
            raise ValueError(str(fault)[:200])
        status = status_of(head)
        headers = checked(head.get("headers"))
        lengths = [value for name, value in headers if name == b"content-length"]
        if len(set(lengths)) > 1:
            raise ValueError("it has two lengths")
        if self._scope["method"] == "HEAD" or status in BODILESS:
            if status in BODILESS:
                headers = [row for row in headers if row[0] != b"content-length"]
        elif size is not None:
            if lengths and int(lengths[0]) != size:
                raise ValueError(f"its content-length is {int(lengths[0])}, its body has {size} bytes")
            if not lengths:
                headers.append((b"content-length", str(size).encode()))
        headers.append((b"wherry-request-id", exchange.request_id.encode()))
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def _streamed(self, exchange: Exchange, event: Event) -> None:
        await self._start(exchange, event[0], None)
        exchange.took(event)
        while True:
            event = await exchange.next()
            kind = event[0]["k"]
            if kind != "body" or self._fault is not None:
                # It failed in the midst: the connection ends without the response's end.
                return
            more = bool(event[0].get("more"))
            try:
                await self._send({"type": "http.response.body", "body": event[1], "more_body": more})
            except RuntimeError:
                # More or fewer bytes than its content-length said.
                return
            exchange.took(event)
            if not more:
                return
