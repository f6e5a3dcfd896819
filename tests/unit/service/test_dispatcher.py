"""Dispatcher, pool and autoscaler together, on a fake node."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.apps import no_secrets
from tests.fakes.calls import dispatcher_of, journal_of
from tests.fakes.host import host_of
from tests.fakes.node import FakeContainer, FakeNode, payload
from wherry_proto.messages import (
    CallKind,
    CallStart,
    CallState,
    Failure,
    FailureKind,
    FunctionSpec,
    Output,
    Payload,
    PoolSettings,
    SessionDown,
)
from wherry_proto.messages import Input as InputMessage
from wherry_proto.messages import RetryPolicy as RetryMessage
from wherry_service.apps.plans import plan_of, retry_of
from wherry_service.calls import claims
from wherry_service.calls.call import Call, Input
from wherry_service.calls.client import Client, Clients
from wherry_service.calls.retry import MAX_LOSSES, RetryPolicy
from wherry_service.ids import new_id
from wherry_service.node.events import ContainerExit
from wherry_service.pools.capacity import CONTAINERS_PER_CORE
from wherry_service.pools.pools import Pools
from wherry_service.records.records import CallRecords
from wherry_service.store.blobs import BlobStore
from wherry_service.store.calls import CallStore
from wherry_service.store.database import Database

FUNCTION = "fu-1"
DEADLINE_S = 5.0


class World:
    """A dispatcher with one function, one client, and a node that does what the test says."""

    deadline_s = DEADLINE_S
    poll_s = 0.001

    def __init__(
        self, tmp_path: Path, auto: bool = True, cpu: float = 4.0, memory_mib: int = 4096, **settings: Any
    ) -> None:
        retry = settings.pop("retry", None)
        self.node = FakeNode(auto)
        self.gone: list[Client] = []
        self.database = Database(f"sqlite:///{tmp_path / 'test.db'}")
        self.database.begin()
        self.clients = Clients()
        self.clients.on_gone.append(self.gone.append)
        self.blobs = blobs = BlobStore(tmp_path / "blobs")
        self.journal = journal_of(self.database, blobs)
        self.pools = Pools(self.node, host_of(cpu, memory_mib))
        self.dispatcher = dispatcher_of(self.pools, self.clients, self.journal)
        self.client = self.clients.connect(new_id("cl"))
        self.open(FUNCTION, retry, **settings)
        self.outputs: list[Output] = []

    def open(self, function_id: str, retry: RetryMessage | None = None, **settings: Any) -> None:
        settings.setdefault("scaledown_window_s", 60.0)
        spec = FunctionSpec(
            name="f", module_name="m", qualname="f", image_id="im-1", pool=PoolSettings(**settings), retry=retry
        )

        async def ready(image_id: str) -> str:
            return "image"

        plan = plan_of("ap-1", function_id, spec, ready, no_secrets, lambda: ("shop", "main"))
        self.dispatcher.open_function(plan, retry_of(spec), "ap-1", self.client.client_id)

    def call(self, count: int, kind: int = CallKind.MAP, function_id: str = FUNCTION, parent: str = "") -> list[str]:
        call_id = new_id("fc")
        start = CallStart(call_id=call_id, function_id=function_id, kind=kind, parent_input_id=parent)
        self.journal.start(self.client, start)
        ids = [new_id("in") for _ in range(count)]
        self.offer(call_id, ids)
        return ids

    def offer(self, call_id: str, ids: list[str]) -> None:
        messages = [InputMessage(input_id=i, call_id=call_id, index=n, payload=payload()) for n, i in enumerate(ids)]
        fresh = self.journal.new_inputs(messages)
        durable = [item for item in fresh if item.call.durable]
        if durable:
            self.journal.save(self.client, durable, self.dispatcher.submit)
        self.dispatcher.submit([item for item in fresh if not item.call.durable])

    def records(self) -> CallRecords:
        return self.journal.recorder.records

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(self.deadline_s):
            while not condition():
                await asyncio.sleep(self.poll_s)

    async def message(self) -> SessionDown:
        """Take the next message."""
        async with asyncio.timeout(self.deadline_s):
            while (message := await self.client.next_message(self.client.session)) is None:
                pass
        return message

    async def receive(self, count: int) -> list[Output]:
        """Take messages until `count` outputs are there."""
        while len(self.outputs) < count:
            self.outputs.extend((await self.message()).outputs)
        return self.outputs

    async def work_until(self, condition: Callable[[], bool], but: FakeContainer | None = None) -> None:
        """Have all containers but one answer what they hold, and take messages, until it is so."""
        collector = asyncio.ensure_future(self.receive(1 << 30))
        try:
            async with asyncio.timeout(self.deadline_s):
                while not condition():
                    for container in self.node.running():
                        if container is not but:
                            container.finish()
                    await asyncio.sleep(self.poll_s)
        finally:
            collector.cancel()


def run(tmp_path: Path, scenario: Callable[[World], Coroutine[Any, Any, None]], **settings: Any) -> None:
    async def main() -> None:
        world = World(tmp_path, **settings)
        try:
            await scenario(world)
        finally:
            await world.pools.close_all(0.0)
            world.database.close()

    asyncio.run(main())


def test_b62_from_zero_to_the_limit_and_back(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(10)
        await world.until(lambda: sum(len(c.inputs) for c in world.node.containers) == 3)
        assert len(world.node.containers) == 3
        await world.work_until(lambda: len(world.outputs) == 10)
        await world.until(lambda: not world.node.running())

    run(tmp_path, scenario, max_containers=3, scaledown_window_s=0.05)


def test_b62_min_containers_are_kept_warm(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.until(lambda: len(world.node.running()) == 2)
        world.node.containers[0].exit(ContainerExit(exit_code=1))
        await world.until(lambda: len(world.node.running()) == 2)

    run(tmp_path, scenario, min_containers=2, scaledown_window_s=0.01)


def test_more_than_fit_wait_and_an_idle_pool_makes_room(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(30)
        await world.until(lambda: len(world.node.running()) == 12)
        await world.work_until(lambda: len(world.outputs) == 30)
        world.open("fu-2")
        world.call(1, function_id="fu-2")
        await world.work_until(lambda: len(world.outputs) == 31)

    run(tmp_path, scenario, cpu=1.0)


def test_a_pool_with_endless_work_does_not_starve_another(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(100)
        await world.until(lambda: sum(len(c.inputs) for c in world.node.running()) == 12)
        world.open("fu-2")
        (other,) = world.call(1, function_id="fu-2")
        # One busy container finishes what it holds and gives its place up; nothing else moves.
        await world.until(lambda: any(c.draining for c in world.node.running()))
        next(c for c in world.node.running() if c.draining).finish()
        await world.until(lambda: any(i.input_id == other for c in world.node.running() for i in c.inputs))

    run(tmp_path, scenario, cpu=1.0)


def test_b20_an_input_offered_twice_runs_once_and_is_answered_again(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        ids = world.call(1)
        call_id = next(iter(world.client.calls))
        world.offer(call_id, ids)
        await world.until(lambda: bool(world.node.containers and world.node.containers[0].inputs))
        assert len(world.node.containers[0].inputs) == 1
        world.node.containers[0].finish()
        await world.receive(1)
        world.offer(call_id, ids)
        assert [output.input_id for output in await world.receive(2)] == ids * 2
        world.journal.take(ids)
        assert world.journal.open_input(ids[0]) is None

    run(tmp_path, scenario)


def test_b33_inputs_lost_with_their_container_run_again_but_not_for_ever(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(1)
        for _ in range(MAX_LOSSES + 1):
            await world.until(lambda: any(c.inputs for c in world.node.running()))
            next(c for c in world.node.running() if c.inputs).exit(ContainerExit(exit_code=139))
        (output,) = await world.receive(1)
        assert output.failure is not None
        assert output.failure.kind == FailureKind.CONTAINER_LOST
        assert (
            "was killed by signal 11 (SIGSEGV) while it ran this input. It was run 4 times." in output.failure.message
        )
        assert len(world.node.containers) == MAX_LOSSES + 1

    run(tmp_path, scenario)


def test_a_container_whose_descriptors_user_code_closed_says_so(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(1)
        for _ in range(MAX_LOSSES + 1):
            await world.until(lambda: any(c.inputs for c in world.node.running()))
            next(c for c in world.node.running() if c.inputs).exit(ContainerExit(exit_code=71))
        (output,) = await world.receive(1)
        assert output.failure is not None
        assert "Code in it closed file descriptors of the container's own, above 4095" in output.failure.message

    run(tmp_path, scenario)


def test_only_running_inputs_count_as_lost(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        ids = world.call(5)
        await world.until(lambda: bool(world.node.containers and world.node.containers[0].inputs))
        world.node.containers[0].finish(1)
        first = world.node.containers[0]
        first.exit(ContainerExit(exit_code=1))
        items = [world.journal.open_input(input_id) for input_id in ids[1:]]
        assert sum(item.losses for item in items if item is not None) == 1
        await world.work_until(lambda: len(world.outputs) == 5)
        assert {output.index for output in world.outputs} == set(range(5))

    run(tmp_path, scenario, max_containers=1)


def test_b29_retries_are_used_up_and_the_last_failure_arrives(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(1)
        for _ in range(4):
            await world.until(lambda: any(c.inputs for c in world.node.running()))
            next(c for c in world.node.running() if c.inputs).fail()
        (output,) = await world.receive(1)
        assert output.failure is not None
        assert output.failure.type_name == "ValueError"

    retry = RetryMessage(max_retries=3, backoff_coefficient=1.0, initial_delay_s=0.01, max_delay_s=1.0)
    run(tmp_path, scenario, retry=retry)


def test_b31_delays_grow_to_their_cap() -> None:
    policy = RetryPolicy(max_retries=5, backoff_coefficient=2.0, initial_delay_s=1.0, max_delay_s=5.0)
    assert [policy.delay(retry) for retry in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_cancelled_call_drops_what_waits_and_interrupts_what_runs(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        ids = world.call(3)
        await world.until(lambda: bool(world.node.containers and world.node.containers[0].inputs))
        call = world.journal.call(next(iter(world.client.calls)))
        assert call is not None
        world.dispatcher.cancel(call)
        outputs = await world.receive(2)
        assert {output.failure.kind for output in outputs if output.failure} == {FailureKind.CANCELLED}
        assert world.node.containers[0].cancelled == [ids[0]]

    run(tmp_path, scenario, max_containers=1)


def test_b27_a_container_that_can_not_load_fails_what_waits(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(3)
        await world.until(lambda: bool(world.node.containers))
        container = world.node.containers[0]
        container.connected = True
        container.events.on_connected([], False)
        failure = Failure(kind=FailureKind.STARTUP, type_name="ImportError", message="no module named x")
        container.events.on_load_failed(failure)
        container.exit(ContainerExit(exit_code=1, not_started=True))
        outputs = await world.receive(3)
        assert [output.failure for output in outputs] == [failure] * 3

    run(tmp_path, scenario, auto=False, max_containers=1)


def test_an_engine_that_does_not_answer_is_tried_again(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(1)
        await world.until(lambda: bool(world.node.containers))
        gone = ContainerExit(reason="Docker does not answer", not_started=True, host_failed=True)
        world.node.containers[0].exit(gone)
        await world.until(lambda: len(world.node.containers) == 2)
        world.node.containers[1].connect()
        world.node.containers[1].finish()
        (output,) = await world.receive(1)
        assert output.failure is None

    run(tmp_path, scenario, auto=False)


def test_a_container_that_never_starts_fails_after_three_tries(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(1)
        for number in range(3):
            await world.until(lambda number=number: len(world.node.containers) == number + 1)
            world.node.containers[number].exit(ContainerExit(exit_code=127, not_started=True, log_tail="no python3"))
        (output,) = await world.receive(1)
        assert output.failure is not None
        assert "exited with code 127" in output.failure.message
        assert "no python3" in output.failure.message

    run(tmp_path, scenario, auto=False)


def test_what_can_never_fit_fails_with_the_numbers(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.node.auto = True
        spec_calls = world.call(1)
        (output,) = await world.receive(1)
        assert output.input_id == spec_calls[0]
        assert output.failure is not None
        assert "it needs 128 MiB, this host has 4 cores and 100 MiB for containers" in output.failure.message

    run(tmp_path, scenario, memory_mib=100)


def test_fast_inputs_are_sent_ahead_and_stuck_ones_come_back(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(1000)
        await world.until(lambda: bool(world.node.containers and world.node.containers[0].inputs))
        first = world.node.containers[0]
        # Known to be fast after an input that took under 5 ms by the clock: not each does on a busy machine.
        await world.until(lambda: bool(first.finish()) or len(first.inputs) > 1)
        # Now its current input takes long: those behind it must not wait for it.
        await world.until(lambda: first.recalls > 0 and len(first.inputs) == 1)
        await world.work_until(lambda: len(world.outputs) == 999, but=first)
        assert len(first.inputs) == 1

    run(tmp_path, scenario)


def test_a_lagging_client_pauses_only_the_container_that_floods_it(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(2)
        await world.until(lambda: sum(len(c.inputs) for c in world.node.containers) == 2)
        loud, quiet = world.node.containers
        for _ in range(100):
            loud.events.on_log([(1, loud.inputs[0].input_id, 0, "x" * 60_000, False)])
        assert (loud.paused, quiet.paused) == (True, False)
        while loud.paused:
            assert (await world.message()).logs

    run(tmp_path, scenario, max_containers=2)


@pytest.mark.parametrize("kind", [CallKind.MAP, CallKind.SPAWN])
def test_a_large_argument_is_there_until_its_output_is_taken_or_on_disk(tmp_path: Path, kind: CallKind) -> None:
    # A service killed in between has forgotten that the input ended, and runs it again.
    async def scenario(world: World) -> None:
        call_id, input_id, blob_id = new_id("fc"), new_id("in"), new_id("bl")
        world.blobs.put(blob_id, [b"large"])
        world.journal.start(world.client, CallStart(call_id=call_id, function_id=FUNCTION, kind=kind))
        large = Payload(blob_id=blob_id, size=5)
        items = world.journal.new_inputs([InputMessage(input_id=input_id, call_id=call_id, index=0, payload=large)])
        if kind == CallKind.MAP:
            world.dispatcher.submit(items)
        else:
            world.journal.save(world.client, items, world.dispatcher.submit)
        await world.until(lambda: any(c.inputs for c in world.node.containers))
        world.node.containers[0].finish()
        if kind == CallKind.MAP:
            await world.receive(1)
            assert world.blobs.path(blob_id).exists()
            world.journal.take([input_id])
            assert not world.blobs.path(blob_id).exists()
        else:
            assert world.blobs.path(blob_id).exists()
            await world.until(lambda: not world.blobs.path(blob_id).exists())
            outputs = await CallStore(world.database).outputs(call_id)
            assert outputs is not None
            assert [output.input_id for output in outputs.outputs] == [input_id]

    run(tmp_path, scenario)


@pytest.mark.parametrize("ends_first", [True, False])
def test_a_client_that_is_gone_leaves_no_blob(tmp_path: Path, ends_first: bool) -> None:
    async def scenario(world: World) -> None:
        call_id, input_id, blob_id, answer = new_id("fc"), new_id("in"), new_id("bl"), new_id("bl")
        for one in (blob_id, answer):
            world.blobs.put(one, [b"large"])
        call = world.journal.start(world.client, CallStart(call_id=call_id, function_id=FUNCTION, kind=CallKind.MAP))
        large = Payload(blob_id=blob_id, size=5)
        items = world.journal.new_inputs([InputMessage(input_id=input_id, call_id=call_id, index=0, payload=large)])
        world.dispatcher.submit(items)
        await world.until(lambda: any(c.inputs for c in world.node.containers))
        container = world.node.containers[0]
        end = lambda: container.events.on_outputs([(input_id, Payload(blob_id=answer, size=5), 0)])  # noqa: E731
        for step in (end, lambda: world.journal.forget(call))[:: 1 if ends_first else -1]:
            step()
        assert not world.blobs.path(blob_id).exists()
        assert not world.blobs.path(answer).exists()

    run(tmp_path, scenario)


def test_b12_a_durable_call_is_accepted_answered_and_answered_again(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(1, CallKind.SPAWN)
        call_id = next(iter(world.client.calls))
        assert len((await world.message()).accepted) == 1
        await world.until(lambda: any(c.inputs for c in world.node.containers))
        world.journal.watching.watch(world.client, call_id)
        world.node.containers[0].finish()
        await world.receive(1)
        await world.until(lambda: world.journal.call(call_id) is None)
        for count in (2, 3):
            world.journal.watching.watch(world.client, call_id)
            await world.receive(count)
        assert {output.payload.data for output in world.outputs if output.payload} == {b"out"}

    run(tmp_path, scenario)


def test_b61_a_container_keeps_a_durable_answer_until_it_is_on_disk_or_decides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "EARLY_RESULT_S", 0.001)

    async def scenario(world: World) -> None:
        store = CallStore(world.database)
        (input_id,) = world.call(1, CallKind.SPAWN)
        await world.until(lambda: any(c.inputs for c in world.node.containers))
        (container,) = world.node.containers
        # It will be retried: this failure must not be said again in the place of what the retry answers.
        container.fail()
        assert container.kept_answers == [input_id]
        await world.until(lambda: bool(container.inputs))
        container.finish()
        assert container.kept_answers == [input_id]
        await world.until(lambda: len(container.kept_answers) == 2)
        assert await store.open_inputs() == []

        # What nobody has asked to be durable is not kept at all.
        world.call(1)
        await world.until(lambda: bool(container.inputs))
        container.finish()
        await world.receive(1)
        assert container.kept_answers == [input_id, input_id]

        # An answer of a run that an earlier life has on disk already.
        container.events.on_connected(["in-old"], True)
        container.events.on_outputs([("in-old", payload(b"out"), 0)])
        await world.until(lambda: container.kept_answers[2:] == ["in-old"])

    retry = RetryMessage(max_retries=1, backoff_coefficient=1.0, initial_delay_s=0.001, max_delay_s=1.0)
    run(tmp_path, scenario, max_containers=1, retry=retry)


def test_b66_what_ended_before_a_restart_is_told_with_what_is_still_open(tmp_path: Path) -> None:
    ids: list[str] = []

    async def first_life(world: World) -> None:
        ids.extend(world.call(3, CallKind.SPAWN_MAP))
        call_id = next(iter(world.client.calls))
        await world.until(lambda: any(c.inputs for c in world.node.containers))
        world.node.containers[0].finish(1)
        store = CallStore(world.database)

        async def one_is_done() -> bool:
            stored = await store.outputs(call_id)
            return stored is not None and len(stored.outputs) == 1

        async with asyncio.timeout(DEADLINE_S):
            while not await one_is_done():
                await asyncio.sleep(0.001)
        world.dispatcher.keep_durable()

    async def next_life(world: World) -> None:
        rows = await CallStore(world.database).open_inputs()
        assert len(rows) == 2
        call = Call(rows[0].call_id, FUNCTION, CallKind.SPAWN, None, "")
        call.num_inputs = len(rows)
        items = [Input(row.input_id, call, row.index, row.payload, row.method) for row in rows]
        world.journal.restore(items)
        world.dispatcher.submit(items)
        world.journal.watching.watch(world.client, call.call_id)
        # The one that is on disk comes at once, with how many there are.
        states: list[CallState] = []
        while not states:
            message = await world.message()
            world.outputs.extend(message.outputs)
            states += message.states
        assert (states[0].num_inputs, states[0].num_done) == (3, 1)
        await world.work_until(lambda: len(world.outputs) == 3)
        assert {output.input_id for output in world.outputs} == set(ids)

    run(tmp_path, first_life, max_containers=1)
    run(tmp_path, next_life, max_containers=1)


def test_results_not_taken_are_sent_again_to_a_client_that_comes_back(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(1)
        await world.until(lambda: any(c.inputs for c in world.node.containers))
        session = world.client.session
        world.clients.disconnect(world.client, session)
        world.node.containers[0].finish()
        client = world.clients.connect(world.client.client_id)
        assert client is world.client
        world.journal.resume(client)
        await world.receive(1)
        assert world.gone == []

    run(tmp_path, scenario)


def test_calls_that_callers_wait_for_get_containers_beyond_the_processors(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        # The host carries two such containers by its processors.
        parents = world.call(1)
        for depth in range(1, 5):
            await world.until(lambda depth=depth: sum(len(c.inputs) for c in world.node.containers) == depth)
            parents = world.call(1, parent=parents[0])
        await world.until(lambda: sum(len(c.inputs) for c in world.node.containers) == 5)
        assert [len(container.inputs) for container in world.node.containers] == [1] * 5

        for container in reversed(world.node.containers):
            container.finish()
        await world.receive(5)

    run(tmp_path, scenario, cpu=2 / CONTAINERS_PER_CORE)


def test_a_call_without_a_waiting_caller_stays_within_the_processors(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(5)
        await world.until(lambda: sum(len(c.inputs) for c in world.node.containers) == 2)
        assert len(world.node.containers) == 2

    run(tmp_path, scenario, cpu=2 / CONTAINERS_PER_CORE)


@pytest.mark.parametrize("field", ["max_containers", "min_containers", "max_concurrent_inputs"])
def test_settings_out_of_range_are_named(tmp_path: Path, field: str) -> None:
    async def scenario(world: World) -> None:
        with pytest.raises(Exception, match=f"{field}=5000 is not between 0 and 1000"):
            world.open("fu-3", **{field: 5000})

    run(tmp_path, scenario)
