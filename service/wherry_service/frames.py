"""Frames on a unix socket: two lengths, a header of JSON, a body of bytes (see docs/internals/runner-protocol.md)."""

import json
import struct
from collections.abc import Iterator
from typing import Any

import orjson

LENGTHS = struct.Struct(">II")


class FrameError(Exception):
    """What came is no frame, or too large a one; the message says how."""


# Takes what orjson refuses.
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def read_header(raw: bytes) -> Any:
    """Return a header's value; raise `FrameError` unless it is JSON in UTF-8, its numbers numbers, its text text.

    Python's own reader would also take NaN, UTF-16, and halves of surrogate pairs, which nobody can write on.
    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise FrameError(f"header is not JSON: {error}") from None


def write_header(value: Any) -> bytes:
    """Return a header as JSON; in its texts, what UTF-8 can't hold is replaced."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return _encode(value).encode(errors="replace")


class Splitter:
    """Cuts a byte stream into frames, bounding every length before it allocates."""

    def __init__(self, max_header: int, max_body: int) -> None:
        self._max_header = max_header
        self.max_body = max_body
        self._buffer = bytearray()

    @property
    def waiting(self) -> int:
        """Bytes of a frame that has begun and is not whole."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield (header, body) of each frame that `data` completes; raise `FrameError` on one that is too large."""
        buffer = self._buffer
        buffer += data
        start = 0
        try:
            while len(buffer) - start >= LENGTHS.size:
                head_length, body_length = LENGTHS.unpack_from(buffer, start)
                if head_length > self._max_header:
                    raise FrameError(f"header of {head_length} bytes, at most {self._max_header} are allowed")
                if body_length > self.max_body:
                    raise FrameError(f"body of {body_length} bytes, at most {self.max_body} are allowed")
                head = start + LENGTHS.size
                body = head + head_length
                end = body + body_length
                if len(buffer) < end:
                    break
                start = end
                yield bytes(buffer[head:body]), bytes(memoryview(buffer)[body:end])
        finally:
            del buffer[:start]


def pack(head: bytes, parts: list[bytes]) -> bytes:
    """Return one frame."""
    body = b"".join(parts)
    return b"".join((LENGTHS.pack(len(head), len(body)), head, body))
