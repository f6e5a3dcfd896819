"""Where lines of logs are sent on to."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from wherry_service.settings_key import SettingsError

OTLP, SYSLOG, FILE = "otlp", "syslog", "file"
TARGETS = (OTLP, SYSLOG, FILE)
_TRANSPORTS = ("udp", "tcp", "unix")


@dataclass(frozen=True, slots=True)
class ForwardSettings:
    """The targets that are on, and where each of them is."""

    targets: tuple[str, ...] = ()
    otlp_url: str = ""
    # Each (name, value).
    otlp_headers: tuple[tuple[str, str], ...] = ()
    syslog: str = ""
    file: Path | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "ForwardSettings":
        """Read WHERRY_LOGS_FORWARD…; raise `SettingsError`, which names the variable, for nonsense."""
        named = _list(environ, "WHERRY_LOGS_FORWARD")
        for one in named:
            if one not in TARGETS:
                raise SettingsError(
                    f"WHERRY_LOGS_FORWARD has {one[:64]!r}: it is {', '.join(TARGETS)}, or some of them"
                )
        url = environ.get("WHERRY_LOGS_FORWARD_OTLP", "").strip() or "http://127.0.0.1:4318"
        syslog = environ.get("WHERRY_LOGS_FORWARD_SYSLOG", "").strip() or "unix:///dev/log"
        path = environ.get("WHERRY_LOGS_FORWARD_FILE", "").strip()
        if OTLP in named:
            _check_url(url)
        if SYSLOG in named:
            _check_syslog(syslog)
        if FILE in named and not path.startswith("/"):
            raise SettingsError(f"WHERRY_LOGS_FORWARD_FILE is {path[:256]!r}: name a file, from / on")
        return cls(tuple(dict.fromkeys(named)), url, _headers(environ), syslog, Path(path) if path else None)


def _list(environ: Mapping[str, str], name: str) -> list[str]:
    return [one for one in (part.strip() for part in environ.get(name, "").split(",")) if one]


def _headers(environ: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    found = []
    for part in _list(environ, "WHERRY_LOGS_FORWARD_HEADERS"):
        name, separator, value = part.partition("=")
        text = name + value
        if not separator or not name or not text.isascii() or not text.isprintable() or ":" in name or " " in name:
            # The value may be a secret.
            raise SettingsError(
                "WHERRY_LOGS_FORWARD_HEADERS has what is no header: write NAME=VALUE, with commas between"
            )
        found.append((name, value))
    return tuple(found)


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or any(one.isspace() for one in url):
        raise SettingsError("WHERRY_LOGS_FORWARD_OTLP is no address of a receiver: write it like http://127.0.0.1:4318")


def _check_syslog(address: str) -> None:
    try:
        parts = urlsplit(address)
        is_good = parts.scheme in _TRANSPORTS and bool(parts.path if parts.scheme == "unix" else parts.hostname)
        _ = parts.port
    except ValueError:
        is_good = False
    if not is_good:
        raise SettingsError(
            f"WHERRY_LOGS_FORWARD_SYSLOG is {address[:256]!r}: write udp://HOST:PORT, tcp://HOST:PORT or unix:///PATH"
        )
