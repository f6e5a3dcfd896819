"""The count of bytes of messages that have begun: in whatever pieces they come, and however streams end."""

import random
import struct

import pytest

from wherry_service.api.tally import _EACH, _OVER, Tally

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST, SETTINGS = 0, 1, 3, 4


def frame(kind: int, stream: int, body: bytes = b"", flags: int = 0) -> bytes:
    return struct.pack(">I", len(body))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + body


def message(size: int, sent: int | None = None) -> bytes:
    """A message of that size, or its beginning."""
    return b"\0" + struct.pack(">I", size) + b"x" * (size if sent is None else sent)


def tally(*frames: bytes) -> Tally:
    found = Tally()
    found.sent.feed(PREFACE + frame(SETTINGS, 0, b"123456") + b"".join(frames))
    return found


def test_what_is_whole_counts_for_nothing_and_what_has_begun_counts_with_its_place() -> None:
    assert tally(frame(DATA, 1, message(1000))).held == 0
    assert tally(frame(DATA, 1, message(1000, 400))).held == 405 + _EACH
    assert tally(frame(DATA, 1, b"\0\0")).held == 2 + _EACH
    both = tally(frame(DATA, 1, message(9) + message(100, 50)), frame(DATA, 3, message(7, 2)))
    assert both.held == 55 + 7 + 2 * _EACH
    both.sent.feed(frame(DATA, 1, b"x" * 50))
    assert both.held == 7 + _EACH


@pytest.mark.parametrize("seed", range(20))
def test_pieces_make_no_difference(seed: int) -> None:
    chance = random.Random(seed)
    whole = PREFACE
    streams = {1: b"", 3: b"", 5: b""}
    for stream in streams:
        for _ in range(chance.randrange(4)):
            streams[stream] += message(chance.randrange(300))
    streams[5] += message(200, 100)
    while any(streams.values()):
        stream = chance.choice([one for one, rest in streams.items() if rest])
        size = chance.randrange(80)
        part, streams[stream] = streams[stream][:size], streams[stream][size:]
        if chance.random() < 0.3:
            pad = chance.randrange(20)
            whole += frame(DATA, stream, bytes((pad,)) + part + b"\0" * pad, flags=8)
        else:
            whole += frame(DATA, stream, part)
        whole += frame(HEADERS, 7, b"h" * chance.randrange(20)) if chance.random() < 0.2 else b""
    found = Tally()
    while whole:
        size = chance.randrange(1, 40)
        found.sent.feed(whole[:size])
        whole = whole[size:]
    assert found.held == 105 + _EACH


@pytest.mark.parametrize("kind", ["reset", "ended", "reset by the service", "answered"])
def test_a_stream_that_is_over_counts_for_nothing(kind: str) -> None:
    found = tally(frame(DATA, 1, message(1000, 400)))
    if kind == "reset":
        found.sent.feed(frame(RST, 1, b"\0\0\0\0"))
    elif kind == "ended":
        found.sent.feed(frame(DATA, 1, flags=1))
    else:
        found.answered.feed(frame(SETTINGS, 0))
        found.answered.feed(frame(RST, 1, b"\0\0\0\0") if "reset" in kind else frame(HEADERS, 1, b"h", flags=1))
        # Sent before its client has heard of that.
        found.sent.feed(frame(DATA, 1, b"x" * 300))
    assert found.held == 0


def test_of_streams_that_are_over_only_the_latest_are_known() -> None:
    found = tally()
    for stream in range(1, 4 * _OVER, 2):
        found.answered.feed(frame(HEADERS, stream, flags=1))
    assert len(found._over) == _OVER
