"""Each input of a `spawn_map` is a call of its own, by an id that is made of the input's."""

from pathlib import Path

import pytest

from tests.unit.service.test_dispatcher import FUNCTION, World, run
from wherry.call_graph import roots_of
from wherry_proto.messages import CallGraph, CallGraphNode, CallKind, CallState, FailureKind, Output
from wherry_service.calls.call import Call, Input
from wherry_service.calls.graph import around
from wherry_service.errors import NotFound
from wherry_service.ids import call_of_input, input_of_call, new_id
from wherry_service.store.calls import CallStore
from wherry_service.store.environments import EnvironmentStore


async def told(world: World, call_id: str, only: int | None = None) -> tuple[CallState, list[Output]]:
    """Watch a call, and return how it stands with the outputs that it has."""
    world.journal.watching.watch(world.client, call_id, only)
    outputs: list[Output] = []
    while True:
        message = await world.message()
        outputs += [output for output in message.outputs if output.call_id == call_id]
        for state in message.states:
            if state.call_id == call_id:
                return state, outputs


def test_ids_of_inputs_and_their_calls() -> None:
    input_id = new_id("in")
    assert call_of_input(input_id) == f"fc-{input_id[3:]}"
    assert input_of_call(call_of_input(input_id)) == input_id


@pytest.mark.parametrize(
    ("kind", "restored", "is_own"),
    [
        (CallKind.SPAWN_MAP, False, True),
        (CallKind.SPAWN_MAP, True, True),
        (CallKind.SPAWN, True, True),
        (CallKind.SPAWN, False, False),
        (CallKind.MAP, False, False),
        (CallKind.REMOTE, False, False),
    ],
)
def test_what_code_is_told_of_its_call(kind: CallKind, restored: bool, is_own: bool) -> None:
    call = Call(new_id("fc"), FUNCTION, kind, None, "")
    call.restored = restored
    item = Input(new_id("in"), call, 0, None)  # type: ignore[arg-type]
    assert item.shown_call_id == (call_of_input(item.input_id) if is_own else call.call_id)


def test_an_input_is_watched_while_it_runs_and_afterwards(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        first, second, third = world.call(3, CallKind.SPAWN_MAP)
        await world.until(lambda: any(c.inputs for c in world.node.containers))
        await world.until(lambda: len(world.journal.call(next(iter(world.client.calls))).open) == 3)  # type: ignore[union-attr]
        assert world.journal.function_of(call_of_input(second)) == FUNCTION
        state, outputs = await told(world, call_of_input(first))
        assert (state.known, state.num_inputs, state.num_done, outputs) == (True, 1, 0, [])
        world.node.containers[0].finish(1)
        (output,) = await world.receive(1)
        assert (output.call_id, output.index, output.input_id) == (call_of_input(first), 0, first)
        state, (again,) = await told(world, call_of_input(first))
        assert (state.num_done, again.payload) == (1, output.payload)
        await world.work_until(lambda: world.journal.num_open == 0)
        state, (last,) = await told(world, call_of_input(third))
        assert (state.num_inputs, state.num_done, last.index) == (1, 1, 0)
        # What nobody has spawned is no call.
        (plain,) = world.call(1)
        for unknown in (call_of_input(plain), new_id("fc")):
            state, outputs = await told(world, unknown)
            assert (state.known, outputs) == (False, [])

    run(tmp_path, scenario, max_containers=1)


def test_of_a_call_of_many_one_output_is_told_alone(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        ids = world.call(3, CallKind.SPAWN_MAP)
        (call_id,) = world.client.calls
        await world.work_until(lambda: world.journal.num_open == 0)
        state, outputs = await told(world, call_id, only=1)
        assert (state.known, state.num_inputs, state.num_done) == (True, 3, 3)
        assert [(output.index, output.input_id) for output in outputs] == [(1, ids[1])]
        state, outputs = await told(world, call_id, only=7)
        assert (state.known, outputs) == (True, [])
        # An input's own id names one input.
        state, outputs = await told(world, call_of_input(ids[2]), only=0)
        assert [(state.num_inputs, output.input_id) for output in outputs] == [(1, ids[2])]

    run(tmp_path, scenario, max_containers=1)


def test_an_input_is_cancelled_alone(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        first, second, third = world.call(3, CallKind.SPAWN_MAP)
        await world.until(lambda: any(c.inputs for c in world.node.containers))
        items = {one: world.journal.open_input(one) for one in (first, second, third)}
        alone = [item for one, item in items.items() if one != third and item is not None]
        world.dispatcher.cancel_all([], alone=alone)
        call = world.journal.call(next(iter(world.client.calls)))
        assert call is not None
        await world.until(lambda: second not in call.open)
        assert world.node.containers[0].cancelled == [first]
        _, (output,) = await told(world, call_of_input(second))
        assert output.failure is not None
        assert output.failure.kind == FailureKind.CANCELLED
        assert not call.open[third].is_cancelled
        await world.work_until(lambda: third not in call.open)
        _, (output,) = await told(world, call_of_input(third))
        assert output.failure is None

    run(tmp_path, scenario, max_containers=1)


def test_the_disk_knows_where_an_input_belongs(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        ids = world.call(2, CallKind.SPAWN_MAP)
        (call_id,) = world.client.calls
        await world.work_until(lambda: world.journal.num_open == 0)
        store = CallStore(world.database)
        assert await store.call_of(ids[1]) == call_id
        assert await store.call_of(new_id("in")) is None
        assert await EnvironmentStore(world.database).of_call(call_of_input(ids[1])) is None  # no app has the function
        graph = await world.journal.graph(call_of_input(ids[1]))
        assert [(node.input_id, node.call_id) for node in graph.nodes] == [(ids[1], call_of_input(ids[1]))]
        with pytest.raises(NotFound):
            await world.journal.graph(new_id("fc"))

    run(tmp_path, scenario, max_containers=1)


def test_the_graph_of_an_input_is_a_part_of_its_calls() -> None:
    ids = [new_id("in") for _ in range(7)]
    # A request (0) has made the call of 1 and 2; 1 has led to 3, and that to 4; 2 to 5; 6 is another root.
    parents = ["", ids[0], ids[0], ids[1], ids[3], ids[2], ""]
    nodes = [
        CallGraphNode(input_id=i, call_id="fc-whole", parent_input_id=p) for i, p in zip(ids, parents, strict=True)
    ]
    found = around(CallGraph(nodes=nodes, truncated=True), ids[1])
    assert found is not None
    assert [(node.input_id, node.parent_input_id) for node in found.nodes] == [
        (ids[0], ""), (ids[1], ids[0]), (ids[3], ids[1]), (ids[4], ids[3])
    ]  # fmt: skip
    assert [node.call_id for node in found.nodes[:2]] == ["fc-whole", call_of_input(ids[1])]
    assert found.truncated
    assert nodes[1].call_id == "fc-whole"
    top = around(CallGraph(nodes=nodes), ids[0])
    assert top is not None
    assert [node.input_id for node in top.nodes] == ids[:6]
    assert around(CallGraph(nodes=nodes), new_id("in")) is None


def test_a_graph_begins_with_what_led_to_the_call(tmp_path: Path) -> None:
    """Also where that was not spawned itself: a web request, or a plain call from outside."""

    async def scenario(world: World) -> None:
        (request,) = world.call(1, CallKind.REMOTE)
        (asked,) = world.client.calls
        await world.until(lambda: any(c.inputs for c in world.node.containers))
        first, second = world.call(2, CallKind.SPAWN, parent=request)
        (job,) = world.client.calls - {asked}
        (deep,) = world.call(1, CallKind.REMOTE, parent=second)
        (below_it,) = world.client.calls - {asked, job}
        for call_id in (asked, job, below_it):
            graph = await world.journal.graph(call_id)
            assert [(node.input_id, node.parent_input_id) for node in graph.nodes] == [
                (request, ""), (first, request), (second, request), (deep, second)
            ]  # fmt: skip
        (root,) = roots_of(graph)
        assert [child.function_call_id for child in root.children] == [job, job]

    run(tmp_path, scenario, max_containers=1)
