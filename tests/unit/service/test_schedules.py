"""Schedules: each tick once, whatever ends the service in between."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.databases import Disk, Disks
from tests.fakes.clock import run_fast
from tests.fakes.schedules import APP, FUNCTION, START_MS, Killed, World, run
from wherry_proto.messages import CallKind, Failure, FailureKind, FunctionSpec, ScheduledState, ScheduleSpec
from wherry_service.errors import NotFound, Unready
from wherry_service.ids import new_id
from wherry_service.recovery import restored
from wherry_service.schedules.schedules import STALLED_MS, Schedules
from wherry_service.schedules.settings import ScheduleSettings
from wherry_service.schedules.ticks import ticks_of
from wherry_service.store.schedules import KEEP_RUNS_MS
from wherry_service.store.trouble import StorageFull

Step = tuple[Any, ...]

STEP: "st.SearchStrategy[Step]" = st.one_of(
    st.tuples(st.just("move"), st.integers(0, STALLED_MS - 1)),
    st.tuples(st.just("move"), st.integers(0, STALLED_MS - 1)),
    st.tuples(st.just("stall"), st.integers(STALLED_MS, 10 * STALLED_MS)),
    st.tuples(st.just("back"), st.integers(0, 3 * STALLED_MS)),
    st.tuples(st.just("restart"), st.integers(0, 5 * STALLED_MS)),
    st.tuples(st.just("killed before the write"), st.integers(0, STALLED_MS)),
    st.tuples(st.just("killed after the write"), st.integers(0, STALLED_MS)),
    st.tuples(st.just("publish")),
    st.tuples(st.just("pause")),
    st.tuples(st.just("resume")),
)
SCHEDULES = st.sampled_from(
    [
        ScheduleSpec(seconds=1),
        ScheduleSpec(seconds=2.5),
        ScheduleSpec(seconds=40),
        ScheduleSpec(minutes=2),
        ScheduleSpec(cron="* * * * *", timezone="Europe/Berlin"),
        ScheduleSpec(cron="*/3 * * * *"),
    ]
)


def grid(spec: ScheduleSpec, after_ms: int, until_ms: int) -> list[int]:
    """The ticks of a span, as ms from the start, reckoned another way than the service does."""
    if spec.cron:
        every, first = {"*": 60_000, "*/3": 180_000}[spec.cron.split()[0]], 0
    else:
        every, first = round(spec.seconds * 1000) + spec.minutes * 60_000, START_MS + 0
    number = (START_MS + after_ms - first) // every + 1
    found = []
    while (tick := first + number * every) <= START_MS + until_ms:
        if tick > START_MS:
            found.append(tick - START_MS)
        number += 1
    return found


@given(SCHEDULES, st.lists(STEP, max_size=14))
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_b61_each_tick_is_run_once_over_restarts_and_kills(disks: Disks, spec: ScheduleSpec, steps: list[Step]) -> None:
    async def scenario(world: World) -> None:
        # Until then all is settled; ticks that must have been run, and those that must not.
        seen, paused, missed = 0, False, False
        wanted: set[int] = set()
        unwanted: set[int] = set()
        begun: set[int] = set()

        async def look() -> None:
            nonlocal seen, missed
            await world.schedules.turn()
            now = world.clock.ms - START_MS
            ticks = grid(spec, seen, now)
            if paused:
                unwanted.update(ticks)
            elif not missed:
                wanted.update(ticks)
            elif ticks:
                wanted.add(ticks[-1])
                unwanted.update(set(ticks[:-1]) - begun)
            seen, missed = max(seen, now), False

        for verb, *rest in [*steps, ("move", 0)]:
            if verb in ("move", "stall", "back"):
                world.clock.ms += -rest[0] if verb == "back" else rest[0]
                now = world.clock.ms - START_MS
                first = next(iter(grid(spec, seen, now)), now)
                missed |= now - first > STALLED_MS
                await look()
            elif verb == "publish":
                await world.begin()
            elif verb in ("pause", "resume"):
                await look()
                await getattr(world.schedules, verb)(FUNCTION)
                paused = verb == "pause"
                # From now on: where the clock was set back, ticks that were passed over come again.
                now = world.clock.ms - START_MS
                unwanted = {ms for ms in unwanted if paused or ms <= now}
            else:
                world.clock.ms += rest[0] if verb != "restart" else 0
                if verb != "restart":
                    world.store.kill_next = "before" in verb
                    world.host.kill_next = "after" in verb
                    try:
                        await look()
                    except Killed:
                        begun.update(ms for ms, _ in await world.runs())
                world.clock.ms += rest[0]
                await world.restart()
                missed = True
                await look()
        runs = await world.runs()
        ticks = [ms for ms, _ in runs]
        assert len(set(ticks)) == len(ticks)
        assert wanted - set(ticks) == set(), "a tick was not run"
        assert unwanted & set(ticks) == set(), "a tick was run that was missed, or paused"
        assert set(ticks) <= set(grid(spec, 0, seen))
        # Each has its one input, and there are no others.
        assert sorted(call_id for _, call_id in runs) == sorted(await world.written())

    with tempfile.TemporaryDirectory() as folder, disks.fresh(Path(folder)) as disk:
        run(disk, scenario, spec)


def test_b61_a_tick_that_was_written_and_not_queued_is_left_to_the_next_life(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        world.host.kill_next = True
        with pytest.raises(Killed):
            await world.move(10)
        await world.restart()
        await world.schedules.turn()
        assert await world.ticks() == [10]
        assert world.host.items == []
        (left,) = await world.calls.open_inputs()
        assert (left.function_id, left.call_id) == (FUNCTION, (await world.runs())[0][1])

    run(disk, scenario)


def test_after_downtime_the_newest_missed_tick_is_run(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        assert await world.move(10) == 10
        world.clock.ms += 95_000
        await world.restart()
        await world.schedules.turn()
        assert await world.ticks() == [10, 100]
        assert await world.move(1) == 4

    run(disk, scenario)


def test_after_downtime_nothing_is_run_where_the_settings_say_so(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        world.clock.ms += 95_000
        await world.restart()
        assert await world.schedules.turn() == 5
        assert await world.ticks() == []
        await world.move(5)
        assert await world.ticks() == [100]

    run(disk, scenario, settings=ScheduleSettings.from_environment({"WHERRY_SCHEDULE_CATCH_UP": "none"}))
    assert ScheduleSettings.from_environment({}) == ScheduleSettings("newest")
    with pytest.raises(Unready, match="WHERRY_SCHEDULE_CATCH_UP is 'all': it must be 'newest' or 'none'"):
        ScheduleSettings.from_environment({"WHERRY_SCHEDULE_CATCH_UP": "all"})


def test_a_service_that_is_slow_for_a_moment_runs_every_tick_of_it(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        await world.move(45)
        assert await world.ticks() == [10, 20, 30, 40]
        assert len(world.host.items) == 4

    run(disk, scenario)


def test_a_computer_that_slept_was_as_good_as_down(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        await world.move(1)
        await world.move(3600)
        assert await world.ticks() == [3600]

    run(disk, scenario)


def test_a_clock_that_is_set_back_runs_nothing_twice(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        await world.move(20)
        await world.move(-15)
        await world.move(14)
        assert await world.ticks() == [10, 20]
        await world.move(11)
        assert await world.ticks() == [10, 20, 30]

    run(disk, scenario)


def test_a_deploy_that_leaves_the_schedule_as_it_is_leaves_its_ticks_too(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        world.clock.ms += 7000
        await world.begin()
        await world.move(3)
        assert await world.ticks() == [10]
        world.spec = FunctionSpec(name="f", schedule=ScheduleSpec(seconds=4))
        await world.begin()
        await world.move(3.9)
        assert await world.ticks() == [10]
        await world.move(0.1)
        assert await world.ticks() == [10, 14]

    run(disk, scenario)


def test_a_function_without_schedule_and_a_stopped_app_run_no_more(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        await world.move(10)
        kept = world.spec
        world.spec = FunctionSpec(name="f")
        await world.begin()
        await world.move(10)
        assert await world.schedules.infos([APP]) == []
        world.spec = kept
        await world.begin()
        await world.move(10)
        await world.schedules.app_stopped(APP)
        await world.move(10)
        await world.restart()
        # It is begun anew: nothing that it would have run before was missed.
        await world.move(0)
        assert await world.ticks() == [10, 30]

    run(disk, scenario)


def test_a_paused_function_is_not_run_until_it_is_resumed_and_then_from_there(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        info = await world.schedules.pause(FUNCTION)
        assert (info.paused, info.next_ms) == (True, [])
        await world.move(35)
        await world.restart()
        await world.schedules.turn()
        world.spec = FunctionSpec(name="f", schedule=ScheduleSpec(seconds=20))
        # A deploy with another schedule is no reason to run what somebody stopped.
        await world.begin()
        assert (await world.schedules.info(FUNCTION)).paused
        await world.schedules.pause(FUNCTION)
        info = await world.schedules.resume(FUNCTION)
        assert [ms - START_MS for ms in info.next_ms] == [55_000, 75_000, 95_000]
        await world.schedules.resume(FUNCTION)
        await world.move(20)
        assert await world.ticks() == [55]

    run(disk, scenario)


def test_a_function_is_run_at_once_when_asked_and_once_for_each_time(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        operation_id = new_id("op")
        await world.schedules.pause(FUNCTION)
        first = await world.schedules.run_now(FUNCTION, operation_id)
        again = await world.schedules.run_now(FUNCTION, operation_id)
        assert first.last is not None
        assert again.last == first.last
        assert (first.last.manual, first.last.state) == (True, ScheduledState.RUNNING)
        assert [item.call_id for item in world.host.items] == [first.last.call_id]
        with pytest.raises(NotFound, match="function fu-2 has no schedule, or its app is not deployed"):
            await world.schedules.run_now("fu-2", operation_id)

    run(disk, scenario)


def test_who_asks_and_goes_leaves_nothing_half_done(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        for work in (world.schedules.run_now(FUNCTION, new_id("op")), world.schedules.pause(FUNCTION)):
            task = asyncio.ensure_future(work)
            # It has begun to write.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        info = await world.schedules.resume(FUNCTION)
        assert [item.call_id for item in world.host.items] == await world.written()
        assert len(world.host.items) == 1
        assert not info.paused

    run(disk, scenario)


def test_one_that_can_t_be_written_does_not_hold_up_the_others(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        spec = FunctionSpec(name="g", schedule=ScheduleSpec(seconds=10))
        await world.schedules.app_started("ap-2", [("fu-2", spec)])
        take = world.store.take

        async def broken(function_id: str, *rest: Any) -> bool:
            if function_id == FUNCTION:
                raise OSError("disk full")
            return await take(function_id, *rest)

        world.store.take = broken  # type: ignore[method-assign]
        for _ in range(3):
            with pytest.raises(OSError, match="disk full"):
                await world.move(10)
        assert [item.call.function_id for item in world.host.items] == ["fu-2"] * 3
        world.store.take = take  # type: ignore[method-assign]
        await world.move(0)
        assert [item.call.function_id for item in world.host.items][3:] == [FUNCTION] * 3

    run(disk, scenario)


def test_how_the_last_run_went_is_told_also_when_the_call_is_forgotten(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        assert (await world.schedules.info(FUNCTION)).last is None
        await world.move(10)
        run = (await world.schedules.info(FUNCTION)).last
        assert run is not None
        assert (await world.schedules.info(FUNCTION)).last_ended is None
        assert (run.tick_ms - START_MS, run.state, run.finished_at_ms) == (10_000, ScheduledState.RUNNING, 0)
        world.clock.ms += 2000
        await world.finish(Failure(kind=FailureKind.EXCEPTION, type_name="builtins.ValueError", message="no rows"))
        failed = (await world.schedules.info(FUNCTION)).last
        assert failed is not None
        assert (failed.state, failed.error) == (ScheduledState.FAILED, "ValueError: no rows")
        assert failed.finished_at_ms - START_MS == 12_000
        await world.move(8)
        both = await world.schedules.info(FUNCTION)
        assert (both.last.state if both.last else 0) == ScheduledState.RUNNING
        assert both.last_ended == failed
        await world.finish()
        # The first goes, but not the last.
        await world.schedules.pause(FUNCTION)
        await world.schedules.expire()
        world.clock.ms += KEEP_RUNS_MS + 10_000
        await world.calls.expire()
        await world.schedules.expire()
        last = (await world.schedules.info(FUNCTION)).last
        assert last is not None
        assert (last.tick_ms - START_MS, last.state, last.error) == (20_000, ScheduledState.SUCCEEDED, "")
        assert [ms for ms, _ in await world.runs()] == [20_000]
        assert await world.written() == [last.call_id]

    run(disk, scenario)


def test_a_function_whose_queue_is_full_is_not_run_and_says_so(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        world.host.is_full = True
        await world.move(10)
        last = (await world.schedules.info(FUNCTION)).last
        assert last is not None
        assert (last.state, last.error, last.call_id) == (ScheduledState.SKIPPED, "9 inputs wait already", "")
        world.host.is_full = False
        await world.move(10)
        assert len(world.host.items) == 1
        assert await world.written() == [world.host.items[0].call_id]

    run(disk, scenario)


def test_the_clock_s_loop_runs_each_tick_at_its_time_and_survives_a_bad_write(disk: Disk) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        world = World(disk, ScheduleSpec(seconds=5))
        world.clock.ms = START_MS
        began = loop.time()

        def now() -> float:
            return START_MS / 1000 + loop.time() - began

        schedules = Schedules(world.store, world.journal, world.host, now=now)
        await schedules.app_started(APP, [(FUNCTION, world.spec)])
        at: list[float] = []
        enough = asyncio.Event()

        def submit(items: Any) -> None:
            at.append(round(now() - START_MS / 1000, 3))
            world.store.kill_next = len(at) == 3
            if len(at) == 6:
                enough.set()

        world.host.submit = submit  # type: ignore[method-assign]
        original = world.store.take

        async def take(*args: Any) -> bool:
            try:
                return await original(*args)
            finally:
                world.store.kill_next = False

        world.store.take = take  # type: ignore[method-assign]
        task = asyncio.ensure_future(schedules.run())
        await enough.wait()
        task.cancel()
        world.database.close()
        # The fourth could not be written at first.
        assert at == [5, 10, 15, 21, 25, 30]

    run_fast(scenario())


def test_a_full_disk_is_told_in_one_line(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        world = World(disk, ScheduleSpec(seconds=5))
        loop = asyncio.get_running_loop()
        began = loop.time()
        schedules = Schedules(world.store, world.journal, world.host, now=lambda: START_MS / 1000 + loop.time() - began)
        await schedules.app_started(APP, [(FUNCTION, world.spec)])
        take, failures, done = world.store.take, iter(range(2)), asyncio.Event()

        async def full(*args: Any) -> bool:
            if next(failures, None) is not None:
                raise StorageFull("the disk is full")
            return await take(*args)

        world.store.take = full  # type: ignore[method-assign]
        world.host.submit = lambda items: done.set()  # type: ignore[method-assign]
        task = asyncio.ensure_future(schedules.run())
        await done.wait()
        task.cancel()
        world.database.close()

    run_fast(scenario())
    (told,) = [record for record in caplog.records if "is tried again" in record.message]
    assert told.message.endswith(": the disk is full")
    assert told.exc_info is None


def test_next_runs_are_those_that_come(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        ticks = ticks_of(ScheduleSpec(cron="0 9 * * 1-5", timezone="Europe/Berlin"), 0)
        (info,) = await world.schedules.infos([APP, "ap-2"])
        first = ticks.after(START_MS)
        assert first is not None
        assert info.next_ms[0] == first
        assert len(info.next_ms) == 3
        assert (info.function_name, info.app_id, info.schedule) == ("f", APP, world.spec.schedule)
        assert await world.schedules.infos(["ap-2"]) == []

    run(disk, scenario, ScheduleSpec(cron="0 9 * * 1-5", timezone="Europe/Berlin"))


def test_records_know_a_run_from_a_spawned_call_also_in_the_next_life(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        await world.move(10)
        (item,) = world.host.items
        rows = [row for _, row in world.journal.recorder.open_rows([item])]
        assert [(row[2][1], row[0]) for row in rows] == [(CallKind.SCHEDULE, world.clock.ms)]
        await world.restart()
        (again,) = restored(await world.calls.open_inputs(), await world.schedules.open_calls())
        assert again.call.scheduled
        assert not restored(await world.calls.open_inputs(), set())[0].call.scheduled
        world.host.items.append(again)
        await world.finish()
        await world.store.expire(world.clock.ms)
        assert await world.schedules.open_calls() == set()

    run(disk, scenario)
