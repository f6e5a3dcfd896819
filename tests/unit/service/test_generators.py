"""Generators in the service: values in order, each once, whatever became of the run before this one."""

from pathlib import Path
from typing import Any

import pytest

from tests.fakes.apps import no_secrets
from tests.fakes.node import FakeContainer, payload
from tests.unit.service.test_dispatcher import World, run
from wherry_proto.messages import CallKind, CallStart, Failure, FailureKind, FunctionSpec, MethodSpec, PoolSettings
from wherry_proto.messages import Input as InputMessage
from wherry_service.apps.plans import plan_of, retry_of
from wherry_service.calls import old_runs
from wherry_service.calls.call import Call, Input
from wherry_service.ids import new_id
from wherry_service.node.events import ContainerExit
from wherry_service.node.frames import ProtocolError
from wherry_service.node.runs import Runs

GENERATOR = "fu-gen"
CANCELLED = Failure(kind=FailureKind.CANCELLED, message="the input was cancelled")


def open_generator(world: World, method: str = "") -> None:
    methods = [MethodSpec(name=method, is_generator=True)] if method else []
    spec = FunctionSpec(
        name="g",
        module_name="m",
        qualname="g",
        image_id="im-1",
        is_generator=not method,
        methods=methods,
        pool=PoolSettings(min_containers=1, max_containers=1, scaledown_window_s=60.0),
    )

    async def ready(image_id: str) -> str:
        return "image"

    plan = plan_of("ap-1", GENERATOR, spec, ready, no_secrets, lambda: ("shop", "main"))
    world.dispatcher.open_function(plan, retry_of(spec), "ap-1", world.client.client_id)


async def container_of(world: World) -> FakeContainer:
    await world.until(lambda: any(c.connected and c.load.function_id == GENERATOR for c in world.node.containers))
    return next(c for c in world.node.containers if c.load.function_id == GENERATOR)


def offer(world: World, input_id: str, seen: int = 0, kind: int = CallKind.GENERATOR, method: str = "") -> None:
    """Offer a generator's input as a client that has come back does: with how many of its values it has."""
    call_id = new_id("fc")
    world.journal.start(world.client, CallStart(call_id=call_id, function_id=GENERATOR, kind=kind))
    message = InputMessage(input_id=input_id, call_id=call_id, payload=payload(), method=method)
    fresh = world.journal.new_inputs([message])
    if kind == CallKind.SPAWN:
        world.journal.save(world.client, fresh, world.dispatcher.submit)
    else:
        world.dispatcher.submit(fresh)
    if (item := world.journal.yields_taken(input_id, seen)) is not None:
        world.dispatcher.taken(item, seen)


def told(world: World) -> tuple[list[int], list[int]]:
    """Return the indexes of the values, and how many values each output counts, that the client is told of now."""
    yields: list[int] = []
    outputs: list[int] = []
    while (message := world.client.take()) is not None:
        yields += [value.index for value in message.yields]
        outputs += [output.num_yields for output in message.outputs]
    return yields, outputs


def rows(input_id: str, *indexes: int) -> list[Any]:
    return [(input_id, index, payload()) for index in indexes]


@pytest.mark.parametrize("method", ["", "walk"])
@pytest.mark.parametrize("offered_first", [True, False])
def test_values_of_a_run_that_an_earlier_life_began_count_for_nothing(
    tmp_path: Path, method: str, offered_first: bool
) -> None:
    async def scenario(world: World) -> None:
        open_generator(world, method)
        container = await container_of(world)
        input_id = new_id("in")
        if not offered_first:
            container.events.on_connected([input_id], True)
            container.events.on_yields(rows(input_id, 240, 241))
        else:
            # Another container has the function's one place: the input waits for it.
            container.connected = False
        offer(world, input_id, seen=229, method=method)
        if offered_first:
            container.connected = True
            container.events.on_connected([input_id], True)
        assert container.cancelled == [input_id]
        # Its container never holds two runs of it.
        assert container.inputs == []
        container.events.on_yields(rows(input_id, 242, 243))
        assert told(world) == ([], [])
        container.events.on_failure(input_id, CANCELLED, 244)

        assert [item.input_id for item in container.inputs] == [input_id]
        container.events.on_yields(rows(input_id, *range(232)))
        container.events.on_outputs([(input_id, payload(), 232)])
        assert told(world) == ([229, 230, 231], [232])

    run(tmp_path, scenario)


def test_an_old_run_that_ends_by_itself_makes_way_as_well(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        open_generator(world)
        container = await container_of(world)
        input_id = new_id("in")
        container.events.on_connected([input_id], True)
        offer(world, input_id, seen=2)
        container.events.on_outputs([(input_id, payload(), 300)])
        assert told(world) == ([], [])
        assert [item.input_id for item in container.inputs] == [input_id]

    run(tmp_path, scenario)


def test_an_input_whose_old_run_goes_with_its_container_runs_in_another(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        open_generator(world)
        container = await container_of(world)
        input_id = new_id("in")
        container.events.on_connected([input_id], True)
        offer(world, input_id)
        assert world.dispatcher.is_working(GENERATOR)
        container.exit(ContainerExit(exit_code=137))
        await world.until(lambda: any(input_id in [i.input_id for i in c.inputs] for c in world.node.running()))

    run(tmp_path, scenario)


def test_an_old_run_that_does_not_end_is_ended_with_its_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(old_runs, "END_GRACE_S", 0.01)

    async def scenario(world: World) -> None:
        open_generator(world)
        container = await container_of(world)
        input_id = new_id("in")
        container.events.on_connected([input_id], True)
        offer(world, input_id)
        await world.until(lambda: container.exited)
        await world.until(lambda: any(input_id in [i.input_id for i in c.inputs] for c in world.node.running()))

    run(tmp_path, scenario)


def test_a_call_cancelled_while_its_old_run_ends_is_answered_once(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        open_generator(world)
        container = await container_of(world)
        input_id = new_id("in")
        container.events.on_connected([input_id], True)
        offer(world, input_id)
        item = world.journal.open_input(input_id)
        assert item is not None
        world.dispatcher.cancel(item.call)
        container.events.on_failure(input_id, CANCELLED, 5)
        assert told(world) == ([], [0])
        assert container.inputs == []

    run(tmp_path, scenario)


def test_a_function_that_closes_answers_for_inputs_whose_old_run_has_not_ended(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        open_generator(world)
        container = await container_of(world)
        plain, spawned = new_id("in"), new_id("in")
        container.events.on_connected([plain, spawned], True)
        offer(world, plain)
        offer(world, spawned, kind=CallKind.SPAWN)
        await world.until(lambda: spawned in world.dispatcher._claims.old_runs._waiting)
        # As a service does that stops: what was spawned runs in its next life.
        world.dispatcher.keep_durable()
        await world.dispatcher.close_function(GENERATOR, 0.0, "the app has stopped")
        message = world.client.take()
        assert message is not None
        assert [(output.input_id, output.failure.kind) for output in message.outputs if output.failure] == [
            (plain, FailureKind.CANCELLED)
        ]
        assert [item.input_id for item in await world.journal._store.open_inputs()] == [spawned]

    run(tmp_path, scenario)


def test_what_lies_behind_a_gap_is_not_kept_for_the_caller() -> None:
    from wherry_proto.messages import Yield

    item = Input("in-1", Call("fc-1", "fu-1", CallKind.GENERATOR, None, ""), 0, payload())

    def keep(index: int) -> bool:
        return item.keep_yield(Yield(input_id="in-1", index=index, payload=payload()))

    assert [keep(0), keep(2), keep(1), keep(2), keep(2)] == [True, False, True, True, False]
    item.take_yields(7)
    assert [keep(3), keep(8), keep(7)] == [False, False, True]


def test_each_run_has_a_number_that_no_other_life_has_given() -> None:
    runs, later = Runs(), Runs()
    numbers = [runs.begin("in-1"), runs.begin("in-1"), later.begin("in-1")]
    assert len(set(numbers)) == 3
    runs.value("in-1", numbers[1], 0)
    runs.value("in-1", numbers[1], 1)
    with pytest.raises(ProtocolError, match="value 3 of a generator where value 2 was next"):
        runs.value("in-1", numbers[1], 3)
    with pytest.raises(ProtocolError, match="a run that it was not given"):
        runs.value("in-1", numbers[0], 2)
    with pytest.raises(ProtocolError, match="after 3 values, of which 2 came"):
        runs.answer("in-1", numbers[1], 3)
    # What it does not know, from another life, is left to those who know that nobody waits for it.
    runs.value("in-2", 7, 240)
    runs.answer("in-2", 7, 300)
