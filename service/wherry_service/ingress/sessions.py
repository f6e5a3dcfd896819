"""Requests to servers with sessions: how they begin and end, and which session a request is of."""

import json
import logging
from typing import Any
from urllib.parse import parse_qsl, urlencode

from wherry_service.apps.endpoints import Endpoint
from wherry_service.calls.server_sessions import DEFAULT_IDLE_S, ServerSession, ServerSessions
from wherry_service.errors import ServiceError
from wherry_service.ingress.answers import Answer
from wherry_service.ingress.heads import Peer, header

log = logging.getLogger(__name__)

# Where sessions begin and end, below the server's URL.
START, TERMINATE = "/_modal/sessions/start", "/_modal/sessions/terminate"
IDLE_TIMEOUT, TOKEN = b"x-modal-server-session-idle-timeout", b"x-modal-server-session-token"
# What a server is told of a request, and nobody but this may say.
SESSION_ID = "x-modal-server-session-id"
AUTHORIZATION = b"modal-authorization"
PARAMETER = "modal_session_token"
COOKIE = "modal-session-token"
# Of the two, browsers keep the first for this host alone; it needs TLS.
_COOKIES = (f"__Host-{COOKIE}", COOKIE)
_OURS = frozenset((AUTHORIZATION, SESSION_ID.encode(), IDLE_TIMEOUT, TOKEN))


class SessionDoor:
    """Lets requests in to servers with sessions."""

    def __init__(self, sessions: ServerSessions) -> None:
        self._sessions = sessions

    def is_control(self, scope: dict[str, Any], prefix: str) -> bool:
        """Whether a request begins or ends a session: the server does not see it."""
        return scope["type"] == "http" and _place(scope, prefix) in (START, TERMINATE)

    async def control(self, scope: dict[str, Any], prefix: str, endpoint: Endpoint) -> Answer:
        """Begin or end a session."""
        if scope["method"] != "POST":
            return Answer(405, "send a POST", headers=[(b"allow", b"POST")])
        if _place(scope, prefix) == TERMINATE:
            token = header(scope, TOKEN).decode("latin-1")
            if not token:
                return Answer(400, f"which session? Send its token in the header {TOKEN.decode()}")
            self._sessions.end(token, endpoint.function_id)
            return _json({})
        given = header(scope, IDLE_TIMEOUT)
        if given and not (given.isdigit() and len(given) < 10):
            return Answer(400, f"{IDLE_TIMEOUT.decode()} is a whole number of seconds")
        try:
            session = await self._sessions.start(endpoint.function_id, float(given or DEFAULT_IDLE_S))
        except ServiceError as error:
            log.info("no session of %s begins: %s", endpoint, error)
            return Answer(503, str(error), headers=[(b"retry-after", b"1")])
        return _json({"session_id": session.session_id, "token": session.token})

    def session_of(self, scope: dict[str, Any], endpoint: Endpoint, peer: Peer, prefix: str) -> ServerSession | Answer:
        """Return the session that a request is of, or what it is answered."""
        token, is_query = _token_of(scope)
        session = self._sessions.find(token, endpoint.function_id) if token else None
        if session is None:
            text = (
                "this session has ended, or never was: start another"
                if token
                else "this server takes requests of sessions only: start one, and send its token as "
                "`Modal-Authorization: Bearer TOKEN`"
            )
            return Answer(401, text, headers=[(b"www-authenticate", b'Bearer realm="wherry"')])
        if not is_query or scope["type"] != "http":
            return session
        return _redirect(scope, session.token, peer, prefix)

    def use(self, session: ServerSession) -> Any:
        """Keep a session from ending while a request of it runs."""
        return self._sessions.used(session)


def _place(scope: dict[str, Any], prefix: str) -> str:
    # A URL that ends with a slash is often put before one that begins with it.
    return "/" + str(scope["path"])[len(prefix) :].lstrip("/")


def _redirect(scope: dict[str, Any], token: str, peer: Peer, prefix: str) -> Answer:
    """Have a browser ask again with a cookie instead of what its address bar shows."""
    query = _without_token(scope["query_string"].decode("latin-1"))
    # The path alone: whoever is in front knows by which scheme and port. Two slashes would be another host.
    path = "/" + scope["raw_path"].decode("latin-1").lstrip("/\\")
    name, place = _COOKIES[1], "/"
    if prefix:
        # Other servers are at this host, too.
        place = f"{prefix}/"
    elif peer.scheme == "https":
        name, place = _COOKIES[0], "/; Secure"
    answer = Answer(307, "the session goes on with a cookie")
    answer.headers += [
        (b"location", f"{path}?{query}".rstrip("?").encode("latin-1")),
        (b"set-cookie", f"{name}={token}; Path={place}; HttpOnly; SameSite=Lax".encode()),
        (b"cache-control", b"no-store"),
    ]
    return answer


def without_tokens(scope: dict[str, Any]) -> dict[str, Any]:
    """Return a request without what only the ingress is to see of its session."""
    headers = []
    for name, value in scope["headers"]:
        plain = name.replace(b"_", b"-")
        if plain in _OURS:
            continue
        if name == b"cookie":
            value = _other_cookies(value)  # noqa: PLW2901 - the same header, shorter
            if not value:
                continue
        headers.append((name, value))
    query = _without_token(scope["query_string"].decode("latin-1")).encode("latin-1")
    return {**scope, "headers": headers, "query_string": query}


def _token_of(scope: dict[str, Any]) -> tuple[str, bool]:
    """Return the token that a request carries, "" for none, and whether it is in the query."""
    scheme, _, value = header(scope, AUTHORIZATION).decode("latin-1").strip().partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip(), False
    query = scope["query_string"].decode("latin-1")
    if PARAMETER in query and (found := dict(parse_qsl(query)).get(PARAMETER)):
        return found, True
    for name, text in scope["headers"]:
        if name == b"cookie":
            for part in text.split(b";"):
                own, _, token = part.strip().partition(b"=")
                if own.decode("latin-1") in _COOKIES and token:
                    return token.decode("latin-1"), False
    return "", False


def _other_cookies(value: bytes) -> bytes:
    kept = [part.strip() for part in value.split(b";")]
    return b"; ".join(one for one in kept if one.partition(b"=")[0].decode("latin-1") not in _COOKIES)


def _without_token(query: str) -> str:
    if PARAMETER not in query:
        return query
    return urlencode([row for row in parse_qsl(query, keep_blank_values=True) if row[0] != PARAMETER])


def _json(value: dict[str, str]) -> Answer:
    answer = Answer(200, "")
    answer.headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    answer.body = json.dumps(value).encode()
    return answer
