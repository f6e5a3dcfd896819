"""The ASGI app: who asks, for what, and the answer as JSON or as a stream of it."""

import asyncio
import logging
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote

from wherry_proto.messages import TokenWhoRequest
from wherry_service.api.callers import Caller, Callers, ask
from wherry_service.http_api.bodies import Body, Refused, Room, has_body, linger, read_body
from wherry_service.http_api.calls import CallRoutes
from wherry_service.http_api.documents import Documents
from wherry_service.http_api.payloads import Payloads
from wherry_service.http_api.problems import Problem, invalid, of_error
from wherry_service.http_api.routes import Event, Reply, Request, find
from wherry_service.http_api.strict_json import dump
from wherry_service.http_api.table import routes_of
from wherry_service.ingress.auth import token_of
from wherry_service.ingress.heads import Peer, header
from wherry_service.ingress.own import PEER
from wherry_service.ingress.protocol import ABORT

log = logging.getLogger(__name__)

PREFIX = "/v1"
# Requests that are served at a time.
MAX_REQUESTS = 2000
MAX_FIELDS = 100
# Seconds between two signs of life in a stream of events.
BEAT_S = 15.0
_EVENTS, _LINES, _JSON = "text/event-stream", "application/x-ndjson", "application/json"
_NO_TOKEN = (
    "send a token: Authorization: Bearer ID:SECRET; on the service's machine `wherry token new NAME` makes one, and "
    "shows both"
)
_HEADERS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))

Headers = list[tuple[bytes, bytes]]


class HttpApi:
    """Answers below /v1."""

    def __init__(self, callers: Callers, body_timeout_s: float) -> None:
        self._callers = callers
        self._body_timeout_s = body_timeout_s
        self.routes = routes_of(CallRoutes(Payloads()))
        self._documents = Documents(self.routes)
        self._num_open = 0
        self._room = Room()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await receive()
            await send({"type": "websocket.close"})
            return
        answer = _Answer(scope, send)
        if self._num_open >= MAX_REQUESTS:
            await answer.problem(Problem(503, "busy", "too many requests are being served: ask again"))
            return
        self._num_open += 1
        body = self._room.body()
        try:
            await self._serve(scope, receive, answer, body)
        except asyncio.CancelledError:
            # By a token that was revoked while nothing was waited for; or the service stops.
            if not answer.has_begun:
                await answer.problem(
                    Problem(401, "unauthenticated", "this token was revoked, or the service is stopping")
                )
            elif not answer.has_ended:
                scope[ABORT]()
        finally:
            body.drop()
            self._num_open -= 1

    async def _serve(self, scope: dict[str, Any], receive: Any, answer: "_Answer", body: Body) -> None:
        unread = has_body(scope)
        try:
            parts = _parts(scope)
            if (document := self._documents.find(scope["method"], parts, scope["root_path"])) is not None:
                await answer.whole(200, *document)
                return
            caller = await self._caller(scope)
            route, places = find(self.routes, scope["method"], parts)
            query = route.read(_query(scope))
            request = Request(caller, places, query, body, header(scope, b"last-event-id").decode("latin-1"))
            if route.check is not None:
                request.found = await route.check(request)
            await read_body(scope, receive, self._body_timeout_s, body)
            unread = False
            # The head is told as soon as there is something to tell: an error before that has its own status.
            work = (
                self._reply(route.serve(request), answer)
                if route.serve is not None
                else (
                    self._stream(route.stream(request), answer, _wants_events(scope))  # type: ignore[misc]
                )
            )
            await _unless_gone(work, receive)
        except Refused:
            return
        except Exception as error:  # noqa: BLE001 - each becomes an answer; what is a fault of ours is logged with its stack
            problem = of_error(f"{scope['method']} {scope['path'][:80]}", error)
            await answer.problem(problem, receive if unread else None)

    async def _caller(self, scope: dict[str, Any]) -> Caller:
        """Return who asks; raise `Problem`, `Unauthenticated`, or `Exhausted` after too many failures."""
        given = token_of(scope["headers"]).decode("latin-1")
        if not given:
            raise Problem(401, "unauthenticated", _NO_TOKEN)
        token_id, _, secret = given.partition(":")
        peer: Peer = scope[PEER]
        caller = self._callers.by_secret(token_id, secret, f"{peer.host}:{peer.port}")
        # Before anything else is looked at, the body above all.
        await ask(caller, "Tokens.Who", TokenWhoRequest())
        return caller

    async def _reply(self, serving: Any, answer: "_Answer") -> None:
        reply: Reply = await serving
        headers: Headers = [(b"wherry-next", reply.next.encode("latin-1"))] if reply.next else []
        await answer.whole(reply.status, _JSON, dump(reply.value) + b"\n", headers)

    async def _stream(self, events: AsyncIterator[Event], answer: "_Answer", as_events: bool) -> None:
        following = asyncio.ensure_future(anext(events, None))
        try:
            while True:
                done, _ = await asyncio.wait([following], timeout=BEAT_S if answer.has_begun or as_events else None)
                if not done:
                    if as_events:
                        await answer.piece(b": \n\n", _EVENTS)
                    continue
                try:
                    event = following.result()
                except Exception as error:
                    if not answer.has_begun:
                        raise
                    event = Event(of_error("a stream", error).error, "error")
                if event is not None:
                    await answer.piece(_written(event, as_events), _EVENTS if as_events else _LINES)
                if event is None or event.name in ("end", "error"):
                    await answer.end(_EVENTS if as_events else _LINES)
                    return
                following = asyncio.ensure_future(anext(events, None))
        finally:
            following.cancel()
            await asyncio.wait([following])
            await events.aclose()  # type: ignore[attr-defined]  # it is a generator


def _written(event: Event, as_events: bool) -> bytes:
    """Return an event as a line of JSON, or as an event of a browser's EventSource."""
    value = dump(event.value if event.name == "line" else {event.name: event.value})
    if not as_events:
        return value + b"\n"
    head = f"event: {event.name}\n" + (f"id: {event.id}\n" if event.id else "")
    # JSON has no raw line breaks but between its parts.
    return head.encode() + b"data: " + value.replace(b"\r", b" ").replace(b"\n", b" ") + b"\n\n"


def _parts(scope: dict[str, Any]) -> tuple[str, ...]:
    """Return the parts of the path below /v1; an escaped slash is part of a name."""
    raw: str = scope["raw_path"].decode("latin-1").partition("?")[0]
    below = raw.removeprefix(scope["root_path"]).removeprefix(PREFIX).strip("/")
    try:
        return tuple(unquote(part, errors="strict") for part in below.split("/"))
    except UnicodeDecodeError:
        raise invalid("the path is no UTF-8") from None


def _query(scope: dict[str, Any]) -> list[tuple[str, str]]:
    try:
        text = scope["query_string"].decode("ascii")
        return parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError:
        raise invalid(f"the query is no UTF-8, or has more than {MAX_FIELDS} parameters") from None


def _wants_events(scope: dict[str, Any]) -> bool:
    return _EVENTS.encode() in header(scope, b"accept").lower()


async def _unless_gone(work: Any, receive: Any) -> None:
    """Do the work; where the client goes away before it is done, end it."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait([working, leaving], return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.wait([working, leaving])


async def _gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class _Answer:
    """What is sent, once."""

    def __init__(self, scope: dict[str, Any], send: Any) -> None:
        self._send = send
        self._scope = scope
        self.has_begun = self.has_ended = False

    async def whole(self, status: int, kind: str, body: bytes, headers: Headers | None = None) -> None:
        """Send a whole answer."""
        rows = [(b"content-length", str(len(body)).encode()), *(headers or ())]
        await self._start(status, kind, rows)
        self.has_ended = True
        await self._send({"type": "http.response.body", "body": body})

    async def problem(self, problem: Problem, unread: Any = None) -> None:
        """Send an error; where an answer has begun, the connection ends instead.

        `unread` receives what is left of the request's body: the connection ends after the answer.
        """
        if self.has_begun:
            self._scope[ABORT]()
            return
        rows: Headers = [(b"connection", b"close")] if unread is not None else []
        if problem.status == HTTPStatus.UNAUTHORIZED:
            rows.append((b"www-authenticate", b'Bearer realm="wherry"'))
        # What may have been done already is not asked for again.
        if problem.status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE) and (
            problem.error["code"] != "unconfirmed"
        ):
            rows.append((b"retry-after", b"1"))
        if "allow" in problem.error:
            rows.append((b"allow", problem.error["allow"].encode()))
        body = dump({"error": problem.error}) + b"\n"
        if unread is None:
            await self.whole(problem.status, _JSON, body, rows)
            return
        await self._start(problem.status, _JSON, rows)
        await self._send({"type": "http.response.body", "body": body, "more_body": True})
        await linger(unread)
        await self.end(_JSON)

    async def piece(self, data: bytes, kind: str) -> None:
        """Send a piece of a stream."""
        if not self.has_begun:
            await self._start(200, kind, [(b"x-accel-buffering", b"no")])
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, kind: str) -> None:
        """End a stream."""
        if not self.has_begun:
            await self._start(200, kind, [])
        self.has_ended = True
        await self._send({"type": "http.response.body", "body": b""})

    async def _start(self, status: int, kind: str, headers: Headers) -> None:
        self.has_begun = True
        rows = [(b"content-type", kind.encode()), *_HEADERS, *headers]
        await self._send({"type": "http.response.start", "status": status, "headers": rows})
