"""Frames on a runner's socket, the agent's half (see docs/internals/runner-protocol.md)."""

import json
import struct
from collections.abc import Iterator, Sequence
from typing import Any

PROTOCOL = 1
MAX_HEADER = 1 << 20
MAX_BODY = 16 << 20
MAX_PARTS = 4096

_LENGTHS = struct.Struct(">II")
_dumps = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class ProtocolError(Exception):
    """A runner broke the protocol; the message says how."""


Header = dict[str, Any]


def encode(header: Header, parts: Sequence[bytes] = ()) -> bytes:
    """Return one frame; `header` gets the lengths of `parts`."""
    if parts:
        header["parts"] = [len(part) for part in parts]
    head = _dumps(header).encode()
    body = b"".join(parts)
    return b"".join((_LENGTHS.pack(len(head), len(body)), head, body))


class Decoder:
    """Cuts a byte stream into frames, bounding every length before it allocates."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[Header, list[bytes]]]:
        """Yield each (header, parts) that `data` completes; raise `ProtocolError` on a malformed frame."""
        buffer = self._buffer
        buffer += data
        start = 0
        try:
            while len(buffer) - start >= _LENGTHS.size:
                head_length, body_length = _LENGTHS.unpack_from(buffer, start)
                if head_length > MAX_HEADER:
                    raise ProtocolError(f"header of {head_length} bytes, at most {MAX_HEADER} are allowed")
                if body_length > MAX_BODY:
                    raise ProtocolError(f"body of {body_length} bytes, at most {MAX_BODY} are allowed")
                body_start = start + _LENGTHS.size + head_length
                end = body_start + body_length
                if len(buffer) < end:
                    break
                header = _parse_header(buffer[start + _LENGTHS.size : body_start])
                start = end
                yield header, _cut(header, bytes(memoryview(buffer)[body_start:end]))
        finally:
            del buffer[:start]


def _parse_header(raw: bytearray) -> Header:
    try:
        header = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"header is not JSON: {error}") from None
    if not isinstance(header, dict) or not isinstance(header.get("t"), str):
        raise ProtocolError("header is not an object with a type")
    return header


def _cut(header: Header, body: bytes) -> list[bytes]:
    lengths = header.get("parts")
    if lengths is None:
        if body:
            raise ProtocolError("body without parts")
        return []
    if not isinstance(lengths, list) or len(lengths) > MAX_PARTS:
        raise ProtocolError(f"parts is not a list of at most {MAX_PARTS} lengths")
    parts: list[bytes] = []
    position = 0
    for length in lengths:
        if type(length) is not int or length < 0:
            raise ProtocolError("a part's length is not a whole number")
        parts.append(body[position : position + length])
        position += length
    if position != len(body):
        raise ProtocolError(f"parts add up to {position} bytes, the body has {len(body)}")
    return parts
