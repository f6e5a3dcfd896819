"""JSON as it is let in: no value twice, no numbers that JSON has not, no depth that a reader may choke on."""

import asyncio
import json
from typing import Any

# Arrays and objects within each other.
MAX_DEPTH = 200
# Longer texts are read in a thread, one at a time: what they become may be thirty times as large.
READ_HERE = 64 << 10


class RawJson(bytes):
    """A value that is JSON already."""


class Reader:
    """Reads JSON that strangers have written."""

    def __init__(self) -> None:
        self._alone = asyncio.Lock()

    async def read(self, data: bytes) -> Any:
        """Return the value; raise ValueError that says what is wrong."""
        if len(data) <= READ_HERE:
            return parse(data)
        async with self._alone:
            return await asyncio.to_thread(parse, data)


def parse(data: bytes) -> Any:
    """Return the value; raise ValueError that says what is wrong."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"it is no UTF-8: {error.reason} at byte {error.start}") from None
    if _depth(text) > MAX_DEPTH:
        raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON: {error}") from None


def _depth(text: str) -> int:
    """Return how deep brackets are within each other, at most `MAX_DEPTH` + 1; of what is no JSON, any number."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return 0
    depth = deepest = 0
    # Outside of strings: every other piece between quotes that are not escaped.
    for place, piece in enumerate(text.replace("\\\\", "").replace('\\"', "").split('"')):
        if place % 2:
            continue
        if "[" not in piece and "{" not in piece:
            depth -= piece.count("]") + piece.count("}")
            continue
        for letter in piece:
            if letter in "[{":
                depth += 1
                if depth > deepest:
                    deepest = depth
                    if deepest > MAX_DEPTH:
                        return deepest
            elif letter in "]}":
                depth -= 1
    return deepest


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an object has the key {twice[:64]!r} twice")
    return found


def _constant(text: str) -> Any:
    raise ValueError(f"it has {text}, which is no number of JSON")


def dump(value: Any) -> bytes:
    """Return a value as JSON; of an object, what is `RawJson` goes in as it is."""
    if isinstance(value, RawJson):
        return bytes(value)
    if isinstance(value, dict) and any(isinstance(item, RawJson) for item in value.values()):
        rows = (json.dumps(name).encode() + b":" + dump(item) for name, item in value.items())
        return b"{" + b",".join(rows) + b"}"
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
