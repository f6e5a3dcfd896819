"""URLs of web endpoints and tunnels that Python code can open, here and inside a container."""

from __future__ import annotations

from urllib.parse import urlsplit

from wherry._connection.localhost import is_local, resolve
from wherry._connection.way_out import lead_out


def reachable(url: str) -> str:
    """Return the URL, and have this process reach it from now on."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_local(host):
        resolve()
    if is_local(host) or host == "127.0.0.1":
        lead_out(parts.port or {"https": 443}.get(parts.scheme, 80))
    return url
