"""Names below `localhost` are this machine by definition (RFC 6761), and few resolvers know it: Python asks ours first.

What `socket.getaddrinfo` asks is replaced, not that itself: so it costs no import of `socket`.
"""

from __future__ import annotations

import _socket

from wherry._base.hints import Any
from wherry.context import container_directory


def is_local(host: str) -> bool:
    """Whether a host is this machine by its name."""
    name = host.rstrip(".").lower()
    return name == "localhost" or name.endswith(".localhost")


def resolve() -> None:
    """Have names below localhost be this machine from now on, whatever resolver there is."""
    known = _socket.getaddrinfo
    if getattr(known, "knows_localhost", False):
        return

    def getaddrinfo(host: Any, port: Any, family: int = 0, *rest: Any, **named: Any) -> Any:
        name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
        if isinstance(name, str) and name.lower().rstrip(".").endswith(".localhost"):
            host = "::1" if family == _socket.AF_INET6 else "127.0.0.1"
            _lead_out(name, port)
        return known(host, port, family, *rest, **named)

    getaddrinfo.knows_localhost = True  # type: ignore[attr-defined]
    _socket.getaddrinfo = getaddrinfo


def _lead_out(name: str, port: Any) -> None:
    """Have the port of one of the service's hosts lead out of this container: two hyphens are in each of them."""
    if "--" in name and container_directory() and str(port).isascii() and str(port).isdigit():
        from wherry._connection.way_out import lead_out  # noqa: PLC0415 - start-up cost: only for those who use it

        lead_out(int(port))
