"""Apps of hundreds of functions, and apps that can't fit the host."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.host import host_of
from tests.unit.service.test_deployments import World, spec
from wherry_proto.messages import (
    DeploymentCreateRequest,
    DeploymentResult,
    DeployStrategy,
    FunctionSpec,
    PoolSettings,
    Resources,
)
from wherry_service.apps import rollout
from wherry_service.apps.rollout import MAX_SPARE
from wherry_service.apps.room import check_room
from wherry_service.errors import InvalidRequest
from wherry_service.pools.capacity import Capacity
from wherry_service.store.blobs import BlobStore
from wherry_service.store.database import Database

SMALL_MIB = 40 * 128


def host(world: World, memory_mib: int = SMALL_MIB, cpu: float = 8.0) -> None:
    """Give the world's host another size."""
    capacity = host_of(cpu, memory_mib)
    world.pools.capacity = capacity


def many(count: int, version: int = 1, **fields: Any) -> list[FunctionSpec]:
    return [spec(f"f{number}", version, **fields) for number in range(count)]


class Most:
    """Counts the containers that are there at a time, and those that there were."""

    def __init__(self, world: World) -> None:
        self.most = 0
        self._world = world
        start = world.node.start
        world.node.start = lambda order, events: self._started(start(order, events))  # type: ignore[method-assign]

    def _started(self, container: Any) -> Any:
        self.most = max(self.most, len(self._world.node.running()))
        return container


async def told(world: World, app_id: str, *specs: FunctionSpec, **options: Any) -> tuple[list[str], DeploymentResult]:
    """Deploy; return what is said on the way, too."""
    texts: list[str] = []
    request = DeploymentCreateRequest(app_id=app_id, functions=list(specs), **options)
    async for event in world.deployments.create(request):
        if event.result is not None:
            return texts, event.result
        texts.append(event.text)
    raise AssertionError("it ended without a result")


def run_in(tmp_path: Path, scenario: Any) -> None:
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    database.begin()

    async def life() -> None:
        world = World(database, BlobStore(tmp_path / "blobs"))
        async with asyncio.timeout(60):
            await scenario(world)
        await world.apps.ending.close()
        await world.pools.close_all(0)

    try:
        asyncio.run(life())
    finally:
        database.close()


def test_more_functions_than_the_host_has_room_for_are_deployed_some_at_a_time(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        host(world)
        most = Most(world)
        app_id = await world.open()
        texts, result = await told(world, app_id, *many(200))
        assert result.deployment is not None
        assert result.deployment.version == 1
        assert len(world.node.orders) == 200
        assert {order.load.name for order in world.node.orders.values()} == {f"f{number}" for number in range(200)}
        assert most.most <= 40
        await world.until(lambda: len(world.node.running()) <= MAX_SPARE)
        # Those that went start again when they are called.
        item = world.call(result.functions[199].function_id)
        await world.until(lambda: item.container is not None)
        assert texts[0] == "Starting containers of f0, f1, f2, f3, f4 and 195 more"
        # And none is started again for a version that is the same, or that only differs in one.
        before = len(world.node.orders)
        await world.deploy(app_id, *many(200))
        await world.deploy(app_id, *many(199), spec("f199", 2))
        assert len(world.node.orders) <= before + 1

    run_in(tmp_path, scenario)


def test_a_small_app_is_warm_in_all_its_functions_when_it_serves(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        app_id = await world.open()
        await world.deploy(app_id, *many(20, pool=PoolSettings(scaledown_window_s=60.0)))
        assert len(world.node.running()) == 20

    run_in(tmp_path, scenario)


def test_those_that_run_and_those_that_are_always_to_run_stay_warm_in_a_large_app(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        app_id = await world.open()
        host(world, 100 * 128)
        always = spec("always", pool=PoolSettings(min_containers=3, scaledown_window_s=60.0))
        await world.deploy(app_id, *many(50), always)
        assert len(world.of(always)) == 3
        # What runs when the next version comes has a container of the new one before it serves.
        called = [info for info in world.apps.register.running(app_id).bases if info.name == "f49"]
        item = world.call(called[0].function_id)
        await world.until(lambda: item.container is not None)
        again = spec("always", 2, pool=PoolSettings(min_containers=3, scaledown_window_s=60.0))
        await world.deploy(app_id, *many(50, 2), again)
        assert len(world.of(again)) == 3
        assert len(world.of(spec("f49", 2))) == 1

    run_in(tmp_path, scenario)


def test_one_of_many_that_does_not_start_ends_the_deploy_and_nothing_serves(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        app_id = await world.open()
        world.node.broken.add("f150")
        _, result = await told(world, app_id, *many(200))
        assert result.deployment is not None
        assert result.deployment.version == 0
        assert "function 'f150' could not start" in result.deployment.error
        assert world.apps.register.running(app_id).bases == []
        await world.until(lambda: not world.node.running())

    run_in(tmp_path, scenario)


def test_what_waits_for_room_says_which_limit_and_names_a_version_only_where_one_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout, "TELL_EVERY_S", 0.02)
    monkeypatch.setattr(rollout, "LOOK_EVERY_S", 0.005)

    async def scenario(world: World) -> None:
        app_id = await world.open()
        other = await world.open("other")
        await world.deploy(other, spec("busy"))
        host(world, 128)
        # All of it is taken by a container that is at work.
        world.pools.capacity.add(Capacity.share(None, None))
        texts: list[str] = []
        events = world.deployments.create(DeploymentCreateRequest(app_id=app_id, functions=[spec("f")]))
        async for event in events:
            texts.append(event.text)
            if len(texts) == 2:
                world.pools.capacity.give_back(Capacity.share(None, None), "others")
        assert texts[0] == "Starting containers of f"
        assert texts[1] == "f waits for room: 128 MiB of memory are wanted, and 0 of 128 MiB are free"
        world.pools.capacity.add(Capacity.share(None, None))
        again: list[str] = []
        events = world.deployments.create(DeploymentCreateRequest(app_id=app_id, functions=[spec("f", 2)]))
        async for event in events:
            again.append(event.text)
            if len(again) == 2:
                world.pools.capacity.give_back(Capacity.share(None, None), "others")
        assert again[1].startswith("f waits for room beside the version that serves (--strategy recreate")

    run_in(tmp_path, scenario)


def test_what_can_never_fit_is_refused_before_anything_begins_with_the_sum(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        host(world)
        app_id = await world.open()
        greedy = [
            spec("a", pool=PoolSettings(min_containers=30)),
            spec("b", pool=PoolSettings(min_containers=20)),
            spec("c"),
        ]
        for refused in (world.deploy(app_id, *greedy), world.apps.publish(app_id, greedy)):
            with pytest.raises(InvalidRequest) as error:
                await refused
            assert "does not fit this host: its min_containers need 6400 MiB together" in str(error.value)
            assert "(a: 30 × 128 MiB, b: 20 × 128 MiB), and there are 5120 MiB for containers" in str(error.value)
            assert "lower min_containers or memory=" in str(error.value)
        with pytest.raises(InvalidRequest, match="needs 9000 MiB, and this host has 8 cores and 5120 MiB"):
            await world.deploy(app_id, spec("f", resources=Resources(memory_request_mib=9000)))
        assert not world.node.orders

    run_in(tmp_path, scenario)


def test_others_min_containers_and_the_version_that_serves_count(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        host(world)
        first, second = await world.open(), await world.open("second")
        await world.deploy(first, spec("f", pool=PoolSettings(min_containers=30)))
        with pytest.raises(InvalidRequest, match=r"beside 3840 MiB of other apps' min_containers \(g: 11 × 128 MiB\)"):
            await world.deploy(second, spec("g", pool=PoolSettings(min_containers=11)))
        await world.deploy(second, spec("g", pool=PoolSettings(min_containers=10)))
        wanted = spec("f", 2, pool=PoolSettings(min_containers=30))
        with pytest.raises(InvalidRequest, match="deploy with --strategy recreate, which ends the old containers"):
            await world.deploy(first, wanted)
        result = await world.deploy(first, wanted, strategy=DeployStrategy.RECREATE)
        assert result.deployment is not None
        assert result.deployment.version == 2

    run_in(tmp_path, scenario)


def test_cores_that_are_always_set_aside_add_up(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        app_id = await world.open()
        wanted = spec("f", resources=Resources(cpu_request=2.0), pool=PoolSettings(min_containers=5))
        with pytest.raises(InvalidRequest, match=r"set 10 cores aside together .*, and there are 8: lower"):
            await world.deploy(app_id, wanted)

    run_in(tmp_path, scenario)


def test_a_check_of_nothing_passes() -> None:
    check_room("app", [], [], [], [], host_of(1, 128))
