"""A pool's containers through all their states, on a fake node."""

import asyncio
import errno
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from tests.fakes.apps import no_secrets
from tests.fakes.host import host_of
from tests.fakes.node import FakeContainer, FakeNode, payload
from wherry_proto.messages import Failure, FunctionSpec, PoolSettings, Resources
from wherry_runner.loader import RESERVED
from wherry_service.apps.plans import plan_of
from wherry_service.calls.call import Call, Input
from wherry_service.engines.engine import EngineUnreachable
from wherry_service.engines.gpus import Device
from wherry_service.errors import NotFound, ServiceError, Unready
from wherry_service.ids import new_id
from wherry_service.node.events import UNNEEDED, ContainerExit, OutputRow, YieldRow
from wherry_service.node.node import FoundContainer
from wherry_service.pools import rooms
from wherry_service.pools.container import _NEXT, Container, Home, State
from wherry_service.pools.events import PoolEvents
from wherry_service.pools.plan import PoolPlan
from wherry_service.pools.pool import Pool
from wherry_service.pools.pools import Pools
from wherry_service.pools.starts import MAX_STRIKES
from wherry_service.store.away import DatabaseAway
from wherry_service.store.trouble import StorageFull

DEADLINE_S = 5.0


class Listener(PoolEvents[Input]):
    """Notes what a pool says."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []

    def of(self, kind: str) -> list[tuple[Any, ...]]:
        return [event for event in self.events if event[0] == kind]

    def on_warm(self, pool: Home) -> None:
        self.events.append(("ready",))

    def on_claims(self, container: Container[Input], input_ids: Sequence[str]) -> None:
        self.events.append(("claims", *input_ids))

    def on_outputs(self, container: Container[Input], rows: Sequence[OutputRow]) -> None:
        for input_id, _, _ in rows:
            container.release(input_id)
            self.events.append(("output", input_id))

    def on_failure(self, container: Container[Input], input_id: str, failure: Failure, num_yields: int) -> None:
        container.release(input_id)
        self.events.append(("failure", input_id, failure))

    def on_log(self, container: Container[Input], rows: Sequence[Any]) -> None:
        self.events += (("log", text) for _, _, _, text, _ in rows)

    def on_load_failed(self, container: Container[Input], failure: Failure) -> None:
        self.events.append(("load failed", failure))

    def on_exit(self, container: Container[Input], exit: ContainerExit) -> None:
        self.events.append(("exit", container.container_id))

    def on_back(self, pool: Home, inputs: Sequence[Input]) -> None:
        self.events += (("returned", item.input_id) for item in inputs)

    def on_lost(self, container: Container[Input], inputs: Sequence[Input], exit: ContainerExit) -> None:
        self.events += (("lost", item.input_id) for item in inputs)

    def on_crashing(self, pool: Home, error: str) -> None:
        self.events.append(("crashing", error))

    def on_start_failed(self, pool: Home, failure: Failure) -> None:
        self.events.append(("start failed", failure))

    def on_notice(self, pool: Home, text: str) -> None:
        self.events.append(("notice", text))


class World:
    """Pools of one host."""

    def __init__(
        self, memory_mib: int = 4096, cpu: float = 4.0, auto: bool = True, devices: Sequence[Device] = ()
    ) -> None:
        self.node = FakeNode(auto)
        self.capacity = host_of(cpu, memory_mib, *devices)
        self.pools: Pools[Input] = Pools(self.node, self.capacity)
        self.listener = Listener()
        # What making an order does, if it is not to succeed at once.
        self.order: Callable[[], Coroutine[Any, Any, None]] | None = None

    def plan(self, function_id: str = "fu-1", memory_mib: int = 0, **settings: Any) -> PoolPlan:
        settings.setdefault("scaledown_window_s", 60.0)
        gpus, web = settings.pop("gpus", []), settings.pop("web", None)
        spec = FunctionSpec(
            name=function_id, module_name="m", qualname="f", image_id="im-1", pool=PoolSettings(**settings), gpus=gpus,
            resources=Resources(memory_request_mib=memory_mib), timeout_s=60, web=web,
        )  # fmt: skip

        async def ready(image_id: str) -> str:
            if self.order is not None:
                await self.order()
            return "image"

        return plan_of("ap-1", function_id, spec, ready, no_secrets, lambda: ("shop", "main"))

    def open(self, function_id: str = "fu-1", memory_mib: int = 0, **settings: Any) -> Pool[Input]:
        return self.pools.open(self.plan(function_id, memory_mib, **settings), self.listener)

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                await asyncio.sleep(0.001)

    def give(self, container: Container[Input], count: int = 1) -> list[Input]:
        call = Call(new_id("fc"), container_function(container), 2, None, "")
        items = [Input(new_id("in"), call, index, payload()) for index in range(count)]
        container.send(items)
        return items


def container_function(container: Container[Input]) -> str:
    assert isinstance(container.handle, FakeContainer)
    return container.handle.load.function_id


def only(pool: Pool[Input]) -> Container[Input]:
    (container,) = pool.containers.values()
    return container


def fake(container: Container[Input]) -> FakeContainer:
    assert isinstance(container.handle, FakeContainer)
    return container.handle


def states(container: Container[Input]) -> list[State]:
    return [state for state, _ in container.history]


def run(scenario: Callable[[World], Coroutine[Any, Any, None]], **options: Any) -> None:
    async def main() -> None:
        world = World(**options)
        try:
            await scenario(world)
        finally:
            await world.pools.close_all(0.0)

    asyncio.run(main())


# States of one container


@pytest.mark.parametrize("begin", list(State))
@pytest.mark.parametrize("end", list(State))
def test_a_container_goes_only_where_its_state_leads(begin: State, end: State) -> None:
    async def scenario(world: World) -> None:
        container: Container[Input] = Container("co-1", 1, world.open(), 0)
        container.state = begin
        if begin is end or end in _NEXT[begin]:
            container.move(end)
            assert container.state is end
        else:
            with pytest.raises(RuntimeError, match=f"can't go from {begin} to {end}"):
                container.move(end)
            assert container.state is begin

    run(scenario)


def test_a_container_lives_from_its_order_to_its_end_and_every_state_is_kept_with_its_time() -> None:
    async def scenario(world: World) -> None:
        pool = world.open(min_containers=1)
        container = only(pool)
        assert container.state is State.CREATING
        assert not container.accepts
        await world.until(lambda: container.handle is not None and container.accepts)
        assert world.listener.of("ready")
        (item,) = world.give(container)
        assert container.state is State.BUSY
        fake(container).finish()
        assert world.listener.of("output") == [("output", item.input_id)]
        assert container.state is State.IDLE
        container.drain()
        await world.until(lambda: container.container_id not in pool.containers)
        S = State
        expected = [S.CREATING, S.STARTING, S.IDLE, S.BUSY, S.IDLE, S.DRAINING, S.STOPPED]
        assert states(container) == expected
        times = [at for _, at in container.history]
        assert times == sorted(times)

    run(scenario)


def test_a_draining_container_ends_what_it_runs_and_takes_no_more() -> None:
    async def scenario(world: World) -> None:
        pool = world.open(min_containers=1)
        container = only(pool)
        await world.until(lambda: container.accepts)
        world.give(container)
        container.drain()
        assert not container.accepts
        assert container not in [one for one, _ in pool.with_room()]
        await world.until(lambda: len(pool.live()) == 1)
        fake(container).finish()
        assert len(world.listener.of("output")) == 1
        assert not world.listener.of("lost")
        assert container.state is State.STOPPED

    run(scenario)


def test_what_ran_in_a_container_that_dies_is_lost_and_what_waited_in_it_comes_back() -> None:
    async def scenario(world: World) -> None:
        pool = world.open(min_containers=1)
        container = only(pool)
        await world.until(lambda: container.ready)
        running, waiting = world.give(container, 2)
        fake(container).exit(ContainerExit(exit_code=139))
        assert world.listener.of("lost") == [("lost", running.input_id)]
        assert world.listener.of("returned") == [("returned", waiting.input_id)]
        # Another comes in its place, and its memory was given back.
        await world.until(lambda: len(pool.live()) == 1)
        assert world.capacity._memory_used == 128

    run(scenario)


# Starting


def test_what_an_order_waits_for_is_not_waited_for_by_a_pool_that_closes() -> None:
    async def scenario(world: World) -> None:
        world.order = asyncio.Event().wait  # type: ignore[assignment]
        pool = world.open(min_containers=2)
        await asyncio.sleep(0)
        assert await world.pools.close("fu-1", 0.0) == 2
        assert not pool.containers
        assert world.capacity._memory_used == 0
        assert not world.node.containers

    run(scenario)


def test_an_order_that_can_never_be_made_fails_what_waits_at_once_and_is_not_tried_again() -> None:
    async def scenario(world: World) -> None:
        async def missing() -> None:
            raise NotFound("there is no image im-1")

        world.order = missing
        pool = world.open()
        pool.set_backlog(1)
        await world.until(lambda: world.listener.of("start failed"))
        ((_, failure),) = world.listener.of("start failed")
        assert "lacks what it needs: there is no image im-1" in failure.message
        pool.scale()
        assert not pool.containers
        # Until somebody asks anew.
        world.order = None
        pool.starts.retry_now()
        pool.set_backlog(1)
        await world.until(lambda: pool.live() and pool.live()[0].accepts)

    run(scenario)


def test_containers_that_die_while_they_start_are_tried_again_ever_later_and_then_fail_what_waits() -> None:
    async def scenario(world: World) -> None:
        pool = world.open()
        pool.set_backlog(1)
        for strike in range(MAX_STRIKES):
            await world.until(lambda: pool.live() and pool.live()[0].handle is not None)
            assert not world.listener.of("start failed")
            assert not world.listener.of("crashing")
            fake(pool.live()[0]).exit(ContainerExit(exit_code=1, log_tail="no such file"))
            assert pool.starts._retry_at > pool.now() + 0.2 * 2**strike
            # Nothing is started before that.
            pool.scale()
            assert not pool.containers
            pool.starts._retry_at = 0.0
            if strike < MAX_STRIKES - 1:
                pool.scale()
        ((_, failure),) = world.listener.of("start failed")
        assert "Its last output:\nno such file" in failure.message
        assert world.listener.of("crashing") == [("crashing", "it exited with code 1")]

    run(scenario, auto=False)


def test_code_that_can_not_be_imported_time_and_again_is_a_crash_loop() -> None:
    async def scenario(world: World) -> None:
        pool = world.open()
        for _ in range(MAX_STRIKES):
            assert not world.listener.of("crashing")
            pool.starts.could_not_load(Failure(type_name="builtins.ImportError", message="no module"))
        assert world.listener.of("crashing") == [("crashing", "ImportError: no module")]
        pool.starts.succeeded()
        pool.starts.could_not_load(Failure(type_name="builtins.ImportError", message="no module"))
        assert len(world.listener.of("crashing")) == 1

    run(scenario, auto=False)


def test_what_never_started_is_no_crash_loop() -> None:
    async def scenario(world: World) -> None:
        too_large = world.open(memory_mib=1 << 20)
        too_large.set_backlog(1)
        assert "ask for less" in world.listener.of("start failed")[0][1].message
        pool = world.open("fu-2")
        for _ in range(2 * MAX_STRIKES):
            pool.starts.failed(ContainerExit(reason="could not be ordered", not_started=True))
            pool.starts.failed(ContainerExit(exit_code=1, not_started=True, permanent=True))
        assert not world.listener.of("crashing")

    run(scenario, auto=False)


def test_containers_that_are_not_needed_any_more_while_they_start_fail_nothing() -> None:
    async def scenario(world: World) -> None:
        pool = world.open()
        pool.set_backlog(1)
        for _ in range(2 * MAX_STRIKES):
            pool.starts.failed(ContainerExit(exit_code=137, reason=UNNEEDED))
        assert not world.listener.of("start failed")
        # Nor is the next one that fails taken for the last of a row.
        pool.starts.failed(ContainerExit(exit_code=1))
        assert not world.listener.of("start failed")

    run(scenario, auto=False)


def test_an_engine_that_is_away_fails_nothing() -> None:
    async def scenario(world: World) -> None:
        pool = world.open()
        pool.set_backlog(1)
        for _ in range(MAX_STRIKES + 2):
            await world.until(lambda: pool.live() and pool.live()[0].handle is not None)
            fake(pool.live()[0]).exit(
                ContainerExit(reason="the engine does not answer", not_started=True, host_failed=True)
            )
            pool.starts._retry_at = 0.0
            pool.scale()
        assert not world.listener.of("start failed")
        assert ("notice", "the engine does not answer; trying again") in world.listener.events
        # Nor does it count for what the function's containers do themselves afterwards, also when it was away for days.
        pool.starts._absences = 100_000
        for _ in range(MAX_STRIKES - 1):
            await world.until(lambda: pool.live() and pool.live()[0].handle is not None)
            fake(pool.live()[0]).exit(ContainerExit(exit_code=1))
            pool.starts._retry_at = 0.0
            pool.scale()
        assert not world.listener.of("start failed")

    run(scenario, auto=False)


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (EngineUnreachable("Docker does not answer"), True),
        (DatabaseAway("the database does not answer"), True),
        (StorageFull("the disk is full"), True),
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (NotFound("secret st-1 was deleted"), False),
    ],
)
def test_what_it_lacks_for_a_while_is_waited_for(error: Exception, passes: bool) -> None:
    async def scenario(world: World) -> None:
        asked = 0

        async def lacks() -> None:
            nonlocal asked
            asked += 1
            if isinstance(error, ServiceError | OSError):
                raise error
            raise Unready("an image can't be built") from error

        world.order = lacks
        pool = world.open()
        pool.set_backlog(1)
        for count in range(1, MAX_STRIKES + 2) if passes else [1]:
            await world.until(lambda count=count: asked == count and not pool.containers)
            pool.starts._retry_at = 0.0
            pool.scale()
        assert bool(world.listener.of("start failed")) is not passes
        assert "Errno" not in str(world.listener.events)
        world.order = None
        pool.starts.retry_now()
        pool.scale()
        await world.until(lambda: pool.live() and pool.live()[0].handle is not None)

    run(scenario, auto=False)


def test_a_fault_of_ours_in_an_order_fails_what_waits_after_some_tries(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(world: World) -> None:
        asked = 0

        async def fails() -> None:
            nonlocal asked
            asked += 1
            raise KeyError("ours")

        world.order = fails
        pool = world.open()
        pool.set_backlog(1)
        for count in range(1, MAX_STRIKES + 1):
            await world.until(lambda count=count: asked == count and not pool.containers)
            pool.starts._retry_at = 0.0
            pool.scale()
        ((_, failure), *_) = world.listener.of("start failed")
        assert "the service failed with KeyError; see its log" in failure.message

    run(scenario, auto=False)
    assert "could not be ordered" in caplog.text


# How many


def test_the_log_says_which_limit_holds_a_start_back_and_not_each_time(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(world: World) -> None:
        pool = world.open()
        with caplog.at_level(logging.INFO):
            pool.set_backlog(10)
            for _ in range(20):
                pool.scale()
        assert len(pool.live()) == 4
        assert pool.starts.lacks_capacity
        lines = [record.getMessage() for record in caplog.records if "waits for another" in record.getMessage()]
        assert lines == [
            "fu-1 has 4 containers and waits for another: 128 MiB of memory are wanted, and 0 of 512 MiB are free"
        ]
        pool.set_backlog(0)
        pool.live()[0].drain()
        await world.until(lambda: len(pool.containers) == 3)
        assert pool.starts.lack == ""

    run(scenario, memory_mib=512)


def test_containers_found_of_an_earlier_life_count_even_beyond_the_host() -> None:
    async def scenario(world: World) -> None:
        pool = world.open()
        found = [FoundContainer(f"co-{number}", "fu-1", pool.plan.load.revision) for number in range(3)]
        for item in found:
            pool.adopt(item)
        assert world.capacity._memory_used == 3 * 128
        pool.set_backlog(9)
        assert len(pool.containers) == 3
        for container in list(pool.containers.values()):
            fake(container).exit(ContainerExit(exit_code=0))
        assert world.capacity._memory_used == len(pool.containers) * 128

    run(scenario, memory_mib=256)


def test_a_pool_stands_down_to_what_is_asked_of_it_and_its_idle_ones_go() -> None:
    async def scenario(world: World) -> None:
        pool = world.pools.prepare(world.plan(min_containers=1), world.listener, world.listener, 4)
        await world.until(lambda: len([c for c in pool.live() if c.ready]) == 4)
        assert pool.is_warm
        busy = pool.live()[3]
        world.give(busy)
        pool.stand_down()
        await world.until(lambda: len(pool.containers) == 2)
        assert busy.container_id in pool.containers
        pool.scale()
        assert len(pool.live()) == 2

    run(scenario)


def test_idle_ones_go_after_their_window_but_for_the_least_there_are_to_be() -> None:
    async def scenario(world: World) -> None:
        pool = world.open(min_containers=1, scaledown_window_s=0.01)
        pool.set_backlog(3)
        await world.until(lambda: len([c for c in pool.live() if c.ready]) == 3)
        pool.set_backlog(0)
        await world.until(lambda: len(pool.containers) == 1)
        pool._on_tick()
        assert len(pool.live()) == 1

    run(scenario)


def test_a_container_that_somebody_runs_a_command_in_is_not_idle() -> None:
    async def scenario(world: World) -> None:
        pool = world.open(scaledown_window_s=0.0)
        pool.set_backlog(1)
        await world.until(lambda: pool.live() and pool.live()[0].ready)
        container = only(pool)
        container.num_execs += 1
        pool.set_backlog(0)
        assert rooms.overstayed(pool.live(), pool.plan, 0, pool.now() + 100) == []
        assert pool.idle_longest() is None
        pool.left(container)
        assert rooms.overstayed(pool.live(), pool.plan, 0, pool.now() + 100) == [container]
        pool._on_tick()
        assert container.state is State.DRAINING

    run(scenario)


def test_a_paused_pool_starts_nothing_and_gives_no_room_until_it_resumes() -> None:
    async def scenario(world: World) -> None:
        pool = world.open()
        pool.set_backlog(2)
        await world.until(lambda: len([c for c in pool.live() if c.accepts]) == 2)
        pausing = asyncio.ensure_future(pool.pause(5.0))
        await asyncio.sleep(0)
        assert pool.with_room() == []
        await pausing
        pool.set_backlog(2)
        assert not pool.containers
        pool.resume()
        assert len(pool.live()) == 2

    run(scenario)


def test_a_closed_pool_kills_what_has_not_ended_in_time_and_gives_everything_back() -> None:
    async def scenario(world: World) -> None:
        pool = world.open(min_containers=2)
        await world.until(lambda: len([c for c in pool.live() if c.ready]) == 2)
        (item,) = world.give(pool.live()[0])
        assert await world.pools.close("fu-1", 0.01) == 2
        assert ("lost", item.input_id) in world.listener.events
        assert world.capacity._memory_used == 0
        assert not world.capacity.contended
        pool.set_backlog(5)
        assert not pool.containers

    run(scenario)


# Who hears


def test_how_a_new_version_comes_up_is_told_to_who_watches_it_until_it_serves() -> None:
    async def scenario(world: World) -> None:
        watcher = Listener()
        pool = world.pools.prepare(world.plan(min_containers=1), world.listener, watcher, 1)
        await world.until(lambda: watcher.of("ready"))
        # The rest concerns the host from the beginning.
        fake(only(pool)).events.on_log([(1, "", 0, "hello", False)])
        assert world.listener.events == [("log", "hello")]
        assert world.pools.put(pool) is None
        fake(only(pool)).exit(ContainerExit(reason="the engine does not answer", not_started=True))
        await world.until(lambda: world.listener.of("ready"))
        assert watcher.events == [("ready",)]

    run(scenario)


def test_who_cares_for_nothing_of_it_need_write_nothing() -> None:
    async def scenario(world: World) -> None:
        pool = world.pools.prepare(world.plan(min_containers=1), PoolEvents(), PoolEvents(), 1)
        await world.until(lambda: pool.is_warm)
        container = only(pool)
        (item,) = world.give(container)
        row = YieldRow(item.input_id, 0, payload())
        fake(container).events.on_yields([row])
        fake(container).finish()
        fake(container).exit(ContainerExit(exit_code=1))
        assert container.state is State.STOPPED

    run(scenario)


def test_containers_are_told_who_they_are() -> None:
    async def main() -> None:
        made = await World().plan("fu-7").make_order("co-7")
        for prefix, own in (("WHERRY", "CONTAINER_ID"), ("MODAL", "TASK_ID")):
            assert made.env[f"{prefix}_{own}"] == "co-7"
            assert made.env[f"{prefix}_IMAGE_ID"] == "im-1"
            assert made.env[f"{prefix}_ENVIRONMENT"] == "main"
        assert (made.env["MODAL_IS_REMOTE"], made.env["WHERRY_FUNCTION_ID"]) == ("1", "fu-7")
        named = {name: made.env[f"WHERRY_{name}"] for name in ("APP_ID", "APP_NAME", "FUNCTION_NAME")}
        assert named == {"APP_ID": "ap-1", "APP_NAME": "shop", "FUNCTION_NAME": "fu-7"}
        # A function's own variables and secrets replace none of them.
        assert {name for name in made.env if name.startswith("WHERRY_")} <= RESERVED

    asyncio.run(main())
