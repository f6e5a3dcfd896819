"""How pages say numbers, times and states."""

import datetime
import re
from typing import Any

# What terminals take for colours and the like, and what has no picture.
_CONTROLS = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[@-_]|[\x00-\x08\x0b-\x1f\x7f]")

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def size(num_bytes: float) -> str:
    """Return "1.5 MiB"."""
    value, unit = float(num_bytes), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.0f} {_UNITS[unit]}" if unit == 0 or value >= 100 else f"{value:.1f} {_UNITS[unit]}"


def seconds(value: float | None) -> str:
    """Return "12 ms", "1.5 s", "3 min 20 s", "2 h 5 min" or "3 d 4 h"; "–" for what is not known."""
    if value is None or value < 0:
        return "–"
    if value < 0.9995:
        return f"{value * 1000:.0f} ms" if value >= 0.0095 or value == 0 else f"{value * 1000:.1f} ms"
    if value < 60:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def moment(at_ms: float) -> str:
    """Return when that was in UTC, "2026-11-30 09:58:01"; "–" for 0."""
    if not at_ms:
        return "–"
    return f"{datetime.datetime.fromtimestamp(at_ms / 1000, datetime.UTC):%Y-%m-%d %H:%M:%S}"


def iso(at_ms: float) -> str:
    """Return when that was for machines, "2026-11-30T09:58:01.123Z"."""
    made = datetime.datetime.fromtimestamp(at_ms / 1000, datetime.UTC)
    return made.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def counted(number: int, noun: str) -> str:
    """Return "1 call" or "2 calls"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def short(text: Any, most: int = 80) -> str:
    """Return the beginning of a text."""
    said = str(text)
    return said if len(said) <= most else f"{said[: most - 1]}…"


def plain(text: str) -> str:
    """Return a line of a program without what only terminals understand."""
    return _CONTROLS.sub("", text.rstrip("\n"))
