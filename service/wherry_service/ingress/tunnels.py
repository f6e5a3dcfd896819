"""Ports of sandboxes and containers at hosts of their own: whom a host or a token stands for, and requests to it."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

from wherry_service.apps.endpoints import Endpoints
from wherry_service.ingress.answers import Answer
from wherry_service.ingress.auth import credential_of
from wherry_service.ingress.heads import header
from wherry_service.ingress.settings import is_loopback
from wherry_service.node.tunnel import FindTarget, Target
from wherry_service.node.tunnel_names import CODE_CHARACTERS, TunnelNames

# Requests and web sockets at once, of one sandbox or container, and of all.
MAX_OF_ONE = 500
MAX_REQUESTS = 4000
# What the server is told of who uses a token, and how a browser may carry it.
USER_DATA = b"x-verified-user-data"
PARAMETERS = ("_wherry_connect_token", "_modal_connect_token")


class Tunnels:
    """Finds what a request is for. `owners`: by the prefix of an id."""

    def __init__(self, names: TunnelNames, endpoints: Endpoints, owners: Mapping[str, FindTarget]) -> None:
        self._names = names
        self._endpoints = endpoints
        self._owners = owners
        self._open: dict[str, int] = {}

    def url(self, owner_id: str, port: int) -> str:
        """Return where a port answers; "" where this service has no domain, whose hosts other machines find."""
        site = self._endpoints.site
        return site.at(self._names.name(owner_id, port)) if site.has_hosts else ""

    def local_url(self, owner_id: str, port: int, host: str) -> str:
        """Return where a port answers in containers and on this machine: a host below localhost.

        "" where there is a domain, and where its tunnel listens at a `host` that other machines reach: code in a
        container hands such a URL on.
        """
        site = self._endpoints.site
        if site.has_hosts or not is_loopback(host):
            return ""
        return replace(site, domain="localhost", scheme="http").at(self._names.name(owner_id, port))

    def connect_url(self, owner_id: str) -> str:
        """Return where tokens are taken: at a host, or by path where this service has no domain."""
        site, name = self._endpoints.site, self._names.name(owner_id, 0)
        if site.has_hosts:
            return site.at(name)
        return f"{site.origin.replace('//localhost', '//127.0.0.1')}/{name}"

    def token(self, owner_id: str, port: int, metadata: str) -> str:
        """Return a token for a port of a sandbox."""
        return self._names.token(owner_id, port, metadata)

    def knows(self, host: str) -> bool:
        """Whether a host is a tunnel's: for who makes certificates."""
        return self._named(host) is not None

    def find(self, scope: dict[str, Any], host: str) -> "tuple[Target, str] | Answer | None":
        """Return what a request is for, with the part of the path that led there; None: no tunnel at all."""
        prefix = ""
        found = self._named(host)
        if found is None:
            name = scope["path"][1:].partition("/")[0]
            found = self._names.read(name)
            # By path only with a token: without, pages of different owners would be one origin to a browser.
            if found is None or found[1]:
                return None
            prefix = f"/{name}"
        owner_id, port = found
        metadata = None
        if not port:
            tokens = (self._names.read_token(owner_id, token) for token in _tokens_of(scope))
            said = next((one for one in tokens if one is not None), None)
            if said is None:
                text = "this address wants the token that create_connect_token() gave, as Authorization: Bearer TOKEN"
                return Answer(401, text, headers=[(b"www-authenticate", b'Bearer realm="wherry"')])
            port, metadata = said
        target = self._owners[owner_id[:2]](owner_id, port if metadata is None else 0)
        if target is None:
            return Answer(404, "nothing answers here any more: the sandbox, or the function's container, has ended")
        return replace(target, port=port, metadata=metadata), prefix

    def _named(self, host: str) -> tuple[str, int] | None:
        first, _, rest = host.partition(".")
        if not rest or rest not in (self._endpoints.site.domain, "localhost"):
            return None
        return self._names.read(first)

    @contextlib.contextmanager
    def using(self, target: Target) -> Iterator[bool]:
        """Count a request; gives False where there are too many."""
        owner = target.owner_id
        if self._open.get(owner, 0) >= MAX_OF_ONE or sum(self._open.values()) >= MAX_REQUESTS:
            yield False
            return
        self._open[owner] = self._open.get(owner, 0) + 1
        target.begin_use()
        try:
            yield True
        finally:
            target.end_use()
            self._open[owner] -= 1
            if not self._open[owner]:
                del self._open[owner]


def tunnel_path(scope: dict[str, Any], prefix: str, target: Target) -> str:
    """Return the path, with its query, as who answers is asked for it: without what was for the ingress."""
    path = scope["raw_path"].decode("latin-1").partition("?")[0].removeprefix(prefix) or "/"
    query = scope["query_string"].decode("latin-1") if target.metadata is None else _without_token(scope)
    return f"{path}?{query}" if query else path


def tunnel_headers(headers: list[list[str]], target: Target) -> list[list[str]]:
    """Return the headers of a request as who answers gets them: nobody else says whose token it came with."""
    name = USER_DATA.decode()
    kept = [row for row in headers if row[0].replace("_", "-") != name]
    if target.metadata is None:
        return kept
    # The token is the ingress's: who answers could use it as whoever sent it.
    kept = [row for row in kept if row[0] != "authorization" or not _is_ours(row[1])]
    kept = [[name, _other_cookies(value) if name == "cookie" else value] for name, value in kept]
    return [*(row for row in kept if row[0] != "cookie" or row[1]), [name, target.metadata]]


def _other_cookies(text: str) -> str:
    pairs = [part.strip() for part in text.split(";")]
    return "; ".join(pair for pair in pairs if pair.partition("=")[0].strip() not in PARAMETERS)


def _is_ours(authorization: str) -> bool:
    return len(credential_of(authorization.encode("latin-1")).partition(b".")[2]) == CODE_CHARACTERS


def _without_token(scope: dict[str, Any]) -> str:
    query: str = scope["query_string"].decode("latin-1")
    rows = parse_qsl(query, keep_blank_values=True)
    # By their names as they are read: a letter of one may be written as "%65".
    kept = [row for row in rows if row[0] not in PARAMETERS]
    return urlencode(kept) if len(kept) < len(rows) else query


def _tokens_of(scope: dict[str, Any]) -> Iterator[str]:
    """Yield what may be the token: an authorization can be for the server there, and the token elsewhere."""
    if credential := credential_of(header(scope, b"authorization")):
        yield credential.decode("latin-1")
    query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
    yield from (query[name] for name in PARAMETERS if query.get(name))
    for name, text in scope["headers"]:
        if name == b"cookie":
            pairs = [part.strip().partition("=") for part in text.decode("latin-1").split(";")]
            yield from (value.strip('"') for own, _, value in pairs if own in PARAMETERS and value)
