"""Words of messages that depend on what they are about."""

from __future__ import annotations


def with_article(name: str) -> str:
    """Return "an Attr", "a Lock"."""
    return f"{'an' if name[:1].lower() in tuple('aeio') else 'a'} {name}"


def counted(number: int, one: str, many: str = "") -> str:
    """Return "1 file", "2 files"; `many` where it is more than an s."""
    return f"{number} {one if number == 1 else many or one + 's'}"
