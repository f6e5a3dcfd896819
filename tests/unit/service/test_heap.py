"""Memory is given back when many inputs have ended, and at no other time."""

import asyncio
import gc
import weakref
from pathlib import Path

from tests.unit.service.test_dispatcher import World, run
from wherry_service.housekeeping import TRIM_AFTER, Heap


def test_memory_is_given_back_once_when_many_inputs_have_ended() -> None:
    trimmed: list[int] = []

    async def looks(heap: Heap, *counts: int) -> list[int]:
        """Return at which looks it was given back."""
        trimmed.clear()
        found = []
        for number, count in enumerate(counts):
            before = len(trimmed)
            await heap.look(count)
            if len(trimmed) > before:
                found.append(number)
        return found

    async def main() -> None:
        def heap() -> Heap:
            return Heap(lambda: trimmed.append(1))

        many = TRIM_AFTER * 5
        # Not while they end, and once.
        assert await looks(heap(), 0, many, many // 3, 10, 10, 10, 9, 9) == [4]
        # As often as it happens.
        assert await looks(heap(), many, 0, 0, many, 0, 0) == [2, 5]
        # Not for few, and not while most are still there.
        assert await looks(heap(), TRIM_AFTER - 1, 0, 0, 0) == []
        assert await looks(heap(), many, many - TRIM_AFTER, many - TRIM_AFTER) == []

    asyncio.run(main())


def test_it_can_be_done_on_this_system() -> None:
    asyncio.run(_release(Heap()))


async def _release(heap: Heap) -> None:
    for count in (TRIM_AFTER, 0, 0):
        await heap.look(count)


def test_what_was_written_last_is_not_kept(tmp_path: Path) -> None:
    class Large:
        """What a write holds."""

    async def scenario(world: World) -> None:
        large = Large()
        gone = weakref.ref(large)

        def work(connection: object, large: Large = large) -> None:
            """Write it."""

        await world.database.write(work)
        del large, work
        await world.until(lambda: (gc.collect(), gone() is None)[1])

    run(tmp_path, scenario)
