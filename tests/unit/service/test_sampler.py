"""What containers use over time: as often as it says, bounded, and counted once."""

import asyncio

import pytest

from wherry_service.engines.engine import ContainerMissing, ContainerUsage
from wherry_service.ids import new_id
from wherry_service.node import sampler as sampler_module
from wherry_service.node.sampler import MAX_ENDED, MAX_POINTS, Sampler

SECOND_NS = 10**9


class Engine:
    """Containers use a second more at each look."""

    def __init__(self) -> None:
        self.used: dict[str, int] = {}
        self.gone: set[str] = set()

    async def usage(self, engine_id: str) -> ContainerUsage:
        if engine_id in self.gone:
            raise ContainerMissing("it has ended")
        self.used[engine_id] = self.used.get(engine_id, 0) + SECOND_NS
        return ContainerUsage(self.used[engine_id], 1000)


class World:
    def __init__(self, every_s: float = 10.0) -> None:
        self.engine = Engine()
        # Containers and their functions.
        self.running: dict[str, str] = {}
        self.seconds: dict[str, float] = {}
        self.sampler = Sampler(self.engine, every_s, lambda: iter(self.running.items()), self.engine_id)
        self.sampler.on_used.append(self.on_used)

    def engine_id(self, container_id: str) -> str:
        return f"engine-{container_id}"

    def on_used(self, function_id: str, seconds: float) -> None:
        self.seconds[function_id] = self.seconds.get(function_id, 0.0) + seconds

    def begin(self, function_id: str) -> str:
        container_id = new_id("co")
        self.running[container_id] = function_id
        return container_id


def test_what_is_used_is_kept_for_an_hour_and_counted_once() -> None:
    async def main() -> None:
        world = World()
        first, second = world.begin("fu-1"), world.begin("fu-1")
        assert world.sampler.latest(first) is None
        for _ in range(MAX_POINTS + 5):
            await world.sampler.look()
        points = world.sampler.points(first)
        assert len(points) == MAX_POINTS
        assert points[-1].cpu_ns == (MAX_POINTS + 5) * SECOND_NS
        assert world.seconds == {"fu-1": pytest.approx(2 * (MAX_POINTS + 5))}
        assert world.sampler.latest(second) is not None
        assert world.sampler.points("co-unknown") == []

    asyncio.run(main())


def test_what_an_older_container_used_before_is_not_counted_again() -> None:
    async def main() -> None:
        old = new_id("co")
        await asyncio.sleep(0.002)
        world = World()
        world.engine.used[f"engine-{old}"] = 500 * SECOND_NS
        world.running[old] = "fu-1"
        await world.sampler.look()
        assert world.seconds == {}
        await world.sampler.look()
        assert world.seconds == {"fu-1": 1.0}

    asyncio.run(main())


def test_those_that_ended_are_forgotten_in_the_end() -> None:
    async def main() -> None:
        world = World()
        ended = [world.begin("fu-1") for _ in range(MAX_ENDED + 10)]
        await world.sampler.look()
        world.running.clear()
        lives = world.begin("fu-2")
        await world.sampler.look()
        assert sum(1 for one in ended if world.sampler.points(one)) == MAX_ENDED
        assert all(world.sampler.latest(one) is None for one in ended)
        assert world.sampler.points(lives)

    asyncio.run(main())


def test_one_that_ends_meanwhile_or_is_not_there_yet_is_left_out() -> None:
    async def main() -> None:
        world = World()
        gone, here = world.begin("fu-1"), world.begin("fu-1")
        world.engine.gone.add(world.engine_id(gone))
        await world.sampler.look()
        assert (world.sampler.points(gone), len(world.sampler.points(here))) == ([], 1)

    asyncio.run(main())


def test_how_many_cores_are_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        now = 1000.0
        monkeypatch.setattr(sampler_module.time, "time", lambda: now)
        world = World()
        one = world.begin("fu-1")
        await world.sampler.look()
        now += 2.0
        await world.sampler.look()
        latest = world.sampler.latest(one)
        assert latest is not None
        assert (latest[0].memory_bytes, latest[1]) == (1000, pytest.approx(0.5))

    asyncio.run(main())


def test_looking_takes_a_small_part_of_the_time_however_long_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    now = 0.0

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        raise asyncio.CancelledError

    async def look() -> None:
        nonlocal now
        now += 30.0

    async def main() -> None:
        sampler = World(10.0).sampler
        monkeypatch.setattr(sampler, "look", look)
        monkeypatch.setattr(sampler_module.time, "monotonic", lambda: now)
        monkeypatch.setattr(sampler_module.asyncio, "sleep", sleep)
        with pytest.raises(asyncio.CancelledError):
            await sampler.run()
        await World(0.0).sampler.run()

    asyncio.run(main())
    assert slept == [120.0]
