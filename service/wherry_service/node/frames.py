"""Frames on a runner's socket, the agent's half (see docs/internals/runner-protocol.md)."""

from collections.abc import Iterator, Sequence
from typing import Any

from wherry_service.frames import FrameError, Splitter, pack, read_header, write_header
from wherry_service.node.runner_protocol import MAX_BODY_FROM_RUNNER, MAX_HEADER, MAX_PARTS


class ProtocolError(Exception):
    """A runner broke the protocol; the message says how."""


Header = dict[str, Any]


def encode(header: Header, parts: Sequence[bytes] = ()) -> bytes:
    """Return one frame; `header` gets the lengths of `parts`."""
    if parts:
        header["parts"] = [len(part) for part in parts]
    return pack(write_header(header), list(parts))


class Decoder:
    """Cuts a byte stream into frames and checks their form; headers alone before `widen`."""

    def __init__(self, greeted: bool = True) -> None:
        self._splitter = Splitter(MAX_HEADER, MAX_BODY_FROM_RUNNER if greeted else 0)

    def widen(self) -> None:
        """Take bodies as well from now on."""
        self._splitter.max_body = MAX_BODY_FROM_RUNNER

    def feed(self, data: bytes) -> Iterator[tuple[Header, list[bytes]]]:
        """Yield each (header, parts) that `data` completes; raise `ProtocolError` on a malformed frame."""
        try:
            for head, body in self._splitter.feed(data):
                header = _parse_header(head)
                yield header, _cut(header, body)
        except FrameError as error:
            raise ProtocolError(str(error)) from None


def _parse_header(raw: bytes) -> Header:
    header = read_header(raw)
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
