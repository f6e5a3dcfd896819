"""Heads of requests and responses: what is passed on, what is not, and what is added."""

import functools
import ipaddress
import re
from collections.abc import Callable
from typing import Any

from wherry_service.ingress.auth import credential_of
from wherry_service.ingress.settings import Network

# In a scope: the environment whose code asks from inside a container. It reaches no other's endpoints.
HOME = "wherry.home"
# Likewise: whether that code may use the ports of a sandbox or container, by its id.
REACHES = "wherry.reaches"

Headers = list[tuple[bytes, bytes]]

HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
# Written here, whatever comes.
_OURS = frozenset(
    (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port", b"forwarded", b"expect")
)
# What only a proxy may say of where a request comes from: of others it is not passed on, nor what else begins so.
_HEARSAY = frozenset((b"x-real-ip", b"x-client-ip", b"true-client-ip", b"x-original-url", b"x-rewrite-url"))
_FORWARDED = b"x-forwarded-"
# Wherry's own.
_KEYS = frozenset((b"modal-key", b"modal-secret"))
_WHERRY = b"wherry-"
# Never passed on, of a proxy that is trusted and of anyone else.
_DROPPED = HOP_BY_HOP | _OURS | _KEYS
_DROPPED_OF_ANYONE = _DROPPED | _HEARSAY
# Peers whose addresses are remembered, and characters of an address: what is longer is none.
_MAX_PEERS = 1024
_MAX_ADDRESS = 64
# What says which requests to a server belong together.
_AFFINITY = (b"wherry-session-id", b"modal-session-id", b"modal-routing-affinity-key")
# What `Connection` can't take away: the app would be told another request than the one that was let in.
_END_TO_END = frozenset(
    (b"host", b"content-length", b"content-type", b"cookie", b"authorization", b"origin", b"x-real-ip")
)
# Statuses of responses that have no body, whatever the app says.
BODILESS = (204, 304)
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
# Of a request: a name or an address, and perhaps a port.
_HOST = re.compile(rb"([A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(:[0-9]{0,5})?\Z")
_VALUE = re.compile(rb"[^\x00-\x08\x0a-\x1f\x7f]*\Z")
_MAX_RESPONSE_HEADERS = 64 << 10


class Peer:
    """Who sent a request, as far as the proxies that are trusted tell."""

    __slots__ = ("chain", "host", "is_trusted", "port", "scheme")

    def __init__(self, scope: dict[str, Any], trusted: tuple[Network, ...]) -> None:
        host, port = scope.get("client") or ("", 0)
        # What listens for both kinds of addresses says "::ffff:10.0.0.1".
        host = host.removeprefix("::ffff:") if "." in host else host
        self.host: str = host
        self.port: int = port
        self.scheme = "https" if scope.get("scheme") in ("https", "wss") else "http"
        self.chain = host
        # Whether it is such a proxy that sent it here.
        self.is_trusted = bool(trusted) and _is_among(host, trusted)
        if not self.is_trusted:
            return
        forwarded: list[str] = []
        for name, value in scope["headers"]:
            if name == b"x-forwarded-for":
                forwarded += [part.strip() for part in value.decode("latin-1").split(",") if part.strip()]
            elif name == b"x-forwarded-proto" and value.strip().lower() in (b"http", b"https", b"ws", b"wss"):
                self.scheme = "https" if value.strip().lower() in (b"https", b"wss") else "http"
        if forwarded:
            self.chain = ", ".join([*forwarded, host])
        # The nearest that no trusted proxy has: what is further away is hearsay.
        for address in reversed(forwarded):
            self.host, self.port = address, 0
            if not _is_among(address, trusted):
                break


def _is_among(host: str, networks: tuple[Network, ...]) -> bool:
    return len(host) <= _MAX_ADDRESS and _is_address_among(host, networks)


@functools.lru_cache(_MAX_PEERS)
def _is_address_among(host: str, networks: tuple[Network, ...]) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return any(address in network for network in networks)


def header(scope: dict[str, Any], wanted: bytes) -> bytes:
    """Return the first header of that name, b"" if there is none."""
    for name, value in scope["headers"]:
        if name == wanted:
            return value  # type: ignore[no-any-return]
    return b""


def affinity_of(scope: dict[str, Any]) -> bytes:
    """Return what tells requests that belong together, to a server; b"" if they say nothing."""
    return next((value for name in _AFFINITY if (value := header(scope, name))), b"")


def is_host(value: bytes) -> bool:
    """Whether a Host header is one: apps make links of it."""
    return _HOST.match(value) is not None


def status_of(head: dict[str, Any]) -> int:
    """Return a response's status; raise ValueError on what is none."""
    status = head.get("status")
    if type(status) is not int or not 200 <= status <= 599:
        raise ValueError(f"its status is {status!r:.32}")
    return status


def host_of(scope: dict[str, Any]) -> str:
    """Return the host that was asked for, in lower case and without its port."""
    host = header(scope, b"host").decode("latin-1").lower()
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].rstrip(".")


def passed_on(scope: dict[str, Any], peer: Peer, is_token: Callable[[bytes], bool]) -> list[list[str]]:
    """Return the headers of a request as the app gets them; `is_token` knows tokens that it must not see."""
    headers = scope["headers"]
    named: set[bytes] = set()
    for name, value in headers:
        if name == b"connection":
            named.update(part.strip().lower() for part in value.split(b","))
    dropped = _DROPPED if peer.is_trusted else _DROPPED_OF_ANYONE
    if named:
        dropped |= named - _END_TO_END
    kept = frozenset[bytes]()
    if scope["type"] == "websocket":
        # Of the handshake the app sees everything but what its own server would answer for.
        kept = frozenset((b"connection", b"upgrade"))

    def is_passed(name: bytes, value: bytes) -> bool:
        # "-" and "_" are one to many servers: with the other one a header is still what it is.
        plain = name.replace(b"_", b"-")
        if name in kept:
            return True
        if plain in dropped or plain.startswith(_WHERRY):
            return False
        if plain.startswith(_FORWARDED) and not peer.is_trusted:
            return False
        return plain != b"authorization" or not is_token(credential_of(value))

    found = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in headers if is_passed(name, value)]
    found += [
        ["x-forwarded-for", peer.chain],
        ["x-forwarded-proto", peer.scheme],
        ["x-forwarded-host", header(scope, b"host").decode("latin-1")],
    ]
    return found


def checked(headers: Any) -> Headers:
    """Return a response's headers without those that are the connection's; raise ValueError on what are none."""
    if not isinstance(headers, list):
        raise ValueError("headers are not a list")
    found: Headers = []
    size = 0
    for row in headers:
        if not isinstance(row, list) or len(row) != 2 or not all(isinstance(item, str) for item in row):
            raise ValueError("a header is not a name and a value")
        name, value = row[0].encode("latin-1", "replace").lower(), row[1].encode("latin-1", "replace").strip()
        if not _NAME.match(name) or not _VALUE.match(value):
            raise ValueError(f"a header is malformed: {name[:64]!r}")
        if name in HOP_BY_HOP:
            continue
        if name == b"content-length" and not value.isdigit():
            raise ValueError("content-length is not a number")
        size += len(name) + len(value) + 4
        found.append((name, value))
    if size > _MAX_RESPONSE_HEADERS:
        raise ValueError(f"headers of {size} bytes")
    return found
