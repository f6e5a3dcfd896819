"""The ASGI app at the port: whom a request is for, and whether it may come in."""

import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode

from wherry_proto.messages import WebKind
from wherry_service.apps.by_query import ByQuery
from wherry_service.apps.endpoints import Endpoint, Endpoints
from wherry_service.calls.exchange import Exchanges
from wherry_service.calls.requests import RequestLog
from wherry_service.calls.server_sessions import ServerSessions
from wherry_service.errors import Exhausted, InvalidRequest, NotFound
from wherry_service.health import Health
from wherry_service.ingress import results as result_urls
from wherry_service.ingress.answers import Answer, of_json
from wherry_service.ingress.auth import ProxyAuth
from wherry_service.ingress.heads import HOME, REACHES, Headers, Peer, header, host_of, passed_on
from wherry_service.ingress.http import HttpRequest
from wherry_service.ingress.own import OwnPages, is_plain, sheltered
from wherry_service.ingress.patience import Patience, Stalled
from wherry_service.ingress.refusals import Refusals
from wherry_service.ingress.results import Results
from wherry_service.ingress.seen import Seen
from wherry_service.ingress.sessions import SESSION_ID, SessionDoor, without_tokens
from wherry_service.ingress.settings import HttpSettings
from wherry_service.ingress.traffic import SOCKET, Traffic
from wherry_service.ingress.tunnel_requests import TunnelRequest, TunnelSocket
from wherry_service.ingress.tunnels import Tunnels, tunnel_headers, tunnel_path
from wherry_service.ingress.websocket import REFUSED, WebSocket
from wherry_service.node.tunnel import Target

log = logging.getLogger(__name__)

# Answers, on the ingress's own host, whether a domain leads here: Caddy asks before it gets a certificate.
DOMAIN_PATH = "/.wherry/domain"


class WebRouter:
    """An ASGI app."""

    def __init__(
        self,
        endpoints: Endpoints,
        settings: HttpSettings,
        exchanges: Exchanges,
        results: Results,
        auth: ProxyAuth,
        refusals: Refusals,
        sessions: ServerSessions,
        by_query: ByQuery,
        tunnels: Tunnels,
        requests: RequestLog,
        health: Health,
        pages: OwnPages,
        traffic: Traffic,
    ) -> None:
        self._traffic = traffic
        self._health = health
        self._pages = pages
        self._requests = requests
        self._door = SessionDoor(sessions)
        self._tunnels = tunnels
        self._endpoints = endpoints
        self._by_query = by_query
        self._settings = settings
        self._exchanges = exchanges
        self._results = results
        self._auth = auth
        self._refusals = refusals

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        send = Patience(scope, send, self._settings.write_timeout_s)
        with contextlib.suppress(Stalled):
            if scope["type"] == "http":
                await self._http(scope, receive, send)
            elif scope["type"] == "websocket":
                await self._websocket(scope, receive, send)

    async def _http(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        host = host_of(scope)
        if await self._apart(scope, receive, send, host):
            return
        # What our own pages answer keeps all that it says: it is what cuts them off from the others there.
        whole = send
        if is_plain(host, self._endpoints.site.domain):
            send = sheltered(send)
        if (tunnel := self._tunnels.find(scope, host)) is not None:
            await self._tunnel(scope, receive, send, tunnel)
            return
        found = self._find(scope, host)
        if found is None:
            if (page := self._pages.find(scope, host, self._peer(scope))) is not None:
                app, scope = page
                await app(scope, receive, whole)
                return
            await (await self._own(scope, host)).send(send)
            return
        await self._noted(self._answered, scope, receive, send, *found)

    async def _apart(self, scope: dict[str, Any], receive: Any, send: Any, host: str) -> bool:
        """Answer what is asked of the service itself, at its own host name; return whether it was."""
        found = self._pages.find_apart(scope, host, self._peer(scope)) if self._pages else None
        if found is None:
            return False
        app, scope = found
        await app(scope, receive, send)
        return True

    async def _noted(
        self,
        serve: Callable[[dict[str, Any], Any, Seen, Endpoint, str], Awaitable[None]],
        scope: dict[str, Any],
        receive: Any,
        send: Any,
        endpoint: Endpoint,
        prefix: str,
    ) -> None:
        """Serve a request to an endpoint, and note in its app's log how that went."""
        seen, began = Seen(send), time.monotonic()
        method = scope.get("method", SOCKET)
        self._traffic.begin(method)
        try:
            await serve(scope, receive, seen, endpoint, prefix)
        finally:
            seconds = time.monotonic() - began
            self._traffic.end(endpoint, method, seen.status, seconds)
            self._requests.note(
                endpoint.app_id,
                endpoint.function_id,
                method,
                scope["raw_path"],
                bool(scope["query_string"]),
                seen.status,
                seen.exchange,
                seconds,
            )

    async def _answered(self, scope: dict[str, Any], receive: Any, send: Seen, endpoint: Endpoint, prefix: str) -> None:
        if endpoint.web.server is not None and endpoint.web.server.max_sessions:
            await self._in_session(scope, receive, send, endpoint, prefix)
            return
        cors = _cors(scope, endpoint)
        if (refusal := self._refusal(scope, endpoint)) is not None:
            await refusal.send(send, cors)
            return
        query = scope["query_string"].decode("latin-1")
        peer = self._peer(scope)
        if result_urls.PARAMETER in query and (call_id := dict(parse_qsl(query)).get(result_urls.PARAMETER)):
            await self._result(scope, send, endpoint, peer, call_id, cors)
            return
        function_id = await self._function_of(endpoint, query)
        if isinstance(function_id, Answer):
            await function_id.send(send, cors)
            return
        request = HttpRequest(
            scope, receive, send, endpoint, self._settings, self._exchanges, self._results, cors, self._refusals
        )
        send.served = request
        head = self._head(scope, peer, prefix)
        await request.serve(head, function_id, lambda call_id: _result_url(scope, peer, call_id, 1))

    async def _in_session(
        self, scope: dict[str, Any], receive: Any, send: Seen, endpoint: Endpoint, prefix: str
    ) -> None:
        if self._door.is_control(scope, prefix):
            answer = self._refusal(scope, endpoint) or await self._door.control(scope, prefix, endpoint)
            await answer.send(send)
            return
        is_socket, peer = scope["type"] == "websocket", Peer(scope, self._settings.trusted)
        session = self._door.session_of(scope, endpoint, peer, prefix)
        if isinstance(session, Answer):
            if is_socket:
                await receive()
            await session.send(send, prefix=REFUSED if is_socket else "http.response")
            return
        head = self._head(without_tokens(scope), peer, prefix)
        head["headers"].append([SESSION_ID, session.session_id])
        with self._door.use(session):
            if is_socket:
                head["subprotocols"] = list(scope.get("subprotocols", []))
                socket = WebSocket(scope, receive, send, endpoint, self._exchanges, session.container)
                send.served = socket
                await socket.serve(head, endpoint.function_id)
                return
            request = HttpRequest(
                scope,
                receive,
                send,
                endpoint,
                self._settings,
                self._exchanges,
                self._results,
                [],
                self._refusals,
                session.container,
            )
            send.served = request
            function_id = endpoint.function_id
            await request.serve(head, function_id, lambda call_id: _result_url(scope, peer, call_id, 1))

    async def _websocket(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        host = host_of(scope)
        if await self._apart(scope, receive, send, host):
            return
        if (tunnel := self._tunnels.find(scope, host)) is not None:
            await self._tunnel(scope, receive, send, tunnel)
            return
        found = self._find(scope, host)
        if found is None:
            if (page := self._pages.find(scope, host, self._peer(scope))) is not None:
                app, scope = page
                await app(scope, receive, send)
                return
            await receive()
            await self._unknown(scope, host).send(send, prefix=REFUSED)
            return
        await self._noted(self._joined, scope, receive, send, *found)

    async def _joined(self, scope: dict[str, Any], receive: Any, send: Seen, endpoint: Endpoint, prefix: str) -> None:
        if (server := endpoint.web.server) is not None and server.max_sessions:
            await self._in_session(scope, receive, send, endpoint, prefix)
            return
        if (refusal := self._refusal(scope, endpoint)) is not None:
            await receive()
            await refusal.send(send, prefix=REFUSED)
            return
        function_id = await self._function_of(endpoint, scope["query_string"].decode("latin-1"))
        if isinstance(function_id, Answer):
            await receive()
            await function_id.send(send, prefix=REFUSED)
            return
        head = self._head(scope, self._peer(scope), prefix)
        head["subprotocols"] = list(scope.get("subprotocols", []))
        send.served = socket = WebSocket(scope, receive, send, endpoint, self._exchanges)
        await socket.serve(head, function_id)

    async def _function_of(self, endpoint: Endpoint, query: str) -> str | Answer:
        """Return the function that answers, or why none does."""
        if not endpoint.parameters:
            return endpoint.function_id
        try:
            return await self._by_query.function_of(endpoint, query)
        except InvalidRequest as error:
            return Answer(422, str(error))
        except Exhausted as error:
            return Answer(503, str(error))
        except NotFound:
            return Answer(404, "its app has just stopped")

    def _peer(self, scope: dict[str, Any]) -> Peer:
        # Code in a container comes from this machine, as a proxy may that is trusted: it is none.
        return Peer(scope, self._settings.trusted if HOME not in scope else ())

    def _find(self, scope: dict[str, Any], host: str) -> tuple[Endpoint, str] | None:
        found = self._endpoints.find(host, scope["path"])
        home = scope.get(HOME)
        return found if found is None or home is None or found[0].environment == home else None

    async def _tunnel(
        self, scope: dict[str, Any], receive: Any, send: Any, found: "tuple[Target, str] | Answer"
    ) -> None:
        """Pass a request on to a port of a sandbox, or of a function's container."""
        is_socket = scope["type"] == "websocket"
        if not isinstance(found, Answer):
            target, prefix = found
            peer = self._peer(scope)
            is_inside = HOME in scope
            if is_inside and not await scope[REACHES](target.owner_id):
                await self._tunnel(scope, receive, send, Answer(404, "nothing answers here for this container"))
                return
            # Code in a container has no address that a list could name.
            if not target.admits("" if is_inside else peer.host):
                await self._tunnel(scope, receive, send, Answer(403, "its ports are not for the address that asks"))
                return
            with self._tunnels.using(target) as has_room:
                if has_room:
                    served = (TunnelSocket if is_socket else TunnelRequest)(scope, receive, send, target)
                    headers = tunnel_headers(passed_on(scope, peer, self._auth.is_token), target)
                    await served.serve(tunnel_path(scope, prefix, target), headers)
                    return
            found = Answer(503, "too many requests are open there already")
        if is_socket:
            await receive()
        await found.send(send, prefix=REFUSED if is_socket else "http.response")

    def _refusal(self, scope: dict[str, Any], endpoint: Endpoint) -> Answer | None:
        if not endpoint.web.requires_proxy_auth or self._auth.allowed(scope["headers"], endpoint.environment):
            return None
        text = "this endpoint wants a token: send it in the headers Wherry-Key and Wherry-Secret"
        return Answer(401, text, headers=[(b"www-authenticate", b'Bearer realm="wherry"')])

    def _head(self, scope: dict[str, Any], peer: Peer, prefix: str) -> dict[str, Any]:
        """Return the head of a request as the runner gets it."""
        scheme = peer.scheme
        if scope["type"] == "websocket":
            scheme = "wss" if scheme == "https" else "ws"
        path, raw_path = scope["path"], scope["raw_path"].decode("latin-1")
        if path == prefix and scope.get("method", "GET") not in ("GET", "HEAD"):
            # Apps redirect to the path with a slash, for links that are relative; few clients follow that with a body.
            path, raw_path = f"{path}/", f"{raw_path}/"
        return {
            "type": scope["type"],
            "method": scope.get("method", "GET"),
            "path": path,
            "raw_path": raw_path,
            "query": scope["query_string"].decode("latin-1"),
            "root_path": prefix,
            "scheme": scheme,
            "http_version": scope["http_version"],
            "headers": passed_on(scope, peer, self._auth.is_token),
            "client": [peer.host, peer.port],
            "server": list(scope.get("server") or ("", 0)),
        }

    async def _own(self, scope: dict[str, Any], host: str) -> Answer:
        """Return what the service itself answers, at hosts that are no endpoint's."""
        told = await self._health.told(scope["path"])
        return of_json(*told) if told is not None else self._unknown(scope, host)

    def _unknown(self, scope: dict[str, Any], host: str) -> Answer:
        if scope["path"] == DOMAIN_PATH:
            asked = dict(parse_qsl(scope["query_string"].decode("latin-1"))).get("domain", "")
            return (
                Answer(200, "it leads here")
                if self._endpoints.knows(asked) or self._tunnels.knows(asked)
                else Answer(404, "unknown domain")
            )
        return Answer(404, f"nothing answers at {host[:255]}: is its app running?")

    async def _result(
        self, scope: dict[str, Any], send: Any, endpoint: Endpoint, peer: Peer, call_id: str, cors: Headers
    ) -> None:
        raw_hop = dict(parse_qsl(scope["query_string"].decode("latin-1"))).get(result_urls.HOP, "1")
        hop = int(raw_hop) if raw_hop.isascii() and raw_hop.isdigit() and len(raw_hop) < 4 else 1
        limit = endpoint.web.response_timeout_s or self._settings.response_timeout_s
        next_url = _result_url(scope, peer, call_id, hop + 1)
        await self._results.serve(endpoint, call_id, hop, limit, next_url, send, cors)


def _result_url(scope: dict[str, Any], peer: Peer, call_id: str, hop: int) -> str:
    rows = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    rows = [row for row in rows if row[0] not in (result_urls.PARAMETER, result_urls.HOP)]
    rows.append((result_urls.PARAMETER, call_id))
    if hop > 1:
        rows.append((result_urls.HOP, str(hop)))
    path = scope["raw_path"].decode("latin-1")
    return f"{peer.scheme}://{header(scope, b'host').decode('latin-1')}{path}?{urlencode(rows)}"


def _cors(scope: dict[str, Any], endpoint: Endpoint) -> Headers:
    """Return what lets a browser read an answer of ours, where the endpoint is open to all pages."""
    if endpoint.web.kind != WebKind.ENDPOINT or not (origin := header(scope, b"origin")):
        return []
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-credentials", b"true"),
        (b"vary", b"Origin"),
    ]
