"""Variants of functions, live changes of pools, and the methods of inputs, on a fake node and a real store."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.databases import Disk
from tests.fakes.apps import apps_of
from tests.fakes.calls import dispatcher_of, failures_of, recorder_of, unnamed
from tests.fakes.host import host_of
from tests.fakes.node import FakeNode, payload
from wherry_proto.messages import (
    CallKind,
    CallStart,
    Failure,
    FailureKind,
    FunctionBindRequest,
    FunctionInfo,
    FunctionSpec,
    FunctionUpdateRequest,
    Input,
    MethodSpec,
    Payload,
    PoolSettings,
    RetryPolicy,
)
from wherry_service.apps import binding
from wherry_service.apps.plans import revision_of
from wherry_service.apps.variants import bind_key
from wherry_service.calls.client import Clients
from wherry_service.calls.journal import Journal
from wherry_service.calls.values import Values
from wherry_service.errors import Exhausted, InvalidRequest, NotFound
from wherry_service.ids import new_id
from wherry_service.node.node import FoundContainer
from wherry_service.pools.pools import Pools
from wherry_service.store.apps import AppStore
from wherry_service.store.blobs import BlobStore
from wherry_service.store.calls import CallStore
from wherry_service.store.database import Database
from wherry_service.store.yields import YieldStore

DEADLINE_S = 5.0
METHODS = [MethodSpec(name="run"), MethodSpec(name="count", is_generator=True)]


class World:
    """A service's apps and what is below them; several, one after another, on one database."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self.node = FakeNode()
        self.clients = Clients()
        self.store = AppStore(database)
        self.calls = CallStore(database)
        values = Values(YieldStore(database), blobs)
        self.journal = Journal(self.calls, blobs, values, unnamed, recorder_of(), failures_of(database, blobs))
        self.pools = Pools(self.node, host_of(40.0, 1 << 16))
        self.dispatcher = dispatcher_of(self.pools, self.clients, self.journal)
        self.client = self.clients.connect(new_id("cl"))
        self.apps = apps_of(self.store, self.dispatcher, self.pools, self.node)

    async def publish(self, *specs: FunctionSpec, app_id: str = "") -> tuple[str, list[FunctionInfo]]:
        app_id = app_id or (await self.apps.open("app", "", self.client.client_id, True)).app_id
        return app_id, await self.apps.publish(app_id, list(specs))

    async def bind(self, function_id: str, data: bytes = b"", **fields: Any) -> FunctionInfo:
        changes = FunctionSpec(pool=PoolSettings())
        for name, value in fields.items():
            outer, _, inner = name.rpartition("__")
            if inner != "nothing":
                setattr(getattr(changes, outer) if outer else changes, inner, value)
        request = FunctionBindRequest(
            function_id=function_id,
            parameters=Payload(format=1, data=data) if data else None,
            changes=changes if fields else None,
            fields=[name.replace("__", ".") for name in fields],
        )
        return await self.apps.binding.bind(request)

    async def update(self, function_id: str, **fields: Any) -> None:
        request = FunctionUpdateRequest(function_id=function_id, pool=PoolSettings(**fields), fields=list(fields))
        await self.apps.binding.update(request)

    def spec(self, function_id: str) -> FunctionSpec:
        return self.apps.register.find(function_id)[1].spec

    def live(self, function_id: str) -> int:
        pool = self.pools.get(function_id)
        return len(pool.live()) if pool is not None else 0

    def call(self, function_id: str, method: str, input_id: str = "") -> None:
        call_id, input_id = new_id("fc"), input_id or new_id("in")
        self.journal.start(self.client, CallStart(call_id=call_id, function_id=function_id, kind=CallKind.MAP))
        offered = [Input(input_id=input_id, call_id=call_id, index=0, payload=payload(), method=method)]
        self.dispatcher.submit(self.journal.new_inputs(offered))

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                await asyncio.sleep(0.001)


def model(**pool: Any) -> FunctionSpec:
    pool.setdefault("scaledown_window_s", 60.0)
    return FunctionSpec(
        name="Model",
        module_name="m",
        qualname="Model",
        image_id="im-1",
        timeout_s=60.0,
        env={"A": "1"},
        pool=PoolSettings(**pool),
        methods=METHODS,
    )


def function() -> FunctionSpec:
    return FunctionSpec(
        name="f", module_name="m", qualname="f", image_id="im-1", pool=PoolSettings(scaledown_window_s=60.0)
    )


Scenario = Callable[[World], Coroutine[Any, Any, None]]


@pytest.fixture
def run(disk: Disk) -> Callable[..., None]:
    """Run scenarios, each in a life of the service of its own."""

    def run_all(*scenarios: Scenario) -> None:
        database = disk.database()
        blobs = BlobStore(disk.folder / "blobs")

        async def life(scenario: Scenario) -> None:
            world = World(database, blobs)
            await scenario(world)
            await world.pools.close_all(0)

        for scenario in scenarios:
            asyncio.run(life(scenario))
        database.close()

    return run_all


Run = Callable[..., None]


def test_b46_the_same_parameters_and_options_are_one_function(run: Run) -> None:
    async def scenario(world: World) -> None:
        _, (base, plain) = await world.publish(model(), function())
        one = await world.bind(base.function_id, b"one")
        assert [item.name for item in one.methods] == ["run", "count"]
        assert one.function_id != base.function_id
        assert (await world.bind(base.function_id, b"one")).function_id == one.function_id
        assert (await world.bind(base.function_id, b"two")).function_id != one.function_id
        assert (await world.bind(base.function_id)).function_id == base.function_id

        slow = await world.bind(base.function_id, b"one", timeout_s=5.0, env={"B": "2"}, pool__max_containers=3)
        again = await world.bind(base.function_id, b"one", pool__max_containers=3, env={"B": "2"}, timeout_s=5.0)
        assert slow.function_id == again.function_id != one.function_id
        spec = world.spec(slow.function_id)
        assert spec.pool is not None
        assert (spec.timeout_s, spec.env, spec.pool.max_containers) == (5.0, {"A": "1", "B": "2"}, 3)
        assert spec.parameters == Payload(format=1, data=b"one")
        assert world.spec(base.function_id).timeout_s == 60.0

        variant = await world.bind(plain.function_id, retry=RetryPolicy(max_retries=2))
        assert variant.name == "f"
        assert world.apps.register.lookup("app", "f", "").function_id == plain.function_id, "names mean the base"
        assert world.apps.register.lookup("app", "Model", "").function_id == base.function_id

    run(scenario)


def test_the_key_is_what_is_named_and_its_order_is_none(run: Run) -> None:
    changes = FunctionSpec(timeout_s=5.0, startup_timeout_s=9.0, env={"b": "1", "a": "2"})
    one = FunctionBindRequest(changes=changes, fields=["timeout_s", "env"])
    other = FunctionSpec(timeout_s=5.0, startup_timeout_s=7.0, env={"a": "2", "b": "1"})
    assert bind_key(one) == bind_key(FunctionBindRequest(changes=other, fields=["env", "timeout_s", "env"]))
    assert bind_key(one) != bind_key(FunctionBindRequest(changes=other, fields=["env"]))
    assert bind_key(FunctionBindRequest(function_id="fu-1")) == b""


def test_what_cannot_vary_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binding, "MAX_VARIANTS", 2)

    async def scenario(world: World) -> None:
        _, (base, plain) = await world.publish(model(), function())
        one = await world.bind(base.function_id, b"one")
        for wrong, said in (
            (world.bind(plain.function_id, b"one"), "'f' is no class: it takes no parameters"),
            (world.bind(base.function_id, qualname="X"), "a variant can't have another 'qualname'"),
            (world.bind(base.function_id, pool__nothing=1), "can't have another 'pool.nothing'"),
            (world.bind(base.function_id, timeout_s=-1.0), r"function 'Model': timeout=-1 is not between"),
            (world.bind(base.function_id, pool__max_containers=5000), "max_containers=5000 is not between 0 and 1000"),
            (world.bind(base.function_id, b"x" * ((1 << 20) + 1)), "the parameters of 'Model' are over 1 MiB"),
            (world.bind(one.function_id, b"two"), "is a variant itself"),
            (world.update(base.function_id, max_concurrent_inputs=2), "can't be changed while a function runs"),
            (world.update(base.function_id, min_containers=9, max_containers=3), "min_containers=9 is more than"),
        ):
            with pytest.raises(InvalidRequest, match=said):
                await wrong
        await world.bind(base.function_id, b"two")
        with pytest.raises(Exhausted, match="has 2 variants of its functions: use fewer different parameters"):
            await world.bind(base.function_id, b"three")
        assert (await world.bind(base.function_id, b"one")).function_id == one.function_id
        with pytest.raises(NotFound):
            await world.bind(new_id("fu"), b"one")

    run(scenario)


def test_variants_outlive_the_service(run: Run) -> None:
    ids: list[str] = []

    async def first(world: World) -> None:
        _, (base,) = await world.publish(model())
        one = await world.bind(base.function_id, b"one", timeout_s=5.0)
        await world.update(one.function_id, min_containers=2)
        ids.extend((base.function_id, one.function_id))

    async def second(world: World) -> None:
        await world.apps.restore([])
        assert (await world.bind(ids[0], b"one", timeout_s=5.0)).function_id == ids[1]
        await world.until(lambda: world.live(ids[1]) == 2)
        assert world.live(ids[0]) == 0

    run(first, second)


def test_variants_follow_a_new_version_and_end_with_their_base(run: Run) -> None:
    async def scenario(world: World) -> None:
        app_id, (base, plain) = await world.publish(model(), function())
        one = await world.bind(base.function_id, b"one", pool__min_containers=1)
        fast = await world.bind(plain.function_id, timeout_s=5.0)
        await world.until(lambda: world.live(one.function_id) == 1)

        newer = model()
        newer.qualname = "Newer"
        _, (again, _) = await world.publish(newer, function(), app_id=app_id)
        assert again.function_id == base.function_id
        assert world.spec(one.function_id).qualname == "Newer"
        assert world.spec(fast.function_id).timeout_s == 5.0
        assert (await world.bind(base.function_id, b"one", pool__min_containers=1)).function_id == one.function_id

        # With this version the variant would have min_containers above max_containers.
        await world.bind(base.function_id, b"three", pool__min_containers=3)
        await world.publish(model(max_containers=2), function(), app_id=app_id)
        assert sum(1 for record in world.apps.register.running(app_id).functions.values() if record.base_id) == 2

        await world.publish(function(), app_id=app_id)
        with pytest.raises(NotFound):
            world.spec(one.function_id)
        assert world.pools.get(one.function_id) is None
        assert world.spec(fast.function_id).timeout_s == 5.0
        await world.apps.ending.stop(app_id, "test")
        assert world.pools.get(fast.function_id) is None

    run(scenario)


def test_a_live_pool_grows_and_shrinks_at_once_until_it_is_published_anew(run: Run) -> None:
    async def scenario(world: World) -> None:
        app_id, (base,) = await world.publish(model())
        await world.update(base.function_id, min_containers=3)
        await world.until(lambda: world.live(base.function_id) == 3)
        await world.update(base.function_id, max_containers=3, min_containers=1)
        assert world.live(base.function_id) == 3, "idle ones stay for the window"
        await world.update(base.function_id, max_containers=1)
        assert world.live(base.function_id) == 1
        await world.until(lambda: len(world.node.running()) == 1)
        await world.update(base.function_id, min_containers=0, scaledown_window_s=0.1)
        await world.until(lambda: world.live(base.function_id) == 0)

        variant = await world.bind(base.function_id, b"one")
        pool = world.pools.get(variant.function_id)
        assert pool is not None
        assert pool.plan.bounds.max_containers is None, "what changed is the base's pool, not its description"

        await world.publish(model(), app_id=app_id)
        same = world.pools.get(base.function_id)
        assert same is not None
        assert same.plan.bounds.max_containers is None
        assert same.plan.scaledown_window_s == 60.0

    run(scenario)


def test_shrinking_lets_the_busy_finish(run: Run) -> None:
    async def scenario(world: World) -> None:
        _, (base,) = await world.publish(model(min_containers=2))
        for _ in range(2):
            world.call(base.function_id, "run")
        await world.until(lambda: sum(len(c.inputs) for c in world.node.containers) == 2)
        await world.update(base.function_id, min_containers=0, max_containers=1)
        assert world.live(base.function_id) == 1
        assert len(world.node.running()) == 2, "it has an input"
        for container in world.node.containers:
            container.finish()
        await world.until(lambda: len(world.node.running()) == 1)

    run(scenario)


def test_an_input_s_method_reaches_its_container_also_after_a_restart(run: Run) -> None:
    spawned: list[str] = []

    async def first(world: World) -> None:
        _, (base,) = await world.publish(model())
        world.call(base.function_id, "run")
        await world.until(lambda: bool(world.node.containers) and bool(world.node.containers[0].inputs))
        (item,) = world.node.containers[0].inputs
        assert item.method == "run"
        # As a service does that is killed, it leaves what was spawned open.
        row = (new_id("in"), new_id("fc"), base.function_id, 0, payload(), "count")
        assert await world.calls.add_inputs([row], world.client.client_id) == {row[0]}
        spawned.append(row[0])

    async def second(world: World) -> None:
        (item,) = await world.calls.open_inputs()
        assert (item.input_id, item.method) == (spawned[0], "count")

    run(first, second)


def test_a_generator_method_runs_again_after_a_restart_and_others_go_on(run: Run) -> None:
    ids: list[str] = []

    async def first(world: World) -> None:
        _, (base,) = await world.publish(model())
        ids.append(base.function_id)

    async def second(world: World) -> None:
        revision = revision_of(model())
        found = FoundContainer(new_id("co"), ids[0], revision)
        # Left behind by another version.
        other = FoundContainer(new_id("co"), ids[0], revision[::-1])
        await world.apps.restore([found, other])
        assert world.apps.unwanted([found, other]) == [other.container_id]
        container = world.node.containers[0]
        container.connected = True
        kept, again = new_id("in"), new_id("in")
        container.events.on_connected([kept, again], True)
        for input_id, method in ((kept, "run"), (again, "count")):
            world.call(ids[0], method, input_id)
        item = world.journal.open_input(kept)
        assert item is not None
        assert item.container is not None, "it goes on where it runs"
        assert container.cancelled == [again]
        # What the old run yielded may be lost: the input runs again once that has ended.
        container.events.on_failure(again, Failure(kind=FailureKind.CANCELLED), 0)
        await world.until(lambda: any(i.input_id == again for c in world.node.containers for i in c.inputs))

    run(first, second)


def for_request(function_id: str, number: int) -> FunctionBindRequest:
    data = b"%d" % number
    return FunctionBindRequest(function_id=function_id, parameters=Payload(format=1, data=data))


def test_of_variants_that_only_requests_ask_for_the_idle_ones_make_room(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binding, "MAX_OF_REQUESTS", 3)

    async def scenario(world: World) -> None:
        _, (info,) = await world.publish(model())
        asked = world.apps.binding.bind_for_request
        ids = [(await asked(for_request(info.function_id, number))).function_id for number in range(3)]
        # The first is asked for again, the second works, and a program has asked for the third.
        assert (await asked(for_request(info.function_id, 0))).function_id == ids[0]
        world.call(ids[1], "run")
        await world.until(lambda: world.dispatcher.is_working(ids[1]))
        assert (await world.bind(info.function_id, b"2")).function_id == ids[2]
        fourth = await asked(for_request(info.function_id, 3))
        fifth = await asked(for_request(info.function_id, 4))
        assert ids[0] not in {fourth.function_id, fifth.function_id}
        with pytest.raises(NotFound):
            world.spec(ids[0])
        assert world.pools.get(ids[0]) is None
        for kept in (ids[1], ids[2], fourth.function_id, fifth.function_id):
            assert world.spec(kept).parameters is not None
        for one in (fourth, fifth):
            world.call(one.function_id, "run")
            await world.until(lambda one=one: world.dispatcher.is_working(one.function_id))  # type: ignore[misc]
        with pytest.raises(Exhausted, match="works on requests with 3 different parameters already"):
            await asked(for_request(info.function_id, 5))
        # What is known is answered, and one without parameters is the class itself.
        assert (await asked(for_request(info.function_id, 2))).function_id == ids[2]
        assert (await asked(FunctionBindRequest(function_id=info.function_id))).function_id == info.function_id

    run(scenario)


def test_what_went_for_requests_is_not_served_in_the_next_life(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binding, "MAX_OF_REQUESTS", 1)

    async def scenario(world: World) -> None:
        app_id, (info,) = await world.publish(model())
        asked = world.apps.binding.bind_for_request
        first = await asked(for_request(info.function_id, 1))
        second = await asked(for_request(info.function_id, 2))
        ((_, records),) = await world.store.running()
        assert {record.function_id for record in records} == {info.function_id, second.function_id}
        assert first.function_id != second.function_id
        assert app_id

    run(scenario)
