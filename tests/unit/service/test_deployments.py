"""Versions of apps: warm before they serve, and never half of one."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from tests.databases import Disk
from tests.fakes.apps import apps_of
from tests.fakes.calls import dispatcher_of, journal_of
from tests.fakes.host import host_of
from tests.fakes.node import FakeContainer, FakeNode, payload
from wherry_proto.messages import (
    AppState,
    CallKind,
    CallStart,
    Deployment,
    DeploymentCreateRequest,
    DeploymentOrigin,
    DeploymentResult,
    DeploymentRollbackRequest,
    DeploymentState,
    DeployStrategy,
    FunctionChangeKind,
    FunctionSpec,
    GpuRequest,
    MethodSpec,
    PoolSettings,
    Resources,
    RetryPolicy,
)
from wherry_proto.messages import Input as InputMessage
from wherry_service.apps.deployments import Deployments
from wherry_service.apps.plans import revision_of
from wherry_service.calls.call import Input
from wherry_service.calls.client import Clients
from wherry_service.engines.engine import Gpu
from wherry_service.engines.gpus import Device
from wherry_service.errors import AlreadyExists, InvalidRequest, NotFound
from wherry_service.ids import new_id
from wherry_service.node.events import ContainerExit
from wherry_service.node.node import FoundContainer
from wherry_service.pools.pools import Pools
from wherry_service.store.apps import AppStore
from wherry_service.store.blobs import BlobStore
from wherry_service.store.database import Database
from wherry_service.store.deployments import KEEP_VERSIONS, DeploymentStore

DEADLINE_S = 5.0
Kind = FunctionChangeKind
ADDED, REPLACED, TUNED, REMOVED = Kind.ADDED, Kind.REPLACED, Kind.TUNED, Kind.REMOVED


GPUS = tuple(Device(str(number), "NVIDIA A100-SXM4-80GB", 81920) for number in range(8))


class World:
    """One life of a service: apps, their versions, and what is below them."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self.node = FakeNode()
        self.clients = Clients()
        self.journal = journal_of(database, blobs)
        self.pools = Pools(self.node, host_of(8.0, 4096, *GPUS))
        self.dispatcher = dispatcher_of(self.pools, self.clients, self.journal)
        self.client = self.clients.connect(new_id("cl"))
        store = AppStore(database)
        self.apps = apps_of(store, self.dispatcher, self.pools, self.node)
        self.deployments = Deployments(self.apps, store, DeploymentStore(database), self.pools, self.dispatcher)

    async def open(self, name: str = "app") -> str:
        return (await self.apps.open(name, "main", self.client.client_id, False, deploy=True)).app_id

    async def deploy(self, app_id: str, *specs: FunctionSpec, **options: Any) -> DeploymentResult:
        request = DeploymentCreateRequest(app_id=app_id, functions=list(specs), **options)
        return await ended(self.deployments.create(request))

    def begin(self, app_id: str, *specs: FunctionSpec, **options: Any) -> "asyncio.Task[DeploymentResult]":
        return asyncio.ensure_future(self.deploy(app_id, *specs, **options))

    async def rollback(self, app_id: str, version: int = 0) -> DeploymentResult:
        return await ended(self.deployments.rollback(DeploymentRollbackRequest(app_id=app_id, version=version)))

    async def history(self, app_id: str) -> list[tuple[int, int]]:
        found = await self.deployments.list(self.apps.register.running(app_id).record)
        return [(one.version, one.state) for one in found]

    def call(self, function_id: str) -> Input:
        """Call a function; return the input."""
        call_id, input_id = new_id("fc"), new_id("in")
        self.journal.start(self.client, CallStart(call_id=call_id, function_id=function_id, kind=CallKind.MAP))
        (item,) = self.journal.new_inputs([InputMessage(input_id=input_id, call_id=call_id, payload=payload())])
        self.dispatcher.submit([item])
        return item

    def of(self, spec: FunctionSpec) -> list[FakeContainer]:
        """The containers of a spec that have not ended."""
        return [one for one in self.node.running() if one.load.revision == revision_of(spec)]

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                await asyncio.sleep(0.001)


async def ended(events: Any) -> DeploymentResult:
    async for event in events:
        if event.result is not None:
            result: DeploymentResult = event.result
    return result


def spec(name: str = "f", version: int = 1, **fields: Any) -> FunctionSpec:
    fields.setdefault("pool", PoolSettings(scaledown_window_s=60.0))
    fields.setdefault("qualname", name)
    return FunctionSpec(
        name=name, module_name="m", image_id="im-1", source_id=f"v{version}", timeout_s=60, env={"b": "", "a": ""},
        **fields,
    )  # fmt: skip


Scenario = Callable[[World], Coroutine[Any, Any, None]]
Run = Callable[..., None]


@pytest.fixture
def run(disk: Disk) -> Iterator[Run]:
    """Run scenarios, each in a life of the service of its own."""
    database = disk.database()
    blobs = BlobStore(disk.folder / "blobs")

    async def life(scenario: Scenario) -> None:
        world = World(database, blobs)
        async with asyncio.timeout(30):
            await scenario(world)
        await world.apps.ending.close()
        await world.pools.close_all(0)

    def run_all(*scenarios: Scenario) -> None:
        for scenario in scenarios:
            asyncio.run(life(scenario))

    yield run_all
    database.close()


def changes(result: DeploymentResult) -> dict[str, int]:
    return {change.name: change.kind for change in result.changes}


def version(deployment: Deployment | None) -> int:
    assert deployment is not None
    return deployment.version


# Making versions


def test_b55_a_name_keeps_its_app_and_functions_and_what_is_left_out_goes(run: Run) -> None:
    async def scenario(world: World) -> None:
        app_id = await world.open()
        first = await world.deploy(app_id, spec("f"), spec("g"), origin=DeploymentOrigin(tag="t", commit="c"))
        assert version(first.deployment) == 1
        assert changes(first) == {"f": ADDED, "g": ADDED}
        record = world.apps.register.running(app_id).record
        assert (record.state, record.client_id) == (AppState.DEPLOYED, "")
        assert await world.open() == app_id
        second = await world.deploy(app_id, spec("f", 2), spec("h"))
        assert changes(second) == {"f": REPLACED, "h": ADDED, "g": REMOVED}
        assert second.functions[0].function_id == first.functions[0].function_id
        gone = first.functions[1].function_id
        await world.until(lambda: world.dispatcher.queue(gone) is None)
        assert world.apps.register.lookup("app", "f", "main") == second.functions[0]
        with pytest.raises(NotFound):
            world.apps.register.lookup("app", "g", "main")
        with pytest.raises(InvalidRequest, match="two functions named 'f'"):
            await world.deploy(app_id, spec("f"), spec("f"))
        assert await world.history(app_id) == [(2, DeploymentState.LIVE), (1, DeploymentState.SUPERSEDED)]

    async def after_a_restart(world: World) -> None:
        await world.apps.restore([])
        await world.deployments.restore()
        (app,) = await world.apps.register.list("main", False)
        assert (app.name, app.state, app.version) == ("app", AppState.DEPLOYED, 2)
        same = await world.deploy(app.app_id, spec("f", 2), spec("h"))
        assert (version(same.deployment), same.changes) == (2, [])
        found = await world.deployments.list(world.apps.register.running(app.app_id).record)
        assert found[1].origin == DeploymentOrigin(tag="t", commit="c")

    run(scenario, after_a_restart)


def test_b45_gpus_and_other_limits_reach_the_containers_of_the_version_that_has_them(run: Run) -> None:
    limited = spec(
        gpus=[GpuRequest(type="A100", count=2)], resources=Resources(cpu_limit=1.5, memory_limit_mib=192),
        retry=RetryPolicy(max_retries=2), pool=PoolSettings(min_containers=1, max_containers=3),
    )  # fmt: skip
    as_asked = ([Gpu("A100", 2)], 1.5, 192)

    async def scenario(world: World) -> None:
        app_id = await world.open()
        await world.deploy(app_id, limited)

        def ordered() -> list[object]:
            orders = [world.node.orders[one.container_id] for one in world.node.running()]
            return [([*one.gpus], one.cpu_limit, one.memory_limit_mib) for one in orders]

        assert ordered() == [as_asked]
        await world.deploy(app_id, spec("f"))
        await world.until(lambda: as_asked not in ordered())
        await world.rollback(app_id)
        assert (as_asked in ordered(), [base.spec for base in world.apps.register.running(app_id).bases]) == (
            True,
            [limited],
        )

    run(scenario)


def test_nothing_is_restarted_where_nothing_changed(run: Run) -> None:
    async def scenario(world: World) -> None:
        app_id = await world.open()
        await world.deploy(app_id, spec("f"))
        started = len(world.node.containers)
        again = await world.deploy(app_id, spec("f"))
        assert (version(again.deployment), again.changes, len(again.functions)) == (1, [], 1)
        tuned = spec("f", pool=PoolSettings(max_containers=2, scaledown_window_s=60.0))
        third = await world.deploy(app_id, tuned)
        assert changes(third) == {"f": TUNED}
        assert len(world.node.containers) == started
        pool = world.pools.get(third.functions[0].function_id)
        assert pool is not None
        assert pool.plan.bounds.max_containers == 2
        assert version(third.deployment) == 2

    run(scenario)


def test_a_dry_run_only_says(run: Run) -> None:
    async def scenario(world: World) -> None:
        app_id = await world.open()
        assert changes(await world.deploy(app_id, spec("f"), dry_run=True)) == {"f": ADDED}
        assert world.node.containers == []
        await world.deploy(app_id, spec("f"), spec("g"))
        started = len(world.node.containers)
        would = await world.deploy(app_id, spec("f", 2), dry_run=True)
        assert (changes(would), version(would.deployment)) == ({"f": REPLACED, "g": REMOVED}, 1)
        assert len(world.node.containers) == started
        assert await world.history(app_id) == [(1, DeploymentState.LIVE)]

    run(scenario)


def test_the_new_version_is_warm_before_it_serves_and_the_old_one_ends_what_it_runs(run: Run) -> None:
    async def scenario(world: World) -> None:
        app_id = await world.open()
        old, new = spec("f", pool=PoolSettings(max_containers=1, scaledown_window_s=60.0)), spec("f", 2)
        first = await world.deploy(app_id, old)
        function_id = first.functions[0].function_id
        running = world.call(function_id)
        waiting = world.call(function_id)
        await world.until(lambda: world.of(old)[0].inputs)
        world.node.auto = False
        deploying = world.begin(app_id, new)
        await world.until(lambda: world.of(new))
        assert not deploying.done()
        # Until it is ready, the old one serves.
        world.of(old)[0].finish(1)
        await world.until(lambda: running.done)
        await world.until(lambda: [item.input_id for item in world.of(old)[0].inputs] == [waiting.input_id])
        later = world.call(function_id)
        world.of(new)[0].connect()
        await deploying
        await world.until(lambda: [item.input_id for item in world.of(new)[0].inputs] == [later.input_id])
        assert world.of(old)[0].draining
        assert not waiting.done
        world.of(old)[0].finish()
        await world.until(lambda: waiting.done)
        await world.until(lambda: not world.of(old))
        world.of(new)[0].finish()
        await world.until(lambda: later.done)
        await world.until(lambda: list(world.pools) == [world.pools.get(function_id)])

    run(scenario)


def test_as_many_containers_are_warm_as_were_there(run: Run) -> None:
    async def scenario(world: World) -> None:
        app_id = await world.open()
        old, new = (spec("f", number, pool=PoolSettings(min_containers=3)) for number in (1, 2))
        await world.deploy(app_id, old)
        assert len(world.of(old)) == 3
        world.node.auto = False
        deploying = world.begin(app_id, new)
        await world.until(lambda: len(world.of(new)) == 3)
        for container in world.of(new)[:2]:
            container.connect()
        await asyncio.sleep(0)
        assert not deploying.done()
        world.of(new)[2].connect()
        await deploying

    run(scenario)


def test_as_many_are_warm_as_the_host_has_memory_for(run: Run) -> None:
    async def scenario(world: World) -> None:
        app_id = await world.open()
        resources = Resources(memory_request_mib=1000)
        old, new = (spec("f", number, resources=resources, pool=PoolSettings(min_containers=3)) for number in (1, 2))
        await world.deploy(app_id, old)
        # 4096 MiB carry a fourth; the others come when the old ones have gone.
        await world.deploy(app_id, new)
        await world.until(lambda: not world.of(old))
        await world.until(lambda: len(world.of(new)) == 3)

    run(scenario)


# Versions that do not start


def test_a_version_that_does_not_start_never_serves(run: Run) -> None:
    async def scenario(world: World) -> None:
        app_id = await world.open()
        old = spec("f")
        first = await world.deploy(app_id, old)
        world.node.broken.add("bad")
        failed = await world.deploy(app_id, spec("f", 2), spec("g", 2, qualname="bad"))
        assert failed.deployment is not None
        assert failed.deployment.state == DeploymentState.FAILED
        assert failed.deployment.error == "function 'g' could not start: ImportError: no such module"
        assert failed.functions == []
        await world.until(lambda: world.node.running() == world.of(old))
        item = world.call(first.functions[0].function_id)
        await world.until(lambda: world.of(old)[0].inputs)
        world.of(old)[0].finish()
        await world.until(lambda: item.done)
        assert await world.history(app_id) == [(2, DeploymentState.FAILED), (1, DeploymentState.LIVE)]
        with pytest.raises(InvalidRequest, match=r"version 2 of .* did not start"):
            await world.rollback(app_id, 2)
        # Of what was never deployed nothing is kept.
        other = await world.open("other")
        assert (await world.deploy(other, spec(qualname="bad"))).deployment is not None
        assert world.apps.register.running(other).record.state == AppState.EPHEMERAL
        assert await world.history(other) == []

    run(scenario)


def test_who_goes_away_while_it_starts_has_done_nothing(run: Run) -> None:
    async def scenario(world: World) -> None:
        app_id = await world.open()
        old, new = spec("f"), spec("f", 2)
        await world.deploy(app_id, old)
        world.node.auto = False
        events = world.deployments.create(DeploymentCreateRequest(app_id=app_id, functions=[new]))
        assert "Starting containers of f" in (await anext(events)).text
        await world.until(lambda: world.of(new))
        await events.aclose()
        await world.until(lambda: not world.of(new))
        assert await world.history(app_id) == [(1, DeploymentState.LIVE)]
        world.node.auto = True
        assert version((await world.deploy(app_id, new)).deployment) == 2

    run(scenario)


def test_a_class_that_needs_parameters_is_only_imported(run: Run) -> None:
    async def scenario(world: World) -> None:
        app_id = await world.open()
        model = spec("C", methods=[MethodSpec(name="run")], needs_parameters=True)
        result = await world.deploy(app_id, model)
        assert [container.load.import_only for container in world.node.containers] == [True]
        await world.until(lambda: not world.node.running())
        assert world.dispatcher.queue(result.functions[0].function_id) is not None
        world.node.broken.add("C")
        failed = await world.deploy(app_id, spec("C", 2, methods=[MethodSpec(name="run")], needs_parameters=True))
        assert failed.deployment is not None
        assert failed.deployment.state == DeploymentState.FAILED

    run(scenario)


def test_of_two_who_deploy_a_name_first_one_is_told(run: Run) -> None:
    async def scenario(world: World) -> None:
        first, second = await world.open(), await world.open()
        assert first != second
        await world.deploy(first, spec("f"))
        with pytest.raises(AlreadyExists, match="was deployed meanwhile"):
            await world.deploy(second, spec("f"))

    run(scenario)


# What the old version ran


def test_an_input_lost_with_an_old_container_runs_in_the_new_version(run: Run) -> None:
    async def scenario(world: World) -> None:
        app_id = await world.open()
        old, new = spec("f"), spec("f", 2)
        function_id = (await world.deploy(app_id, old)).functions[0].function_id
        item = world.call(function_id)
        await world.until(lambda: world.of(old)[0].inputs)
        await world.deploy(app_id, new)
        world.of(old)[0].exit(ContainerExit(exit_code=137))
        await world.until(lambda: world.of(new)[0].inputs)
        world.of(new)[0].finish()
        await world.until(lambda: item.done)

    run(scenario)


def test_a_call_that_the_old_version_runs_can_be_cancelled(run: Run) -> None:
    async def scenario(world: World) -> None:
        app_id = await world.open()
        old = spec("f")
        function_id = (await world.deploy(app_id, old)).functions[0].function_id
        item = world.call(function_id)
        await world.until(lambda: world.of(old)[0].inputs)
        await world.deploy(app_id, spec("f", 2))
        world.dispatcher.cancel(item.call)
        assert world.of(old)[0].cancelled == [item.input_id]

    run(scenario)


def test_a_removed_function_ends_what_it_was_asked_first(run: Run) -> None:
    async def scenario(world: World) -> None:
        app_id = await world.open()
        gone = spec("g", pool=PoolSettings(max_containers=1, scaledown_window_s=60.0))
        function_id = (await world.deploy(app_id, spec("f"), gone)).functions[1].function_id
        items = [world.call(function_id) for _ in range(2)]
        await world.until(lambda: world.of(gone)[0].inputs)
        await world.deploy(app_id, spec("f"))
        for item in items:
            await world.until(lambda item=item: [one.input_id for one in world.of(gone)[0].inputs] == [item.input_id])
            world.of(gone)[0].finish()
            await world.until(lambda item=item: item.done)
        await world.until(lambda: not world.of(gone))

    run(scenario)


def test_an_app_that_is_stopped_takes_all_its_versions_along(run: Run) -> None:
    async def scenario(world: World) -> None:
        app_id = await world.open()
        result = await world.deploy(app_id, spec("f"), spec("g"))
        items = [world.call(info.function_id) for info in result.functions]
        await world.until(lambda: sum(len(one.inputs) for one in world.node.running()) == 2)
        await world.deploy(app_id, spec("f", 2))
        for container in world.node.running():
            container.kill = lambda reason, container=container: container.exit(ContainerExit(exit_code=137))  # type: ignore[method-assign]
        await world.apps.ending.stop(app_id, "test", grace_s=0.0)
        assert world.node.running() == []
        assert list(world.pools) == []
        await world.until(lambda: all(item.done for item in items))

    run(scenario)


# The other strategy


def test_recreate_ends_the_old_containers_first_and_takes_them_up_again_where_it_fails(run: Run) -> None:
    async def scenario(world: World) -> None:
        app_id = await world.open()
        old, new = spec("f"), spec("f", 2)
        function_id = (await world.deploy(app_id, old)).functions[0].function_id
        running = world.call(function_id)
        await world.until(lambda: world.of(old)[0].inputs)
        deploying = world.begin(app_id, new, strategy=DeployStrategy.RECREATE)
        await world.until(lambda: world.of(old)[0].draining)
        waiting = world.call(function_id)
        assert not world.of(new)
        world.of(old)[0].finish()
        await deploying
        assert running.done
        await world.until(lambda: [item.input_id for item in world.of(new)[0].inputs] == [waiting.input_id])
        world.of(new)[0].finish()
        world.node.broken.add("bad")
        failed = await world.deploy(app_id, spec("f", 3, qualname="bad"), strategy=DeployStrategy.RECREATE)
        assert failed.deployment is not None
        assert failed.deployment.state == DeploymentState.FAILED
        again = world.call(function_id)
        await world.until(lambda: any(container.inputs for container in world.of(new)))
        world.of(new)[0].finish()
        await world.until(lambda: again.done)

    run(scenario)


# Earlier versions


def test_rolling_back_is_a_version_of_its_own_and_undone_by_another(run: Run) -> None:
    async def scenario(world: World) -> None:
        app_id = await world.open()
        with pytest.raises(InvalidRequest, match="is not deployed"):
            await world.rollback(app_id)
        first = await world.deploy(app_id, spec("f"), spec("g"))
        with pytest.raises(InvalidRequest, match="no version before 1"):
            await world.rollback(app_id)
        await world.deploy(app_id, spec("f", 2))
        back = await world.rollback(app_id)
        assert back.deployment is not None
        assert (back.deployment.version, back.deployment.rollback_of) == (3, 1)
        assert changes(back) == {"f": REPLACED, "g": ADDED}
        assert [one.function_id for one in back.functions] == [one.function_id for one in first.functions]
        forth = await world.rollback(app_id)
        assert forth.deployment is not None
        assert forth.deployment.rollback_of == 2
        assert world.node.running()[-1].load.source_id == "v2"
        assert (await world.rollback(app_id, 2)).changes == []
        with pytest.raises(NotFound, match="no version 9; the latest are 4, 3, 2, 1"):
            await world.rollback(app_id, 9)

    run(scenario)


def test_a_function_can_be_called_as_it_was(run: Run) -> None:
    async def scenario(world: World) -> None:
        app_id = await world.open()
        old = spec("f", pool=PoolSettings(min_containers=1))
        first = await world.deploy(app_id, old)
        current = await world.deployments.function("app", "f", "", 1)
        assert current == first.functions[0]
        await world.deploy(app_id, spec("f", 2))
        await world.until(lambda: not world.of(old))
        pinned = await world.deployments.function("app", "f", "main", 1)
        assert pinned.function_id != current.function_id
        assert await world.deployments.function("app", "f", "main", 1) == pinned
        # None is kept running of it.
        assert [one.load.source_id for one in world.node.running()] == ["v2"]
        world.call(pinned.function_id)
        await world.until(lambda: any(one.inputs and one.load.source_id == "v1" for one in world.node.running()))
        third = await world.deploy(app_id, spec("f", 3))
        assert world.apps.register.function(pinned.function_id) == pinned
        assert changes(third) == {"f": REPLACED}
        with pytest.raises(NotFound, match="no version 7: it has versions 1 to 3"):
            await world.deployments.function("app", "f", "main", 7)
        with pytest.raises(NotFound, match=r"version 1 of .* has no function 'g'; there is 'f'"):
            await world.deployments.function("app", "g", "main", 1)

    async def after_a_restart(world: World) -> None:
        await world.apps.restore([])
        await world.deployments.restore()
        pinned = await world.deployments.function("app", "f", "main", 1)
        world.call(pinned.function_id)
        await world.until(lambda: [one.load.source_id for one in world.node.running()] == ["v1"])

    run(scenario, after_a_restart)


def test_the_last_hundred_versions_are_kept(run: Run) -> None:
    async def scenario(world: World) -> None:
        app_id = await world.open()
        for number in range(KEEP_VERSIONS + 2):
            schedule = PoolSettings(scaledown_window_s=60.0, max_containers=number + 1)
            await world.deploy(app_id, spec("f", pool=schedule))
        versions = await world.history(app_id)
        assert [number for number, _ in versions] == list(range(KEEP_VERSIONS + 2, 2, -1))

    run(scenario)


def test_what_any_version_uses_is_known(run: Run) -> None:
    async def scenario(world: World) -> None:
        app_id = await world.open()
        for number in range(7):
            function = spec("f", number)
            function.image_id = f"im-{number}"
            await world.deploy(app_id, function)
        assert await world.deployments.store.image_ids() == {f"im-{number}" for number in range(2, 7)}

    run(scenario)


def test_b66_after_a_kill_only_containers_of_the_version_that_serves_are_taken_over(run: Run) -> None:
    ids: list[str] = []

    async def scenario(world: World) -> None:
        app_id = await world.open()
        await world.deploy(app_id, spec("f"))
        ids.append((await world.deploy(app_id, spec("f", 2))).functions[0].function_id)

    async def next_life(world: World) -> None:
        old = FoundContainer("co-old", ids[0], revision_of(spec("f")))
        new = FoundContainer("co-new", ids[0], revision_of(spec("f", 2)))
        assert await world.apps.restore([old, new]) == []
        pool = world.pools.get(ids[0])
        assert pool is not None
        assert list(pool.containers) == ["co-new"]
        assert world.apps.unwanted([old, new]) == ["co-old"]
        world.apps.adopt([old])
        assert list(pool.containers) == ["co-new"]

    run(scenario, next_life)
