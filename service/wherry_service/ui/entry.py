"""Signing in and out: by a link that is good once, or by a token."""

from typing import NamedTuple

from wherry_proto.messages import TokenWhoRequest
from wherry_service.api.callers import Callers, ask
from wherry_service.api.logins import Logins, Session
from wherry_service.errors import ServiceError
from wherry_service.ui.web import Request, Response, WebError, address

LONGEST = 256


class SignedIn(NamedTuple):
    """A session, and what its browser holds."""

    session: Session
    cookie: str


class Entry:
    """Begins and ends sessions. `instance`: of the state directory, so that two services' cookies are two."""

    def __init__(self, logins: Logins, callers: Callers, instance: str) -> None:
        self._logins = logins
        self._callers = callers
        self._instance = instance

    def find(self, request: Request) -> SignedIn | None:
        """Return who asks, if they are signed in here."""
        # Of several cookies of one name, others have made some: an app at a sibling name can.
        held = request.cookies(self._name(request))
        if len(held) != 1:
            return None
        session = self._logins.find(held[0], request.place.host)
        return SignedIn(session, held[0]) if session is not None else None

    def by_code(self, request: Request, code: str) -> Response | None:
        """Sign in whoever holds a link's code; None if that is not good, or not any more."""
        token_id = self._logins.redeem(code) if 0 < len(code) <= LONGEST else None
        return None if token_id is None else self._begun(request, token_id, "/")

    async def by_token(self, request: Request, token_id: str, secret: str, then: str) -> Response:
        """Sign in whoever holds a token; raise `WebError`. Failures are counted as those over TCP are."""
        token_id, secret = token_id.strip()[:LONGEST], secret.strip()[:LONGEST]
        if not token_id or not secret:
            raise WebError(401, "Enter the token's id and its secret.")
        try:
            await ask(self._callers.by_secret(token_id, secret, request.peer), "Tokens.Who", TokenWhoRequest())
        except ServiceError as error:
            text = str(error)
            raise WebError(429 if "too many" in text else 401, f"{text[:1].upper()}{text[1:]}.") from None
        return self._begun(request, token_id, then)

    def end(self, request: Request, session: Session) -> Response:
        """Sign out."""
        self._logins.end(session)
        return self._moved(request, "/login", self._cookie(request, "", "; Max-Age=0"))

    def _begun(self, request: Request, token_id: str, then: str) -> Response:
        cookie = self._logins.open(token_id, request.place.host)
        return self._moved(request, then, self._cookie(request, cookie, ""))

    def _moved(self, request: Request, path: str, cookie: bytes) -> Response:
        # Not a redirect: where another page led here, browsers would leave the cookie out of the request it leads to.
        location = address(request.place.prefix, path)
        body = f'<!doctype html><meta http-equiv="refresh" content="0; url={location}"><title>Wherry</title>'
        return Response(body.encode(), headers=[(b"set-cookie", cookie)])

    def _cookie(self, request: Request, value: str, more: str) -> bytes:
        secure = "; Secure" if request.scheme == "https" else ""
        path = request.place.prefix or "/"
        return f"{self._name(request)}={value}; Path={path}; HttpOnly; SameSite=Strict{secure}{more}".encode()

    def _name(self, request: Request) -> str:
        """Return the cookie's name: by TLS one that no other host can set."""
        kind = ""
        if request.scheme == "https":
            kind = "__Secure-" if request.place.prefix else "__Host-"
        return f"{kind}wherry-{self._instance}"
