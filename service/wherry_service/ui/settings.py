"""Settings of the dashboard, from the environment of the service."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from wherry_service.settings_key import SettingsError

DEFAULT_HOURS = 24.0
MAX_HOURS = 24.0 * 365


@dataclass(frozen=True, slots=True)
class UiSettings:
    """Whether there is a dashboard, and for whom."""

    enabled: bool = True
    # Whether it answers browsers on other machines: by TLS alone.
    remote: bool = False
    session_hours: float = DEFAULT_HOURS

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "UiSettings":
        """Read WHERRY_UI_*; raise `SettingsError` on nonsense."""
        raw = environ.get("WHERRY_UI_SESSION_HOURS", "").strip()
        try:
            hours = float(raw) if raw else DEFAULT_HOURS
        except ValueError:
            hours = 0.0
        if not 0 < hours <= MAX_HOURS:
            raise SettingsError(
                f"WHERRY_UI_SESSION_HOURS is {raw!r}: it must be a number of hours above 0, at most a year's"
            )
        return cls(_switch(environ, "WHERRY_UI_ENABLED", "on"), _switch(environ, "WHERRY_UI_REMOTE", "off"), hours)


def _switch(environ: Mapping[str, str], name: str, default: str) -> bool:
    raw = environ.get(name, "").strip().lower() or default
    if raw not in ("on", "off"):
        raise SettingsError(f"{name} is {raw!r}: it must be on or off")
    return raw == "on"
