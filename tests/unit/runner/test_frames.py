"""Frames, whole, in pieces and malformed."""

import pytest

from wherry_runner import frames


def _raw(header: bytes, body: bytes = b"") -> bytes:
    return len(header).to_bytes(4, "big") + len(body).to_bytes(4, "big") + header + body


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
def test_frames_survive_any_cutting(step: int) -> None:
    sent = [({"t": "a", "x": [1, None, 'é"\\\n']}, [b"", b"one"]), ({"t": "b"}, []), ({"t": "c"}, [b"z" * 5000])]
    data = b"".join(frames.encode(dict(header), parts) for header, parts in sent)
    decoder = frames.Decoder()
    got = [frame for i in range(0, len(data), step) for frame in decoder.feed(data[i : i + step])]

    assert [({k: v for k, v in header.items() if k != "parts"}, parts) for header, parts in got] == sent


@pytest.mark.parametrize(
    "data",
    [
        _raw(b"no json"),
        _raw(b"[]"),
        _raw(b'{"x":1}'),
        _raw(b'{"t":1}'),
        _raw(b'{"t":"a"} x'),
        _raw(b"\xff"),
        _raw(b'{"t":"a"}', b"body without parts"),
        _raw(b'{"t":"a","parts":[3]}', b"four"),
        _raw(b'{"t":"a","parts":[-1,5]}', b"four"),
        _raw(b'{"t":"a","parts":[true]}', b"x"),
        _raw(b'{"t":"a","parts":"x"}', b"x"),
        b"\xff\xff\xff\xff\x00\x00\x00\x00",
        b"\x00\x00\x00\x02\xff\xff\xff\xff",
    ],
)
def test_malformed_frames_are_refused(data: bytes) -> None:
    with pytest.raises(frames.ProtocolError):
        frames.Decoder().feed(data)
