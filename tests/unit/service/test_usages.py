"""What containers use: read of many at once, and not more often than has any use."""

import asyncio
from unittest.mock import patch

from wherry_service.api.usages import FRESH_S, Usages
from wherry_service.engines.engine import ContainerMissing, ContainerUsage


class Engine:
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.at_once = 0
        self.most = 0

    async def usage(self, engine_id: str) -> ContainerUsage:
        self.asked.append(engine_id)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        if engine_id == "gone":
            raise ContainerMissing("there is no container gone")
        return ContainerUsage(len(engine_id), 10)


def test_each_is_asked_once_a_few_at_a_time_and_what_is_gone_is_left_out() -> None:
    async def scenario() -> None:
        engine = Engine()
        usages = Usages(engine)
        ids = [f"engine-{number}" for number in range(50)]
        found, again = await asyncio.gather(usages.of([*ids, "gone", ""]), usages.of(ids))
        assert sorted(found) == sorted(again) == sorted(ids)
        assert found["engine-1"].usage == ContainerUsage(8, 10)
        assert sorted(engine.asked) == sorted([*ids, "gone"])
        assert engine.most <= 8

    asyncio.run(scenario())


def test_it_is_read_again_when_it_is_old() -> None:
    async def scenario() -> None:
        engine = Engine()
        usages = Usages(engine)
        with patch("wherry_service.api.usages.time.time") as clock:
            clock.return_value = 1000.0
            assert (await usages.of(["a"]))["a"].at_ms == 1_000_000
            clock.return_value += FRESH_S / 2
            assert (await usages.of(["a"]))["a"].at_ms == 1_000_000
            clock.return_value += FRESH_S
            assert (await usages.of(["a"]))["a"].at_ms == 1_000_750
            assert engine.asked == ["a", "a"]

    asyncio.run(scenario())
