"""Frames on the socket: the runner's half of docs/internals/runner-protocol.md.

`json` and `struct` would cost half a MiB and some milliseconds of every cold start (json compiles regular
expressions); the C codec underneath is all that is needed. Where an interpreter has none, json itself serves.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing and collections cost 12 ms and 2 MiB; only the type checker needs them
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    Header = dict[str, Any]
    Frame = tuple[Header, list[bytes]]

PROTOCOL = 1
MAX_HEADER = 1 << 20
MAX_BODY = 16 << 20
MAX_PARTS = 4096


class ProtocolError(Exception):
    """The peer broke the protocol; the message says how."""


class _Dialect:
    """What the C scanner asks of a decoder."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float

    def __init__(self) -> None:
        self.memo: dict[str, str] = {}


def _refuse(value: object) -> None:
    raise TypeError(f"{type(value).__name__} has no place in a header")


try:
    from _json import encode_basestring, make_encoder, make_scanner

    _scan = make_scanner(_Dialect())  # type: ignore[arg-type]
    _chunks = make_encoder(None, _refuse, encode_basestring, None, ":", ",", False, False, False)

    def dump(value: Any) -> bytes:
        """Return `value` as JSON in UTF-8."""
        return "".join(_chunks(value, 0)).encode("utf-8", "replace")

    def _load(text: str) -> Any:
        value, end = _scan(text, 0)
        if end != len(text):
            raise ValueError("data after the object")
        return value

    if dump({"a": [1, None, "é"]}) != '{"a":[1,null,"é"]}'.encode():
        raise ImportError("another C codec than the one known")
except (ImportError, TypeError):
    import json

    def dump(value: Any) -> bytes:
        """Return `value` as JSON in UTF-8."""
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")

    _load = json.loads  # type: ignore[assignment]


def encode(header: Header, parts: Sequence[bytes] = ()) -> bytes:
    """Return one frame; `header` gets the lengths of `parts`."""
    if parts:
        header["parts"] = [len(part) for part in parts]
    head = dump(header)
    body = b"".join(parts)
    return b"".join((len(head).to_bytes(4, "big"), len(body).to_bytes(4, "big"), head, body))


class Decoder:
    """Cuts a byte stream into frames."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._missing = 0

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that `data` completes; raise `ProtocolError` on a malformed one."""
        if self._missing > len(data):
            # A frame of several MiB comes in many pieces: they are joined once, when the last is there.
            self._chunks.append(data)
            self._missing -= len(data)
            return []
        if self._chunks:
            data = b"".join((*self._chunks, data))
            self._chunks = []
        self._missing = 0
        frames: list[Frame] = []
        start, size = 0, len(data)
        needed = 8
        while size - start >= 8:
            head = int.from_bytes(data[start : start + 4], "big")
            body = int.from_bytes(data[start + 4 : start + 8], "big")
            if head > MAX_HEADER or body > MAX_BODY:
                raise ProtocolError(f"a frame of {head} + {body} bytes")
            needed = 8 + head + body
            if size - start < needed:
                break
            middle = start + 8 + head
            frames.append(_frame(data[start + 8 : middle], data, middle, body))
            start += needed
            needed = 8
        if start < size:
            self._chunks = [data[start:]]
            self._missing = needed - (size - start)
        return frames


def _frame(raw: bytes, data: bytes, start: int, size: int) -> Frame:
    try:
        header = _load(raw.decode())
    except (ValueError, StopIteration, RecursionError) as error:
        raise ProtocolError(f"header is not JSON: {error}") from None
    if not isinstance(header, dict) or not isinstance(header.get("t"), str):
        raise ProtocolError("header is not an object with a type")
    parts: list[bytes] = []
    end = start + size
    lengths = header.get("parts") or ()
    if not isinstance(lengths, list | tuple) or len(lengths) > MAX_PARTS:
        raise ProtocolError(f"parts is not a list of at most {MAX_PARTS} lengths")
    for length in lengths:
        if type(length) is not int or length < 0:
            raise ProtocolError("a part's length is not a whole number")
        parts.append(data[start : start + length])
        start += length
    if start != end:
        raise ProtocolError("the parts do not add up to the body")
    return header, parts
