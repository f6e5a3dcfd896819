"""Times as people write them: how long ago, or when."""

import datetime
import re
import time

from wherry.cli._usage import UsageError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_AGO = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+\Z")
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")


def read_time(text: str, option: str, now: float | None = None) -> int:
    """Return milliseconds since 1970 of "90s", "1h30m" (ago), "19:30" (today) or an ISO date or time.

    Local time where the text names no zone. Raises UsageError, which names the option.
    """
    now = time.time() if now is None else now
    if _AGO.match(text):
        ago = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
        return max(0, int((now - ago) * 1000))
    try:
        if "-" not in text and ":" in text:
            today = datetime.datetime.fromtimestamp(now).date()
            at = datetime.datetime.combine(today, datetime.time.fromisoformat(text))
        else:
            at = datetime.datetime.fromisoformat(text)
        return max(0, int(at.timestamp() * 1000))
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"{option} {text!r} is no time: give how long ago (90s, 10m, 2h, 1d), a time of today (19:30), "
            "or a date and time (2026-01-31T19:30)"
        ) from None
