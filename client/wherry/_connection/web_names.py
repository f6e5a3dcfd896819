"""URLs of web endpoints that Python code can open, here and inside a container.

Names below `localhost` are this machine by definition (RFC 6761), and few resolvers know it: Python asks one of ours
first. Inside a container 127.0.0.1 is the container, so the port is listened on there, and leads out by a socket of the
service's.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from typing import Any
from urllib.parse import urlsplit

from wherry.context import container_directory

_PIECE = 64 << 10
_BACKLOG = 128
_listening: set[int] = set()


def reachable(url: str) -> str:
    """Return the URL, and have this process reach it from now on."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if _is_local(host):
        _resolve()
    if (directory := container_directory()) and (_is_local(host) or host == "127.0.0.1"):
        _lead_out(f"{directory}/web.sock", parts.port or {"https": 443}.get(parts.scheme, 80))
    return url


def _is_local(host: str) -> bool:
    name = host.rstrip(".").lower()
    return name == "localhost" or name.endswith(".localhost")


def _resolve() -> None:
    """Have names below localhost be this machine, whatever resolver there is."""
    known = socket.getaddrinfo
    if getattr(known, "knows_localhost", False):
        return

    def getaddrinfo(host: Any, port: Any, family: int = 0, *rest: Any, **named: Any) -> Any:
        name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
        if isinstance(name, str) and name.rstrip(".").lower().endswith(".localhost"):
            host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
        return known(host, port, family, *rest, **named)

    getaddrinfo.knows_localhost = True  # type: ignore[attr-defined]
    socket.getaddrinfo = getaddrinfo


def _lead_out(path: str, port: int) -> None:
    """Listen on a port of this container, and lead what comes to the service's socket at `path`."""
    if port in _listening or not os.path.exists(path):
        return
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(_BACKLOG)
    except OSError:
        # Another process of this container has it: perhaps one that leads out.
        listener.close()
        return
    _listening.add(port)
    threading.Thread(target=_accept, args=(listener, path), name="wherry-web", daemon=True).start()


def _accept(listener: socket.socket, path: str) -> None:
    while True:
        try:
            inner, _ = listener.accept()
        except OSError:
            continue
        outer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            outer.connect(path)
        except OSError:
            inner.close()
            outer.close()
            continue
        both = _Both(inner, outer)
        for source, target in ((inner, outer), (outer, inner)):
            threading.Thread(target=both.carry, args=(source, target), name="wherry-web", daemon=True).start()


class _Both:
    """Two connections that are closed when neither has anything to say any more."""

    def __init__(self, *connections: socket.socket) -> None:
        self._connections = connections
        self._left = len(connections)
        self._lock = threading.Lock()

    def carry(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_PIECE):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)
        with self._lock:
            self._left -= 1
            over = not self._left
        if over:
            for connection in self._connections:
                connection.close()
