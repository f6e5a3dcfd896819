"""Values of secrets in streams of bytes, wherever the pieces break."""

import asyncio
from pathlib import Path

import pytest

from tests.fakes.sandbox_node import House
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


def test_what_people_see_of_its_output_has_no_secret(tmp_path: Path) -> None:
    async def output(house: House, sandbox_id: str, offset: int, masked: bool) -> bytes:
        pieces = house.sandboxes.streams.output(sandbox_id, 1, offset, False, masked)
        return b"".join([data async for data in pieces])

    async def main() -> None:
        house = House(tmp_path)
        house.secrets = {"st-1": {"TOKEN": "hush-hush"}}
        for masks, program in ((False, b"it is hush-hush!"), (True, b"it is ****!")):
            sandbox_id = await house.create(secret_ids=["st-1"], masks_output=masks)
            house.node.printed[sandbox_id, 1] = b"it is hush-hush!"
            assert await output(house, sandbox_id, 0, False) == program
            assert await output(house, sandbox_id, 0, True) == b"it is ****!"
            # Who lost the connection goes on where it was.
            assert await output(house, sandbox_id, 8, False) == program[8:]
            assert house.sandboxes.masks_output(sandbox_id) is masks
        await house.sandboxes.close("over")

    asyncio.run(main())
