"""Ids: a prefix that tells the kind of object, and a ULID."""

import os
import time
from collections.abc import Iterator

from wherry.exception import InvalidError

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(a + b for a in _ALPHABET for b in _ALPHABET)
_LENGTH = 26
# Of these, those that tell the time.
_TIME_DIGITS = 10


def new_id(prefix: str) -> str:
    """Return a new id, for example `new_id("fc")` → "fc-01J…": 48 bits of time in ms and 80 random bits."""
    number = time.time_ns() // 1_000_000 << 80 | int.from_bytes(os.urandom(10), "big")
    return f"{prefix}-{_encode(number)}"


def id_sequence(prefix: str) -> Iterator[str]:
    """Yield new ids in ascending order without end; cheaper than `new_id` for the many inputs of one call."""
    while True:
        head = new_id(prefix)[:-4]
        for first in _PAIRS:
            for second in _PAIRS:
                yield head + first + second


def check_id(value: str, prefix: str, kind: str) -> str:
    """Return `value`; raise InvalidError unless it is an id of that prefix."""
    body = value[len(prefix) + 1 :]
    if not value.startswith(f"{prefix}-") or len(body) != _LENGTH or not set(body) <= set(_ALPHABET):
        raise InvalidError(f"{value!r} is not the id of a {kind}: those look like {prefix}-{'0' * _LENGTH}")
    return value


def _encode(number: int) -> str:
    pairs = [_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)]
    return "".join(pairs)


def times_of_beginning(digits: str) -> tuple[int, int]:
    """Return when ids were made that begin with these digits: the first and the last ms since 1970 that it can be.

    Raises ValueError for what no id begins with.
    """
    head = digits.upper()[:_TIME_DIGITS]
    if not set(digits.upper()) <= set(_ALPHABET) or digits[:1] > "7":
        raise ValueError(digits)
    first, last = (_number(head.ljust(_TIME_DIGITS, fill)) for fill in (_ALPHABET[0], _ALPHABET[-1]))
    return first, last


def _number(digits: str) -> int:
    number = 0
    for digit in digits:
        number = number * len(_ALPHABET) + _ALPHABET.index(digit)
    return number
