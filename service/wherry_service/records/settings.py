"""What the service's environment says about records of calls."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from wherry_service.errors import Unready

# Inputs of one function that are kept in memory when they have ended.
KEEP = 10_000
MAX_KEEP = 1_000_000
KEEP_DAYS = 30.0
MAX_DAYS = 3650.0
MAX_ROWS = 100_000
MOST_ROWS = 100_000_000
SAMPLE = 0.01


@dataclass(frozen=True, slots=True)
class RecordSettings:
    """How much of what inputs did is kept."""

    # WHERRY_RECORDS_KEEP: inputs of each function that have ended, in memory; 0: none.
    keep: int = KEEP
    # WHERRY_RECORDS_KEEP_DAYS: days that counts, and records on disk, are kept.
    keep_days: float = KEEP_DAYS
    # WHERRY_RECORDS_MAX_ROWS: records on disk; 0: none.
    max_rows: int = MAX_ROWS
    # WHERRY_RECORDS_SAMPLE: the part of the other inputs that have succeeded of which there are records on disk, too.
    sample: float = SAMPLE

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "RecordSettings":
        """Read the variables; raise `Unready`, which names the one, for nonsense."""
        days = environ.get("WHERRY_RECORDS_KEEP_DAYS", "")
        try:
            keep_days = float(days) if days else KEEP_DAYS
        except ValueError:
            keep_days = -1.0
        if not 0 < keep_days <= MAX_DAYS:
            raise Unready(f"WHERRY_RECORDS_KEEP_DAYS is {days!r}: it must be a number of days, up to {MAX_DAYS:g}")
        part = environ.get("WHERRY_RECORDS_SAMPLE", "")
        try:
            sample = float(part) if part else SAMPLE
        except ValueError:
            sample = -1.0
        if not 0 <= sample <= 1:
            raise Unready(f"WHERRY_RECORDS_SAMPLE is {part!r}: it must be a number from 0 to 1")
        return cls(
            _whole(environ, "WHERRY_RECORDS_KEEP", KEEP, MAX_KEEP),
            keep_days,
            _whole(environ, "WHERRY_RECORDS_MAX_ROWS", MAX_ROWS, MOST_ROWS),
            sample,
        )


def _whole(environ: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = environ.get(name, "")
    if not text:
        return default
    try:
        value = int(text)
    except ValueError:
        value = -1
    if not 0 <= value <= most:
        raise Unready(f"{name} is {text!r}: it must be a whole number from 0 to {most}")
    return value
