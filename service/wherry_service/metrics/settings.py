"""Where metrics answer, and how many series there may be."""

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass

from wherry_service.settings_key import SettingsError

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 9464
# What one function's series come to, about.
SERIES_OF_A_FUNCTION = 100


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """The address, None for no metrics; and how many functions have series of their own."""

    address: tuple[str, int] | None = None
    max_series: int = 10_000

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "MetricsSettings":
        """Read WHERRY_METRICS_…; raise `SettingsError`, which names the variable, for nonsense."""
        text = environ.get("WHERRY_METRICS_MAX_SERIES", "") or "10000"
        if not text.isascii() or not text.isdigit() or not SERIES_OF_A_FUNCTION <= int(text) <= 1_000_000:
            raise SettingsError(
                f"WHERRY_METRICS_MAX_SERIES is {text[:64]!r}: it is a number from {SERIES_OF_A_FUNCTION} to 1000000"
            )
        return cls(_address(environ.get("WHERRY_METRICS_LISTEN", "").strip()), int(text))

    @property
    def max_functions(self) -> int:
        """So many functions have series of their own; the others are one, called "other"."""
        return self.max_series // SERIES_OF_A_FUNCTION

    @property
    def is_local(self) -> bool:
        """Whether only this machine's programs can ask; then they need no token."""
        if self.address is None:
            return True
        try:
            return ipaddress.ip_address(self.address[0]).is_loopback
        except ValueError:
            return self.address[0] == "localhost"


def _address(text: str) -> tuple[str, int] | None:
    if text.lower() in ("", "off"):
        return None
    if text.lower() == "on":
        return DEFAULT_HOST, DEFAULT_PORT
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise SettingsError(
            f"WHERRY_METRICS_LISTEN is {text[:128]!r}: write HOST:PORT, such as {DEFAULT_HOST}:{DEFAULT_PORT}, or `on` "
            "for that one"
        )
    return host, int(port)
