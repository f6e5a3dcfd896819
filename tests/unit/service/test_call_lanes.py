"""Containers over time, with the inputs that they ran."""

from pathlib import Path

import pytest

from tests.unit.service.test_dispatcher import FUNCTION, World, run
from wherry_proto.messages import RecordState
from wherry_service.calls.lanes import LaneKeeper, seen_in
from wherry_service.node.events import UNNEEDED, ContainerExit
from wherry_service.pools.container import MAX_HISTORY, State
from wherry_service.records import lanes as lanes_module
from wherry_service.records.lanes import Lanes, Window


def lanes_of(world: World) -> Lanes:
    recorder = world.journal.recorder
    lanes = Lanes(
        recorder.records,
        lambda: recorder.open_inputs(world.journal.known_inputs()),
        lambda: seen_in(world.pools),
    )
    world.dispatcher.watchers.append(LaneKeeper(lanes))
    return lanes


def test_a_container_has_its_states_and_its_inputs(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        lanes = lanes_of(world)
        ids = world.call(2)
        await world.until(lambda: sum(len(c.inputs) for c in world.node.running()) == 2)
        first, second = world.node.running()
        first.finish()
        found = {lane.container_id: lane for lane in await lanes.select(Window("main", bars=10))}
        lane = found[first.container_id]
        assert [one.state for one in lane.transitions] == ["creating", "starting", "idle", "busy", "idle"]
        assert [one.at_ms for one in lane.transitions] == sorted(one.at_ms for one in lane.transitions)
        assert [(bar.outcome, bar.end_ms > 0) for bar in lane.bars] == [(RecordState.SUCCEEDED, True)]
        assert [(bar.outcome, bar.end_ms) for bar in found[second.container_id].bars] == [(RecordState.RUNNING, 0)]
        assert {bar.input_id for lane in found.values() for bar in lane.bars} == set(ids)
        first.exit(ContainerExit(exit_code=3))
        (gone,) = await lanes.select(Window("main", container_id=first.container_id))
        assert (gone.ended, gone.transitions[-1].state, gone.bars) == ("exited with code 3", "stopped", ())
        assert gone.failed
        assert await lanes.select(Window("elsewhere")) == []
        assert len(await lanes.select(Window("main", "app", FUNCTION, limit=1))) == 1
        # Times are read off two clocks: they may differ by a millisecond from one answer to the next.
        before_ms = lane.transitions[0].at_ms - 5
        assert await lanes.select(Window("main", until_ms=before_ms)) == []
        after_ms = gone.transitions[-1].at_ms + 5
        there = await lanes.select(Window("main", since_ms=after_ms))
        assert [one.container_id for one in there] == [second.container_id]

    run(tmp_path, scenario, max_containers=2)


@pytest.mark.parametrize(
    ("exit", "failed"),
    [
        (ContainerExit(exit_code=0), False),
        (ContainerExit(exit_code=137, reason="was stopped (wherry container stop)"), False),
        (ContainerExit(reason=UNNEEDED), False),
        (ContainerExit(exit_code=1), True),
        (ContainerExit(exit_code=137), True),
        (ContainerExit(), True),
        (ContainerExit(exit_code=0, oom_killed=True), True),
        (ContainerExit(exit_code=137, reason="broke the runner protocol: nonsense"), True),
        (ContainerExit(exit_code=137, reason="did not stop its input 30 s after its time-out"), True),
    ],
)
def test_a_container_that_was_told_to_end_has_not_failed(exit: ContainerExit, failed: bool) -> None:
    assert exit.is_failure is failed


def test_bars_and_lanes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes_module, "MAX_BARS", 4)
    monkeypatch.setattr(lanes_module, "MAX_LANES", 2)

    async def scenario(world: World) -> None:
        lanes = lanes_of(world)
        world.call(10)
        await world.work_until(lambda: len(world.outputs) == 10)
        (lane,) = await lanes.select(Window("main", bars=100))
        assert (len(lane.bars), lane.bars_truncated) == (4, True)
        for _ in range(4):
            world.call(1)
            await world.until(lambda: any(c.inputs for c in world.node.running()))
            next(c for c in world.node.running() if c.inputs).exit(ContainerExit(exit_code=3))
        assert len(lanes) == 2

    run(tmp_path, scenario, max_containers=1)


def test_states_of_a_container_are_bounded_and_its_beginning_stays(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(1)
        await world.work_until(lambda: len(world.outputs) == 1)
        pool = world.pools.get(FUNCTION)
        assert pool is not None
        (container,) = pool.containers.values()
        for _ in range(2 * MAX_HISTORY):
            container.move(State.BUSY)
            container.move(State.IDLE)
        assert MAX_HISTORY // 2 < len(container.history) <= MAX_HISTORY
        assert [state for state, _ in container.history[:3]] == [State.CREATING, State.STARTING, State.IDLE]
        assert container.history[-1][0] == State.IDLE

    run(tmp_path, scenario)
