"""The way out of a container: 127.0.0.1 is the container there.

So a port is listened on there, and leads out by a socket of the service's.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading

from wherry.context import container_directory

_PIECE = 64 << 10
_BACKLOG = 128
_listening: set[int] = set()


def lead_out(port: int) -> None:
    """Listen on a port of this container, and lead what comes to the service; outside of one nothing happens."""
    directory = container_directory()
    path = f"{directory}/web.sock"
    if not directory or port in _listening or not os.path.exists(path):
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
