"""What many inputs cost when they end: counted, never timed."""

import asyncio
import gc
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.fakes.node import payload
from tests.unit.service.test_dispatcher import FUNCTION, World, run
from wherry_proto.messages import CallKind, FailureKind
from wherry_proto.messages import Input as InputMessage
from wherry_service.calls import graph
from wherry_service.calls.call import Call
from wherry_service.store.calls import CallStore

MANY = 1500


class Statements:
    """Counts the statements of a kind that a database executes."""

    def __init__(self, world: World) -> None:
        self.updates = 0
        self.commits = 0
        engine = world.database._backend._engine  # type: ignore[attr-defined]
        sa.event.listen(engine, "before_cursor_execute", self._count)
        sa.event.listen(engine, "commit", self._committed)

    def _count(
        self, _connection: Any, _cursor: Any, statement: str, _parameters: Any, _context: Any, many: bool
    ) -> None:
        self.updates += statement.lower().startswith(("update", "insert", "delete"))

    def _committed(self, _connection: Any) -> None:
        self.commits += 1


class CountedDeque(deque[Any]):
    """Counts how often somebody looks at all of it."""

    looked = 0

    def __iter__(self) -> Iterator[Any]:
        type(self).looked += 1
        return super().__iter__()


async def spawned(world: World, count: int, kind: int = CallKind.SPAWN_MAP) -> list[str]:
    ids = world.call(count, kind)
    told: list[str] = []
    while len(told) < count:
        told += (await world.message()).accepted
    assert sorted(told) == sorted(ids)
    return ids


async def nothing_left(world: World) -> None:
    await world.until(lambda: not world.journal._inputs and not world.journal._calls and not world.journal._tasks)


def test_a_large_call_is_cancelled_with_few_statements_and_gives_its_memory_back(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await spawned(world, MANY)
        (call,) = world.journal.calls_of(world.client)
        world.journal.end(call, MANY)
        await world.until(lambda: bool(world.node.containers and world.node.containers[0].inputs))
        running = {item.input_id for item in world.node.containers[0].inputs}
        counted = Statements(world)
        world.dispatcher.cancel(call)
        assert len(world.journal._tasks) <= 1
        for input_id in running:
            world.node.containers[0].answer_cancelled(input_id)
        stored_id = call.call_id
        del call
        await nothing_left(world)
        # 500 a statement, those of the container, and the graph.
        assert counted.updates <= MANY // 500 + len(running) + 6
        outputs = await CallStore(world.database).outputs(stored_id)
        assert outputs is not None
        assert [output.index for output in outputs.outputs] == list(range(MANY))
        kinds = {output.failure.kind for output in outputs.outputs if output.failure is not None}
        assert kinds == {FailureKind.CANCELLED}
        assert len({output.input_id for output in outputs.outputs}) == MANY
        gc.collect()
        assert not [one for one in gc.get_objects() if isinstance(one, Call) and one.call_id == stored_id]

    run(tmp_path, scenario, max_containers=1)


def test_many_calls_are_cancelled_without_looking_through_the_queue_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(world: World) -> None:
        queue = world.dispatcher.queue(FUNCTION)
        assert queue is not None
        queue._waiting = CountedDeque()
        for _ in range(MANY):
            world.call(1)
        calls = world.journal.calls_of(world.client)
        monkeypatch.setattr(CountedDeque, "looked", 0)
        pumped = []
        monkeypatch.setattr(world.dispatcher, "_pump", pumped.append)
        world.dispatcher.cancel_all(calls)
        assert CountedDeque.looked <= 3
        assert len(pumped) == 1
        assert len(queue) == 0
        assert len(queue._waiting) <= 1001
        assert len(await world.receive(MANY - 1)) >= MANY - 1

    run(tmp_path, scenario, max_containers=1)


def test_an_app_that_stops_with_a_backlog_writes_its_ends_together(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        for _ in range(MANY // 10):
            world.call(1, CallKind.SPAWN)
        told = 0
        while told < MANY // 10:
            told += len((await world.message()).accepted)
        await world.until(lambda: bool(world.node.containers and world.node.containers[0].inputs))
        counted = Statements(world)
        await world.dispatcher.close_function(FUNCTION, 0.01, "The app was stopped.")
        await nothing_left(world)
        assert counted.updates <= 40
        assert await CallStore(world.database).open_inputs() == []

    run(tmp_path, scenario, max_containers=1)


def test_an_input_that_is_cancelled_before_it_is_on_disk_ends_there_and_never_runs(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(3, CallKind.SPAWN_MAP)
        (call,) = world.journal.calls_of(world.client)
        world.journal.end(call, 3)
        # Nothing was written yet: no turn of the loop has passed.
        world.dispatcher.cancel(call)
        await nothing_left(world)
        assert await CallStore(world.database).open_inputs() == []
        assert not [item for container in world.node.containers for item in container.inputs]

    run(tmp_path, scenario, max_containers=1)


def test_results_on_disk_are_not_kept_in_memory_and_whoever_watches_gets_each(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        ids = await spawned(world, 400)
        (call,) = world.journal.calls_of(world.client)
        await world.until(lambda: bool(world.node.containers and world.node.containers[0].inputs))
        container = world.node.containers[0]
        while call.num_done < 200:
            container.finish()
            await asyncio.sleep(0)
        assert not call.finished
        assert len(world.journal._inputs) == len(call.open)
        # Some end while the disk is read.
        world.journal.watching.watch(world.client, call.call_id)
        world.journal.end(call, 400)
        found: set[str] = set()
        collector = asyncio.ensure_future(_collect(world, found))
        while len(found) < 400:
            container.finish()
            await asyncio.sleep(0)
        collector.cancel()
        assert found == set(ids)
        await nothing_left(world)

    run(tmp_path, scenario, max_containers=1)


async def _collect(world: World, found: set[str]) -> None:
    while True:
        found.update(output.input_id for output in (await world.message()).outputs)


def test_an_input_offered_again_after_its_end_is_confirmed_and_stays_one_node(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        ids = await spawned(world, 2)
        (call,) = world.journal.calls_of(world.client)
        await world.until(lambda: bool(world.node.containers and world.node.containers[0].inputs))
        world.node.containers[0].finish(1)
        await world.until(lambda: call.num_done == 1)
        again = [InputMessage(input_id=ids[0], call_id=call.call_id, index=0, payload=payload())]
        fresh = world.journal.new_inputs(again)
        world.journal.save(world.client, fresh, world.dispatcher.submit)
        assert (await world.message()).accepted == [ids[0]]
        assert [node.input_id for node in (await world.journal.graph(call.call_id)).nodes] == ids
        assert list(call.open) == [ids[1]]

    run(tmp_path, scenario, max_containers=1)


def test_graphs_that_have_ended_are_bounded_by_their_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "MAX_ENDED_NODES", 50)

    async def scenario(world: World) -> None:
        for _ in range(5):
            await spawned(world, 20)
            (call,) = world.journal.calls_of(world.client)
            world.journal.end(call, 20)
            world.dispatcher.cancel(call)
            while world.journal.calls_of(world.client):
                for container in world.node.running():
                    for input_id in list(container.cancelled):
                        container.answer_cancelled(input_id)
                    container.cancelled.clear()
                await asyncio.sleep(0.001)
        assert len(world.journal.graphs._nodes) <= 50

    run(tmp_path, scenario, max_containers=1)
