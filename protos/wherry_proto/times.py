"""Times as views have them."""

import datetime


def iso(ms: int) -> str:
    """Return local time with its offset, to the second, of milliseconds since 1970; "" for 0."""
    if not ms:
        return ""
    return datetime.datetime.fromtimestamp(ms / 1000).astimezone().isoformat(timespec="seconds")


def stamp(ms: int) -> str:
    """Return local time with its offset, to the millisecond, of milliseconds since 1970."""
    return datetime.datetime.fromtimestamp(ms / 1000).astimezone().isoformat(timespec="milliseconds")
