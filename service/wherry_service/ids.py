"""Object ids: a two-letter prefix and a ULID, for example ``co-01JD5W0V7T9Q2M8Z4X6C1B3N5K``."""

import hashlib
import os
import time
from pathlib import Path

from wherry_service.errors import InvalidRequest

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ALPHABET_SET = frozenset(_ALPHABET)
_ULID_LENGTH = 26


def new_id(prefix: str) -> str:
    """Return a new id: 48 bits of milliseconds since 1970, then 80 random bits, in Crockford's base 32."""
    number = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    digits = [_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5)]
    return f"{prefix}-{''.join(digits)}"


def instance_of(run_directory: Path) -> str:
    """Return what tells the service of this directory from others on the same engine: 12 digits of base 16."""
    return hashlib.sha256(str(run_directory.resolve()).encode()).hexdigest()[:12]


def own_id(value: str, owner: str) -> str:
    """Return what an id that a client chose is called within one owner: for another it is another.

    So nobody learns, or takes up, what was done under an id elsewhere.
    """
    number = int.from_bytes(hashlib.sha256(f"{owner} {value}".encode()).digest()[:17], "big") >> 6
    digits = [_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5)]
    return f"{value.partition('-')[0]}-{''.join(digits)}"


def call_of_input(input_id: str) -> str:
    """Return the id of a call that is this input alone: with the same letters and digits."""
    return f"fc-{input_id[3:]}"


def input_of_call(call_id: str) -> str:
    """Return the id of the input that such a call is."""
    return f"in-{call_id[3:]}"


def time_of(value: str) -> int:
    """Return when an id was made, in milliseconds since 1970."""
    number = 0
    for digit in value.partition("-")[2][:10]:
        number = number << 5 | _ALPHABET.index(digit)
    return number


def check_id(value: str, prefix: str, what: str) -> str:
    """Return `value` if it is an id with that prefix; raise `InvalidRequest` naming `what` otherwise."""
    body = value[len(prefix) + 1 :]
    if not value.startswith(f"{prefix}-") or len(body) != _ULID_LENGTH or not _ALPHABET_SET.issuperset(body):
        raise InvalidRequest(f"{what} {value[:64]!r} is not an id of the form {prefix}-<26 letters and digits>")
    return value
