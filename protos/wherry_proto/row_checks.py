"""What is checked of a row that comes from elsewhere, before a message is made of it."""

import sys
from typing import Any

from wherry_proto import Message

_LARGEST = sys.float_info.max
# What each kind of whole number can be; no unsigned one is larger than a database's integers.
RANGES = {
    "uint32": (0, (1 << 32) - 1),
    "uint64": (0, (1 << 63) - 1),
    "int32": (-(1 << 31), (1 << 31) - 1),
    "int64": (-(1 << 63), (1 << 63) - 1),
    "enum": (-(1 << 31), (1 << 31) - 1),
}


class RowError(ValueError):
    """What arrived is not such a message."""


class Body:
    """The bytes beside a row, taken in the order in which they were put."""

    __slots__ = ("_data", "_position")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def take(self, length: int) -> bytes:
        """Return the next bytes; raise RowError where there are not so many."""
        start = self._position
        self._position = end = start + length
        if length < 0 or end > len(self._data):
            raise RowError("a field is longer than what came")
        return self._data[start:end]


def other_fields(kind: type[Message]) -> RowError:
    return RowError(f"{kind.__name__} has other fields here: another version speaks")


def bad_field(kind: type[Message]) -> RowError:
    return RowError(f"a field of {kind.__name__} has another type, or is out of range")


def is_double(value: Any) -> bool:
    """Whether it is a number that is finite."""
    return type(value) in (int, float) and -_LARGEST <= value <= _LARGEST


def are(value: Any, kind: type) -> bool:
    """Whether it is a list whose items all are of that type."""
    return type(value) is list and all(type(item) is kind for item in value)


def are_whole(value: Any, least: int, most: int) -> bool:
    """Whether it is a list of whole numbers in that range."""
    return type(value) is list and all(type(item) is int and least <= item <= most for item in value)


def text_map(value: Any) -> dict[str, str]:
    """Return the pairs of a list as a map of strings to strings; raise RowError where it is none."""
    try:
        found = dict(value)
    except (TypeError, ValueError):
        raise RowError("a map is none") from None
    if not all(type(key) is str and type(item) is str for key, item in found.items()):
        raise RowError("a map has an item of another type")
    return found
