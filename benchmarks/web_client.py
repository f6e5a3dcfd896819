"""A client that costs little beside what it measures: bytes on a socket that stays open."""

import asyncio
import socket
import time
from urllib.parse import urlsplit


class Connection:
    """A kept connection to one URL."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._socket = socket.create_connection(("127.0.0.1", self._parts.port or 80))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def get(self, path: str, end: bytes) -> bytes:
        """Ask for a path, and return what comes until it ends with `end`."""
        self._socket.sendall(request(self._parts.netloc, path))
        heard = b""
        while not heard.endswith(end):
            if not (piece := self._socket.recv(1 << 16)):
                raise SystemExit(f"{path} broke off: {heard[-200:]!r}")
            heard += piece
        if not heard.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"{path} was answered {heard[:200]!r}")
        return heard

    def close(self) -> None:
        """Close it."""
        self._socket.close()


def request(host: str, path: str) -> bytes:
    """Return a GET as it goes over the wire."""
    return f"GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode()


def requests_per_second(url: str, connections: int, count: int, end: bytes) -> float:
    """Ask `count` times for "/" over so many connections, each one after another; return the rate."""
    return asyncio.run(_rate(url, connections, count, end))


async def _rate(url: str, connections: int, count: int, end: bytes) -> float:
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    asked = request(parts.netloc, "/")
    left = count

    class Asker(asyncio.Protocol):
        def __init__(self) -> None:
            self.done = loop.create_future()
            self._heard = b""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            self._transport = transport
            self._ask()

        def _ask(self) -> None:
            nonlocal left
            if left <= 0:
                self._transport.close()
                return
            left -= 1
            self._transport.write(asked)

        def data_received(self, data: bytes) -> None:
            self._heard += data
            if self._heard.endswith(end):
                if not self._heard.startswith(b"HTTP/1.1 200"):
                    raise SystemExit(f"answered {self._heard[:200]!r}")
                self._heard = b""
                self._ask()

        def connection_lost(self, exc: Exception | None) -> None:
            if not self.done.done():
                self.done.set_result(None)

    began = time.perf_counter()
    made = [await loop.create_connection(Asker, "127.0.0.1", parts.port) for _ in range(connections)]
    await asyncio.gather(*(asker.done for _, asker in made))
    if left > 0:
        raise SystemExit(f"{left} requests were not answered")
    return count / (time.perf_counter() - began)
