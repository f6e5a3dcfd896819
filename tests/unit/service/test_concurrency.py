"""Batches, concurrent and single-use containers, retries and limits: dispatcher and pool on a fake node and clock."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.apps import no_secrets
from tests.fakes.clock import run_fast
from tests.fakes.node import FakeContainer, payload
from tests.unit.service.test_dispatcher import FUNCTION, World
from wherry_proto.messages import (
    CallKind,
    CallStart,
    FailureKind,
    FunctionBindRequest,
    FunctionSpec,
    GpuRequest,
    PoolSettings,
)
from wherry_proto.messages import Input as InputMessage
from wherry_proto.messages import RetryPolicy as RetryMessage
from wherry_service.apps.plans import plan_of
from wherry_service.apps.variants import variant_of
from wherry_service.calls.exchange import Exchange
from wherry_service.calls.queue import QueueLimit
from wherry_service.errors import InvalidRequest
from wherry_service.ids import new_id
from wherry_service.node.events import ContainerExit
from wherry_service.pools.interruption import END_GRACE_S


class FastWorld(World):
    """A world where hours pass in a moment."""

    deadline_s = 3600.0
    poll_s = 0.01


def run(tmp_path: Path, scenario: Callable[[World], Coroutine[Any, Any, None]], **settings: Any) -> None:
    async def main() -> None:
        world = FastWorld(tmp_path, **settings)
        try:
            await scenario(world)
        finally:
            await world.pools.close_all(0.0)
            world.database.close()

    run_fast(main())


def held(world: World) -> list[int]:
    return [len(container.inputs) for container in world.node.running()]


def ids(container: FakeContainer) -> list[str]:
    return [item.input_id for item in container.inputs]


# Batches


def test_b43_a_container_is_given_a_whole_batch(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(1000)
        await world.until(lambda: sum(held(world)) == 250)
        assert held(world) == [50] * 5

    run(tmp_path, scenario, max_batch_size=25, max_concurrent_inputs=2, max_containers=5)


def test_b43_a_batch_that_gathers_is_filled_before_another_is_begun(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.until(lambda: len(world.node.running()) == 2)
        for count in range(1, 11):
            world.call(1)
            await world.until(lambda count=count: sum(held(world)) == count)
        assert sorted(held(world)) == [0, 10]

    run(tmp_path, scenario, max_batch_size=10, batch_wait_ms=60_000, min_containers=2, max_containers=2)


def test_b43_what_waits_behind_a_batch_goes_to_a_container_that_is_free(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.until(lambda: len(world.node.running()) == 2)
        for count in (1, 2, 3):
            world.call(1)
            assert sum(held(world)) == count
            # Longer than a batch gathers: each begins one of its own while there is a free container.
            await asyncio.sleep(0.2)
        assert sorted(held(world)) == [1, 2]
        free, busy = sorted(world.node.running(), key=lambda container: len(container.inputs))
        free.finish()
        await world.until(lambda: busy.recalls > 0)
        assert (len(free.inputs), len(busy.inputs)) == (1, 1)

    run(tmp_path, scenario, max_batch_size=4, batch_wait_ms=100, min_containers=2, max_containers=2)


def test_b43_a_failed_batch_is_retried_input_by_input(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(3)
        for _ in range(2):
            await world.until(lambda: held(world) == [3])
            for _ in range(3):
                world.node.containers[0].fail()
        outputs = await world.receive(3)
        assert {output.failure.type_name for output in outputs if output.failure} == {"ValueError"}

    retry = RetryMessage(max_retries=1, backoff_coefficient=1.0, initial_delay_s=1.0)
    run(tmp_path, scenario, max_batch_size=10, batch_wait_ms=10, retry=retry)


# Single use


def test_a_container_for_single_use_takes_one_input_and_ends(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(6)
        for done in range(0, 6, 2):
            await world.until(lambda done=done: len(world.node.containers) == done + 2)
            await world.until(lambda: held(world) == [1, 1])
            for container in world.node.running():
                container.finish()
                assert container.draining
            await world.receive(done + 2)
        await world.until(lambda: not world.node.running())
        assert len(world.node.containers) == 6

    run(tmp_path, scenario, single_use_containers=True, max_containers=2)


def test_a_container_for_single_use_ends_after_a_failure_too(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(1)
        await world.until(lambda: held(world) == [1])
        world.node.containers[0].fail()
        assert world.node.containers[0].draining

    run(tmp_path, scenario, single_use_containers=True)


def test_a_container_for_single_use_may_begin_again_before_it_has_code(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(1)
        await world.until(lambda: len(world.node.containers) == 1)
        (container,) = world.node.containers
        container.connected = True
        container.events.on_connected([], False)
        await world.until(lambda: len(container.inputs) == 1)
        container.inputs.clear()
        container.connect()
        await world.until(lambda: len(container.inputs) == 1)
        assert not container.draining
        container.finish()
        assert container.draining

    run(tmp_path, scenario, auto=False, single_use_containers=True, max_containers=1)


# Retries


def starts(world: World) -> Callable[[], Coroutine[Any, Any, float]]:
    loop = asyncio.get_running_loop()

    async def next_start() -> float:
        await world.until(lambda: any(held(world)))
        return loop.time()

    return next_start


@pytest.mark.parametrize("retries", [0, 1, 3, 10])
def test_b29_always_failing_is_tried_once_and_then_retried(tmp_path: Path, retries: int) -> None:
    async def scenario(world: World) -> None:
        world.call(1)
        next_start, count = starts(world), 0
        while not world.outputs:
            await next_start()
            count += 1
            next(c for c in world.node.running() if c.inputs).fail()
            if count == retries + 1:
                await world.receive(1)
        assert count == retries + 1
        assert world.outputs[0].failure is not None
        assert world.outputs[0].failure.kind == FailureKind.EXCEPTION

    retry = RetryMessage(max_retries=retries, backoff_coefficient=1.0, initial_delay_s=0.01)
    run(tmp_path, scenario, retry=retry)


def test_b30_succeeding_at_the_third_try_gives_the_value(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(1)
        for _ in range(2):
            await world.until(lambda: held(world) == [1])
            world.node.containers[0].fail()
        await world.until(lambda: held(world) == [1])
        world.node.containers[0].finish()
        (output,) = await world.receive(1)
        assert output.failure is None

    run(tmp_path, scenario, retry=RetryMessage(max_retries=3, backoff_coefficient=1.0, initial_delay_s=0.01))


def test_b31_retries_begin_after_their_delays(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(1)
        next_start = starts(world)
        await next_start()
        delays = []
        for _ in range(5):
            failed = asyncio.get_running_loop().time()
            next(c for c in world.node.running() if c.inputs).fail()
            delays.append(await next_start() - failed)
        assert delays == pytest.approx([1.0, 2.0, 4.0, 5.0, 5.0], abs=0.02)

    retry = RetryMessage(max_retries=5, backoff_coefficient=2.0, initial_delay_s=1.0, max_delay_s=5.0)
    run(tmp_path, scenario, retry=retry, scaledown_window_s=600.0)


def test_b32_a_cancelled_input_is_not_retried(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(2)
        await world.until(lambda: sum(held(world)) == 2)
        call = world.journal.call(next(iter(world.client.calls)))
        assert call is not None
        running, waits_for_retry = world.node.running()
        waits_for_retry.fail()

        world.dispatcher.cancel(call)
        # As one does that raises while it is interrupted.
        running.fail()

        outputs = await world.receive(2)
        assert [output.failure.kind for output in outputs if output.failure] == [
            FailureKind.CANCELLED,
            FailureKind.EXCEPTION,
        ]
        await asyncio.sleep(30)
        assert not any(held(world))

    run(tmp_path, scenario, retry=RetryMessage(max_retries=3, backoff_coefficient=1.0, initial_delay_s=5.0))


def test_b33_an_input_lost_with_its_container_keeps_its_retries(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(1)
        for _ in range(2):
            await world.until(lambda: any(held(world)))
            next(c for c in world.node.running() if c.inputs).exit(ContainerExit(exit_code=137))
        for _ in range(3):
            await world.until(lambda: any(held(world)))
            next(c for c in world.node.running() if c.inputs).fail()
        (output,) = await world.receive(1)
        assert output.failure is not None
        assert output.failure.kind == FailureKind.EXCEPTION

    run(tmp_path, scenario, retry=RetryMessage(max_retries=2, backoff_coefficient=1.0, initial_delay_s=0.01))


# Inputs that run longer than others


@pytest.mark.parametrize("slots", [1, 2])
def test_what_waits_for_streams_gets_another_container_however_short_the_mean(tmp_path: Path, slots: int) -> None:
    async def scenario(world: World) -> None:
        loop = asyncio.get_running_loop()
        for done in range(1, 11):
            world.call(1)
            await world.until(lambda: sum(held(world)) == 1)
            # Too long for another to be sent ahead, and much shorter than a container takes to start.
            await asyncio.sleep(0.05)
            await world.work_until(lambda done=done: len(world.outputs) == done)
        assert len(world.node.containers) == 1

        streams = [Exchange(FUNCTION, "", {}, b"") for _ in range(2 * slots)]
        world.dispatcher.submit([stream.item for stream in streams])
        await world.until(lambda: {stream.item for stream in streams} <= {*running(world)})
        (later,) = world.call(1)
        began = loop.time()
        await world.until(lambda: any(later in ids(c)[:slots] for c in world.node.running()))
        assert loop.time() - began < 2
        assert {stream.item for stream in streams} <= {*running(world)}

    def running(world: World) -> list[Any]:
        return [item for container in world.node.running() for item in container.inputs[:slots]]

    run(tmp_path, scenario, max_concurrent_inputs=slots)


# Ends that the runner does not bring about


def test_an_input_at_somebodys_terminal_is_not_hurried_and_the_next_one_is(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        loop = asyncio.get_running_loop()
        world.call(2)
        await world.until(lambda: bool(world.node.running()) and any(held(world)))
        (attended,) = world.node.running()
        found = world.pools.find(attended.container_id)
        assert found is not None
        found[1].attend(1000)
        began = loop.time()
        await world.until(lambda: loop.time() - began > 900)
        assert not attended.exited
        attended.finish(1)
        await world.until(lambda: attended.exited)
        assert loop.time() - began == pytest.approx(900 + 300 + END_GRACE_S, abs=5)

    run(tmp_path, scenario, max_containers=1)


def test_b28_a_container_that_does_not_let_go_is_killed_and_its_input_timed_out(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        loop = asyncio.get_running_loop()
        world.call(3)
        await world.until(lambda: held(world) == [3] or held(world) == [1])
        (stuck,) = world.node.running()
        began = loop.time()
        await world.until(lambda: stuck.exited)
        (output,) = await world.receive(1)
        assert loop.time() - began == pytest.approx(300 + END_GRACE_S, abs=1)
        assert output.failure is not None
        assert output.failure.kind == FailureKind.TIMEOUT
        assert "timeout of 300 s" in output.failure.message
        # The others go on elsewhere.
        await world.work_until(lambda: len(world.outputs) == 3)
        assert [output.failure is None for output in world.outputs] == [False, True, True]

    run(tmp_path, scenario, max_containers=1)


def test_b40_a_cancelled_input_that_does_not_stop_ends_with_its_container(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        loop = asyncio.get_running_loop()
        world.call(1)
        await world.until(lambda: held(world) == [1])
        call = world.journal.call(next(iter(world.client.calls)))
        assert call is not None
        began = loop.time()
        world.dispatcher.cancel(call)
        (output,) = await world.receive(1)
        assert loop.time() - began < 10
        assert output.failure is not None
        assert output.failure.kind == FailureKind.CANCELLED
        assert not world.node.running()

    run(tmp_path, scenario)


def test_b40_threads_beside_a_cancelled_one_get_a_while_and_then_run_elsewhere(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        loop = asyncio.get_running_loop()
        (cancelled,) = world.call(1)
        world.call(2)
        await world.until(lambda: held(world) == [3])
        (first,) = world.node.running()
        calls = [world.journal.call(call_id) for call_id in world.client.calls]
        (call,) = [call for call in calls if call is not None and cancelled in call.open]
        began = loop.time()

        world.dispatcher.cancel(call)
        assert first.cancelled == [cancelled]
        assert first.draining
        # The runner answers for it; one of the others finishes, the third does not.
        first.answer_cancelled(cancelled)
        first.finish(1)

        await world.until(lambda: first.exited)
        assert loop.time() - began < 10
        await world.work_until(lambda: len(world.outputs) == 3)
        kinds = [output.failure.kind if output.failure else None for output in world.outputs]
        assert kinds == [FailureKind.CANCELLED, None, None]

    run(tmp_path, scenario, max_concurrent_inputs=3)


def test_b28_a_thread_that_timed_out_ends_with_its_container(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(3)
        await world.until(lambda: held(world) == [3])
        (first,) = world.node.running()
        first.fail(FailureKind.TIMEOUT)
        assert first.draining
        # Those beside it finish where they are.
        first.finish()
        outputs = await world.receive(3)
        assert [output.failure is None for output in outputs] == [False, True, True]
        await world.until(lambda: first.exited)

    run(tmp_path, scenario, max_concurrent_inputs=3)


# Limits of queues


def limited(world: World, limit: QueueLimit) -> None:
    queue = world.dispatcher.queue(FUNCTION)
    assert queue is not None
    queue.limit = limit


def offer(world: World, call_id: str, input_ids: Sequence[str]) -> None:
    messages = [InputMessage(input_id=i, call_id=call_id, index=n, payload=payload()) for n, i in enumerate(input_ids)]
    world.dispatcher.submit(world.journal.new_inputs(messages, world.dispatcher.gate()))


@pytest.mark.parametrize("limit", [QueueLimit(inputs=3), QueueLimit(payload_bytes=3)])
def test_b35_what_a_queue_has_no_room_for_is_refused_and_taken_later(tmp_path: Path, limit: QueueLimit) -> None:
    async def scenario(world: World) -> None:
        limited(world, limit)
        world.call(1)
        call_id = next(iter(world.client.calls))
        input_ids = [new_id("in") for _ in range(5)]
        for input_id in input_ids:
            offer(world, call_id, [input_id])

        refused = await world.receive(3)
        assert [output.input_id for output in refused] == input_ids[2:]
        for output in refused:
            assert output.failure is not None
            assert output.failure.kind == FailureKind.EXHAUSTED
            assert "3 inputs wait for function 'f'" in output.failure.message

        await world.work_until(lambda: len(world.outputs) == 6)
        offer(world, call_id, input_ids[2:])
        await world.work_until(lambda: len(world.outputs) == 9)
        assert [output.failure for output in world.outputs[3:]] == [None] * 6

    run(tmp_path, scenario, auto=True, max_containers=1)


def test_b35_a_call_of_one_input_that_is_refused_is_forgotten(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        limited(world, QueueLimit(inputs=0))
        start = CallStart(call_id="fc-" + "0" * 26, function_id=FUNCTION, kind=CallKind.REMOTE)
        world.journal.start(world.client, start)
        offer(world, "fc-" + "0" * 26, ["in-" + "0" * 26])
        (output,) = await world.receive(1)
        assert output.failure is not None
        assert world.journal.call("fc-" + "0" * 26) is None

    run(tmp_path, scenario)


# What can't start


def test_what_can_never_start_is_not_retried_until_somebody_asks(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.until(lambda: len(world.node.containers) == 1)
        no_gpu = ContainerExit(reason="asks for a GPU", not_started=True, permanent=True)
        world.node.containers[0].exit(no_gpu)
        await asyncio.sleep(600)
        assert len(world.node.containers) == 1

        world.call(1)
        await world.until(lambda: len(world.node.containers) == 2)
        world.node.containers[1].exit(no_gpu)
        (output,) = await world.receive(1)
        assert output.failure is not None
        assert "No container of function 'f' could start: it asks for a GPU" in output.failure.message

    run(tmp_path, scenario, auto=False, min_containers=1)


async def ready(image_id: str) -> str:
    return "image"


def test_a_plan_carries_batches_gpus_and_disk() -> None:
    spec = FunctionSpec(
        name="f",
        module_name="m",
        qualname="f",
        image_id="im-1",
        pool=PoolSettings(max_concurrent_inputs=4, target_concurrent_inputs=2, max_batch_size=8, batch_wait_ms=50),
        gpus=[GpuRequest(type="A100", count=2), GpuRequest(type="any", count=1)],
    )
    plan = plan_of("ap-1", "fu-1", spec, ready, no_secrets, lambda: ("shop", "main"))
    order = asyncio.run(_order(plan.make_order))
    assert (plan.bounds.slots, plan.bounds.target) == (32, 16)
    assert (plan.load.concurrency, plan.load.max_batch_size, plan.load.batch_wait_ms) == (4, 8, 50)
    assert [(gpu.type, gpu.count) for gpu in order.gpus] == [("A100", 2), ("any", 1)]


async def _order(make: Any) -> Any:
    return await make("co-1")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pool": PoolSettings(max_batch_size=1001)}, "max_batch_size=1001 is not between 0 and 1000"),
        ({"pool": PoolSettings(batch_wait_ms=600_001)}, "batch_wait_ms"),
        ({"pool": PoolSettings(max_concurrent_inputs=2, target_concurrent_inputs=3)}, "target_concurrent_inputs"),
        ({"pool": PoolSettings(max_concurrent_inputs=2, single_use_containers=True)}, "single_use_containers"),
        ({"pool": PoolSettings(max_batch_size=2), "is_generator": True}, "generator"),
        ({"gpus": [GpuRequest(type="A100", count=0)]}, "gpu count=0"),
        ({"gpus": [GpuRequest(type="$(reboot)", count=1)]}, "no type of GPU"),
    ],
)
def test_settings_out_of_range_are_refused(change: dict[str, Any], said: str) -> None:
    spec = FunctionSpec(**{"name": "f", "module_name": "m", "qualname": "f", "image_id": "im-1", **change})
    with pytest.raises(InvalidRequest) as caught:
        plan_of("ap-1", "fu-1", spec, ready, no_secrets, lambda: ("shop", "main"))
    assert said in str(caught.value)


def test_only_what_is_batched_has_variants_with_other_batches() -> None:
    base = FunctionSpec(name="f", module_name="m", qualname="f", image_id="im-1", pool=PoolSettings())
    changes = FunctionSpec(pool=PoolSettings(max_batch_size=4, batch_wait_ms=5))
    request = FunctionBindRequest(changes=changes, fields=["pool.max_batch_size", "pool.batch_wait_ms"])
    with pytest.raises(InvalidRequest, match=r"'f' is not batched: put @wherry\.batched\(\)"):
        variant_of(base, request)
    base.pool = PoolSettings(max_batch_size=2)
    varied = variant_of(base, request).pool
    assert varied is not None
    assert (varied.max_batch_size, varied.batch_wait_ms) == (4, 5)
