"""What one look finds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `wherry doctor`."""

    # What was looked at, one word or two.
    name: str
    ok: bool
    # How it is, in a sentence without a full stop.
    said: str
    # The command, or what else mends it; "" where all is well.
    mend: str = ""


def well(name: str, said: str) -> Finding:
    """Return that all is well."""
    return Finding(name, True, said)


def wrong(name: str, said: str, mend: str) -> Finding:
    """Return what is wrong, and what mends it."""
    return Finding(name, False, said, mend)
