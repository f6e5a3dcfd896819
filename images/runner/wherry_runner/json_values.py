"""Arguments and values as JSON, for callers that are not Python's. Loaded only where there is such an input."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from math import isfinite

TYPE_CHECKING = False  # typing and collections cost 12 ms and 2 MiB; only the type checker needs them
if TYPE_CHECKING:
    from typing import Any

# Bytes are written {"$bytes": BASE64}.
BYTES = "$bytes"
MAX_DEPTH = 200
# Characters of a key that an error names.
_SHOWN = 64
_HINTS = {
    "datetime": "return value.isoformat()",
    "date": "return value.isoformat()",
    "set": "return sorted(value)",
    "frozenset": "return sorted(value)",
    "ndarray": "return value.tolist()",
    "DataFrame": "return value.to_dict('records')",
    "Decimal": "return str(value) or float(value)",
    "UUID": "return str(value)",
    "generator": "decorate it with is_generator=True",
}


class NotJson(Exception):
    """JSON can't hold a value; the message says which, and where it is."""


def read_arguments(data: bytes) -> tuple[list[Any], dict[str, Any]]:
    """Return args and kwargs of {"args": […], "kwargs": {…}}; raise ValueError where that is none."""
    try:
        found = json.loads(data.decode(), object_pairs_hook=_object, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("the JSON is nested too deep") from None
    if not isinstance(found, dict):
        raise ValueError('the arguments are no JSON object: send {"args": […], "kwargs": {…}}')
    args, kwargs = found.get("args", []), found.get("kwargs", {})
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        raise ValueError('"args" must be an array and "kwargs" an object')
    return args, kwargs


def _object(pairs: list[tuple[str, Any]]) -> Any:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has the same key twice")
    if len(pairs) == 1 and BYTES in found and isinstance(found[BYTES], str):
        return b64decode(found[BYTES], validate=True)
    return found


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


def dump(value: Any, name: str) -> bytes:
    """Return a value as JSON in UTF-8; raise `NotJson` with the way to what it can't hold, from `name` on."""
    plain = _plain(value, name, 0)
    try:
        return json.dumps(plain, ensure_ascii=False, check_circular=False, separators=(",", ":")).encode()
    except ValueError as error:  # a number of more digits than Python writes
        raise NotJson(f"{name} can't be written as JSON: {error}") from None


def _plain(value: Any, path: str, depth: int) -> Any:
    """Return a value of dicts, lists, text, numbers and None alone."""
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, str):
        if not value.isascii():
            _check_text(value, path)
        return value
    if isinstance(value, float):
        if not isfinite(value):
            raise NotJson(f"{path} is {float.__repr__(value)}, which JSON has no number for: return None or text")
        return value
    if depth >= MAX_DEPTH:
        raise NotJson(f"{_cut(path)} is nested more than {MAX_DEPTH} deep, or contains itself")
    if isinstance(value, dict):
        return {_key(key, path): _plain(item, f"{path}[{_named(key)}]", depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]
    if isinstance(value, bytes | bytearray | memoryview):
        return {BYTES: b64encode(value).decode()}
    raise NotJson(_refusal(value, path))


def _key(key: Any, path: str) -> str:
    if not isinstance(key, str):
        kind = type(key).__name__
        raise NotJson(f"{_cut(path)} has the key {_named(key)}, of type {kind}: keys of JSON objects are text")
    if not key.isascii():
        _check_text(key, f"a key of {path}")
    return key


def _check_text(text: str, path: str) -> None:
    try:
        str.encode(text)
    except UnicodeEncodeError:
        raise NotJson(f"{_cut(path)} is text with half of a surrogate pair, which UTF-8 can't hold") from None


def _refusal(value: object, path: str) -> str:
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    hint = _HINTS.get(kind.__name__, "return dicts, lists, text, numbers, bytes, True, False and None")
    return f"{_cut(path)} is of type {name}, which JSON can't hold: {hint}"


def _named(key: object) -> str:
    return repr(key[:_SHOWN] if isinstance(key, str) else key)[: _SHOWN + 2]


def _cut(path: str) -> str:
    return path if len(path) <= 400 else f"{path[:200]}…{path[-200:]}"
