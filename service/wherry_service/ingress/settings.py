"""Settings of the ingress, from the environment of the service."""

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass

from wherry_service.settings_key import SettingsError

DEFAULT_PORT = 8720

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


# large: every setting of the HTTP server, read once.
@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Where the ingress listens, how it is reached, and its limits. Times are in seconds."""

    host: str = "127.0.0.1"
    # None: DEFAULT_PORT, or, where that is taken, any other.
    port: int | None = None
    workspace: str = "wherry"
    domain: str = "localhost"
    # Of the URLs, where a proxy stands in front: "https", 443.
    scheme: str = "http"
    public_port: int | None = None
    # Proxies whose X-Forwarded-* headers are believed.
    trusted: tuple[Network, ...] = ()
    # After so long a request without a response is led to a result URL; 0: never.
    response_timeout_s: float = 150.0
    # For a request's head, and between two pieces of its body.
    head_timeout_s: float = 20.0
    body_timeout_s: float = 60.0
    # For a client that takes nothing of a response.
    write_timeout_s: float = 120.0
    keep_alive_s: float = 65.0
    max_head_bytes: int = 64 << 10
    # 0: no limit.
    max_body_bytes: int = 4 << 30
    # Requests that may wait for a function; 0: as many as calls.
    queue_limit: int = 0
    # Whether the HTTP API answers there.
    api: bool = True
    # "id:secret" of those that requires_proxy_auth lets through.
    proxy_tokens: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "HttpSettings":
        """Read WHERRY_HTTP_* and WHERRY_WORKSPACE; raise `SettingsError` on nonsense."""
        read = _Reader(environ)
        default = cls()
        scheme, domain, public_port = read.url()
        return cls(
            host=read.text("WHERRY_HTTP_HOST", default.host),
            port=read.whole("WHERRY_HTTP_PORT", None, 0, 65535),
            workspace=read.text("WHERRY_WORKSPACE", default.workspace),
            domain=domain,
            scheme=scheme,
            public_port=public_port,
            trusted=read.networks("WHERRY_HTTP_TRUSTED_PROXIES"),
            response_timeout_s=read.number("WHERRY_HTTP_RESPONSE_TIMEOUT", default.response_timeout_s),
            head_timeout_s=read.number("WHERRY_HTTP_HEAD_TIMEOUT", default.head_timeout_s),
            body_timeout_s=read.number("WHERRY_HTTP_BODY_TIMEOUT", default.body_timeout_s),
            write_timeout_s=read.number("WHERRY_HTTP_WRITE_TIMEOUT", default.write_timeout_s),
            keep_alive_s=read.number("WHERRY_HTTP_KEEP_ALIVE", default.keep_alive_s),
            max_head_bytes=(read.whole("WHERRY_HTTP_MAX_HEADER_KIB", None, 1, 1024) or 64) << 10,
            max_body_bytes=read.mebibytes("WHERRY_HTTP_MAX_BODY_MIB", default.max_body_bytes),
            queue_limit=read.whole("WHERRY_HTTP_QUEUE_LIMIT", None, 0, 1_000_000) or 0,
            api=read.flag("WHERRY_HTTP_API", default.api),
            proxy_tokens=tuple(t.strip() for t in environ.get("WHERRY_PROXY_TOKENS", "").split(",") if ":" in t),
        )


class _Reader:
    """Reads settings from the environment; raises `SettingsError` that names the one which is none."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, name: str, default: str) -> str:
        return self._environ.get(name, "").strip() or default

    def flag(self, name: str, default: bool) -> bool:
        raw = self._environ.get(name, "").strip().lower()
        if raw not in ("", "on", "off"):
            raise SettingsError(f"{name} is {raw!r}: it must be on or off")
        return raw == "on" if raw else default

    def number(self, name: str, default: float) -> float:
        raw = self._environ.get(name, "").strip()
        try:
            value = float(raw) if raw else default
        except ValueError:
            value = -1.0
        if not 0 <= value <= 1e9:
            raise SettingsError(f"{name} is {raw!r}: it must be a number of seconds from 0 on")
        return value

    def whole(self, name: str, default: int | None, low: int, high: int) -> int | None:
        raw = self._environ.get(name, "").strip()
        if not raw:
            return default
        if not raw.isascii() or not raw.isdigit() or not low <= int(raw) <= high:
            raise SettingsError(f"{name} is {raw!r}: it must be a whole number from {low} to {high}")
        return int(raw)

    def mebibytes(self, name: str, default: int) -> int:
        value = self.whole(name, None, 0, 1 << 30)
        return default if value is None else value << 20

    def networks(self, name: str) -> tuple[Network, ...]:
        found = []
        for item in self._environ.get(name, "").replace(",", " ").split():
            try:
                found.append(ipaddress.ip_network(item, strict=False))
            except ValueError:
                raise SettingsError(f"{name} has {item!r}: write an address, or a network such as 10.0.0.0/8") from None
        return tuple(found)

    def url(self) -> tuple[str, str, int | None]:
        """Read WHERRY_HTTP_URL, such as https://apps.example.com: how the ingress is reached from outside."""
        raw = self._environ.get("WHERRY_HTTP_URL", "").strip()
        if not raw:
            return "http", "localhost", None
        scheme, _, rest = raw.rstrip("/").partition("://")
        host, _, port = rest.partition(":")
        if scheme not in ("http", "https") or not host or "/" in rest or (port and not port.isdigit()):
            raise SettingsError(
                f"WHERRY_HTTP_URL is {raw!r}: write it like https://apps.example.com or http://host:8720"
            )
        return scheme, host.lower(), int(port) if port else {"http": 80, "https": 443}[scheme]


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine reach what listens at a host."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
