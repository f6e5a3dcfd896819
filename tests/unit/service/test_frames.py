"""Frames: what is encoded decodes, however it is cut; what is malformed is refused before it is believed."""

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry_service.frames import FrameError, read_header, write_header
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


# Headers

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=5)
    ),
    max_leaves=20,
)


@given(VALUES)
def test_headers_are_json_as_others_read_and_write_it(value: Any) -> None:
    data = write_header(value)
    assert read_header(data) == json.loads(data) == value
    assert read_header(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[NaN]",
        b"[-Infinity]",
        b"[1e999]",
        b"[01]",
        b"[1,]",
        b"['x']",
        b'["\\ud800"]',
        b'["\\udc00\\ud800"]',
        b'["\xff"]',
        b'["\xed\xa0\x80"]',
        b'["\n"]',
        b"[" * 5000 + b"]" * 5000,
        '["x"]'.encode("utf-16"),
        b"\xef\xbb\xbf[]",
        b"[] []",
    ],
)
def test_what_is_no_json_in_utf_8_is_refused(data: bytes) -> None:
    with pytest.raises(FrameError, match="header is not JSON"):
        read_header(data)


def test_a_number_that_no_integer_of_ours_holds_is_no_whole_number() -> None:
    assert [type(item) for item in read_header(b"[9223372036854775807,18446744073709551616,-9223372036854775809]")] == [
        int,
        float,
        float,
    ]


def test_what_utf_8_can_not_hold_is_replaced() -> None:
    # As in names of files that are no text.
    assert write_header(["item", "a\udcff", 1 << 70]) == b'["item","a?",1180591620717411303424]'
