"""HTTP to web endpoints: names under localhost are not known to every resolver, so the address is given apart."""

import socket
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx


def client_of(url: str, timeout_s: float = 30.0) -> httpx.Client:
    """Return a client whose relative URLs are below `url`."""
    parts = urlsplit(url)
    return httpx.Client(
        base_url=f"http://127.0.0.1:{parts.port}", headers={"host": parts.netloc}, timeout=timeout_s, trust_env=False
    )


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def spoken(
    url: str, request: bytes, until: Callable[[bytes], bool] = lambda _: False, timeout_s: float = 10.0
) -> bytes:
    """Send bytes as they are, and return what comes until the other side closes."""
    with socket.create_connection(("127.0.0.1", port_of(url)), timeout=timeout_s) as sock:
        sock.sendall(request)
        heard = b""
        while not until(heard):
            try:
                data = sock.recv(65536)
            except ConnectionResetError:
                break
            if not data:
                break
            heard += data
        return heard
