"""Frames: what is encoded decodes, however it is cut; what is malformed is refused before it is believed."""

import json
import struct

import pytest

from wherry_service.node import frames


def raw(head: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">II", len(head), len(body)) + head + body


@pytest.mark.parametrize("cut", [1, 3, 7, 64, 10_000])
def test_frames_decode_however_the_stream_is_cut(cut: int) -> None:
    data = (
        frames.encode({"t": "a"}) + frames.encode({"t": "b", "rows": [1, 2]}, [b"one", b""]) + frames.encode({"t": "c"})
    )
    decoder = frames.Decoder()
    found = [frame for start in range(0, len(data), cut) for frame in decoder.feed(data[start : start + cut])]
    assert found == [({"t": "a"}, []), ({"t": "b", "rows": [1, 2], "parts": [3, 0]}, [b"one", b""]), ({"t": "c"}, [])]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (struct.pack(">II", frames.MAX_HEADER + 1, 0), "header of 1048577 bytes"),
        (struct.pack(">II", 2, frames.MAX_BODY_FROM_RUNNER + 1), "body of 4194305 bytes"),
        (raw(b"{"), "not JSON"),
        (raw(b"[" * 100_000), "not JSON"),
        (raw(b"[]"), "not an object"),
        (raw(b'{"t":7}'), "not an object with a type"),
        (raw(b'{"t":"x"}', b"body"), "body without parts"),
        (raw(b'{"t":"x","parts":[1]}', b"body"), "add up to 1 bytes"),
        (raw(b'{"t":"x","parts":[-1,5]}', b"body"), "not a whole number"),
        (raw(b'{"t":"x","parts":[true,3]}', b"body"), "not a whole number"),
        (raw(b'{"t":"x","parts":{}}', b""), "not a list"),
        (raw(json.dumps({"t": "x", "parts": [0] * 4097}).encode()), "at most 4096"),
    ],
)
def test_malformed_frames_are_refused(data: bytes, says: str) -> None:
    with pytest.raises(frames.ProtocolError, match=says):
        list(frames.Decoder().feed(data))
