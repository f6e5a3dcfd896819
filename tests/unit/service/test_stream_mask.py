"""Values of secrets in streams of bytes, wherever the pieces break."""

import pytest

from wherry_service.logs.stream_mask import StreamMask


def shown(mask: StreamMask, data: bytes, step: int) -> bytes:
    pieces = (data[start : start + step] for start in range(0, len(data), step))
    return b"".join([*(mask.feed(piece) for piece in pieces), mask.rest()])


@pytest.mark.parametrize("step", [1, 2, 3, 5, 7, 1000])
@pytest.mark.parametrize(
    ("values", "data", "expected"),
    [
        (["hush"], b"a hush, hushhush hus", b"a ****, ******** hus"),
        (["hush", "hushed"], b"hushed hush hushe", b"**** **** ****e"),
        (["xxab", "abcd"], b"xxabcd-abcd", b"****cd-****"),
        (["z\u00fcrich"], "in zürich, zür".encode(), b"in ****, z\xc3\xbcr"),
        (["abc", ""], b"abc", b"abc"),
        (["first\nsecond"], b"first second", b"**** ****"),
        ([], b"anything", b"anything"),
        (["hush"], b"\xff\0hush\xff", b"\xff\0****\xff"),
    ],
)
def test_values_are_masked(values: list[str], data: bytes, expected: bytes, step: int) -> None:
    assert shown(StreamMask(values), data, step) == expected


def test_what_begins_no_value_is_shown_at_once() -> None:
    mask = StreamMask(["hush"])
    assert [mask.feed(piece) for piece in (b"name> ", b"hu", b"t", b"hush")] == [b"name> ", b"", b"hut", b"****"]
