"""Whether the service says rightly that it lives and can work."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

from wherry_service import health
from wherry_service.health import HEALTH_PATH, READY_PATH, Health

WELL = {"ready": True, "database": "ok", "engine": "ok"}


async def works() -> bool:
    return True


async def says_no() -> bool:
    return False


async def fails() -> bool:
    raise OSError("password=hunter2 was refused")


async def hangs() -> bool:
    await asyncio.Event().wait()
    return True


def asked(made: Health, path: str = READY_PATH) -> tuple[int, dict[str, object]]:
    told = asyncio.run(made.told(path))
    assert told is not None
    return told.status, json.loads(told.text)


def test_all_parts_answer() -> None:
    made = Health({"database": works, "engine": works}, lambda: False)
    assert asked(made) == (200, WELL)
    assert asked(made, HEALTH_PATH) == (200, {"live": True})
    assert asyncio.run(made.told("/.wherry/other")) is None


@pytest.mark.parametrize("check", [says_no, fails, hangs])
def test_a_part_that_does_not_answer(check: Callable[[], Awaitable[bool]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "ANSWER_WITHIN_S", 0.02)
    made = Health({"database": works, "engine": check}, lambda: False)
    # Not why: anyone may ask.
    assert asked(made) == (503, {**WELL, "ready": False, "engine": "does not answer"})
    assert asked(made, HEALTH_PATH)[0] == 200


def test_a_service_that_stops_is_not_ready() -> None:
    made = Health({"database": works, "engine": works}, lambda: True)
    assert asked(made) == (503, {**WELL, "ready": False, "service": "is stopping"})


def test_many_who_ask_cost_one_look() -> None:
    looks = 0

    async def counted() -> bool:
        nonlocal looks
        looks += 1
        await asyncio.sleep(0)
        return True

    async def main() -> None:
        made = Health({"engine": counted}, lambda: False)
        await asyncio.gather(*(made.ready() for _ in range(100)))

    asyncio.run(main())
    assert looks == 1
