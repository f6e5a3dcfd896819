"""Where the service tells what went wrong, and what of it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from wherry_service.errors import Unready

SCHEDULE_FAILED = "schedule_failed"
DEPLOY_FAILED = "deploy_failed"
INPUTS_FAILED = "inputs_failed"
CRASH_LOOP = "crash_loop"
DISK_LOW = "disk_low"
SERVICE_RESTARTED = "service_restarted"
EVENTS = (SCHEDULE_FAILED, INPUTS_FAILED, DEPLOY_FAILED, CRASH_LOOP, DISK_LOW, SERVICE_RESTARTED)
# Sent by `wherry server notify --test` alone.
TEST = "test"


@dataclass(frozen=True, slots=True)
class NotifySettings:
    """The webhook, "" for none, and the events that it gets."""

    url: str = ""
    events: tuple[str, ...] = EVENTS
    # Percent of the state directory's disk that are free, below which the disk counts as low; 0: never.
    disk_free: float = 10.0

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "NotifySettings":
        """Read WHERRY_NOTIFY_…; raise `Unready`, which names the variable, for nonsense. No value is in the message."""
        url = environ.get("WHERRY_NOTIFY_URL", "").strip()
        if url:
            _check_url(url)
        named = tuple(filter(None, (one.strip() for one in environ.get("WHERRY_NOTIFY_EVENTS", "").split(","))))
        for one in named:
            if one not in EVENTS:
                raise Unready(f"WHERRY_NOTIFY_EVENTS has {one[:64]!r}: events are {', '.join(EVENTS)}")
        text = environ.get("WHERRY_NOTIFY_DISK_FREE", "") or "10"
        try:
            disk_free = float(text)
        except ValueError:
            disk_free = -1.0
        if not 0 <= disk_free < 100:
            raise Unready(f"WHERRY_NOTIFY_DISK_FREE is {text[:64]!r}: it must be a number of percent, from 0 to 99")
        return cls(url, named or EVENTS, disk_free)


def _check_url(url: str) -> None:
    # The address itself is often a secret, so it is not repeated.
    wrong = "WHERRY_NOTIFY_URL is no address of a webhook: write https://HOST/PATH, or http://HOST/PATH"
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise Unready(wrong) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or any(c.isspace() or ord(c) < 32 for c in url):
        raise Unready(wrong)
