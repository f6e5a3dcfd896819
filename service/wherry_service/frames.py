"""Frames on a unix socket: two lengths, a header of JSON, a body of bytes (see docs/internals/runner-protocol.md)."""

import struct
from collections.abc import Iterator

LENGTHS = struct.Struct(">II")


class FrameError(Exception):
    """What came is no frame, or too large a one; the message says how."""


class Splitter:
    """Cuts a byte stream into frames, bounding every length before it allocates."""

    def __init__(self, max_header: int, max_body: int) -> None:
        self._max_header = max_header
        self._max_body = max_body
        self._buffer = bytearray()

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
                if body_length > self._max_body:
                    raise FrameError(f"body of {body_length} bytes, at most {self._max_body} are allowed")
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
