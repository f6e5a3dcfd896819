"""What is counted of functions: tallies, percentiles, minutes on disk and points of the last ten minutes."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.databases import Disk, SqliteDisks
from tests.fakes.calls import named
from tests.unit.service.test_dispatcher import FUNCTION, World, run
from wherry_proto.messages import CallKind, RecordState
from wherry_service.errors import InvalidRequest
from wherry_service.ids import new_id
from wherry_service.node.events import ContainerExit
from wherry_service.records import tally
from wherry_service.records.records import CallRecords
from wherry_service.records.rollup import Rollup
from wherry_service.records.rows import PlainRow
from wherry_service.records.settings import RecordSettings
from wherry_service.records.stats import Statistics
from wherry_service.records.tally import Gauges, Tally
from wherry_service.store import rollups
from wherry_service.store.database import Database
from wherry_service.store.rollups import HOUR_MS, MINUTE_MS, MINUTES_FOR_MS, Asked, RollupRow, RollupStore

START_MS = 1_800_000_000_000 // HOUR_MS * HOUR_MS


def ended(queue_ms: int, run_ms: int, state: int = RecordState.SUCCEEDED) -> PlainRow:
    facts = ("fc-1", CallKind.MAP, "", 0)
    return (
        START_MS,
        new_id("in"),
        facts,
        0,
        "",
        START_MS + queue_ms,
        START_MS + queue_ms + run_ms,
        "co-1",
        0,
        0,
        1,
        1,
        state,
    )


class Clocked:
    """A rollup whose clock is the test's."""

    def __init__(self, database: Database) -> None:
        self.now_ms = START_MS
        self.gauges: dict[str, Gauges] = {}
        self.records = CallRecords(RecordSettings(), named)
        self.store = RollupStore(database)
        self.rollup = Rollup(self.records, self.store, lambda: self.gauges, self.now)
        self.statistics = Statistics(self.rollup, self.now)

    def now(self) -> float:
        return self.now_ms / 1000

    def end(self, *rows: PlainRow, function_id: str = "fu-1") -> None:
        self.records.function(function_id).tally.ended(rows)

    async def turn(self, ms: int) -> None:
        self.now_ms += ms
        self.rollup.turn()
        await self.rollup.write()


def clocked(disk: Disk, scenario: Callable[[Clocked], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        database = disk.database()
        try:
            await scenario(Clocked(database))
        finally:
            database.close()

    asyncio.run(main())


def test_percentiles_lie_in_their_buckets() -> None:
    counts = Tally()
    counts.ended(ended(3, 40 if number < 90 else 4000) for number in range(100))
    run_s = tally.percentiles(tally.run_buckets(counts.counts), counts.counts[tally.RUN_MS])
    assert 0.025 < run_s.p50 <= 0.05
    assert 2.5 < run_s.p95 < run_s.p99 <= 5.0
    assert run_s.mean == pytest.approx((90 * 0.04 + 10 * 4.0) / 100)
    assert run_s.count == 100
    assert tally.percentile([0] * tally.BUCKETS, 0.5) == 0.0
    assert tally.percentile([0] * (tally.BUCKETS - 1) + [3], 0.5) == 86_400.0


def test_a_batch_is_counted_as_its_inputs_would_be() -> None:
    one, many = Tally(), Tally()
    one.succeeded(4, 3, 30, 7)
    many.ended([ended(3, 7), ended(3, 7), ended(30, 7), ended(30, 7)])
    assert one.counts == many.counts


def test_counts_are_written_and_read() -> None:
    counts = Tally()
    counts.ended([ended(3, 7), ended(1, 10**9, RecordState.LOST)])
    counts.count(tally.COLD_STARTS)
    assert tally.read(tally.text_of(counts.counts)) == counts.counts
    assert tally.read("") == tally.empty()
    assert len(tally.read("1," * 500)) == tally.LENGTH


def test_what_ended_is_counted_in_its_minute(disk: Disk) -> None:
    async def scenario(world: Clocked) -> None:
        world.end(ended(5, 10), ended(5, 10, RecordState.FAILED))
        # Neither written nor over.
        assert (await world.statistics.stats("main", "", "", 0, 0)).total.counts.succeeded == 1  # type: ignore[union-attr]
        await world.turn(60_000)
        world.end(ended(5, 10, RecordState.TIMEOUT), function_id="fu-2")
        world.gauges = {"fu-2": Gauges(3, 2, 1)}
        await world.turn(1_000)
        world.gauges = {"fu-2": Gauges(1, 0, 1)}
        await world.turn(59_000)
        await world.turn(60_000)
        found = await world.statistics.series("main", "", "", START_MS, 0, 60_000)
        assert [one.at_ms - START_MS for one in found.points][:2] == [0, 60_000]
        first, second = found.points[:2]
        assert (first.counts.succeeded, first.counts.failed, first.counts.timeout) == (1, 1, 0)  # type: ignore[union-attr]
        assert (second.counts.timeout, second.backlog, second.running, second.containers) == (1, 3, 2, 1)  # type: ignore[union-attr]
        stats = await world.statistics.stats("main", "app", "fu-2", START_MS, 0)
        (one,) = stats.functions
        assert (one.function_id, one.counts.timeout, one.backlog) == ("fu-2", 1, 1)  # type: ignore[union-attr]
        assert (await world.statistics.stats("elsewhere", "", "", 0, 0)).functions == []
        # Another life reads the same.
        again = Rollup(CallRecords(RecordSettings(), named), world.store, dict, world.now)
        points = await again.minutes(Asked("main", "", "", START_MS, START_MS + 60_000), list)
        assert [point.counts[tally.SUCCEEDED] for point in points] == [1]

    clocked(disk, scenario)


def test_points_of_five_seconds_are_kept_for_ten_minutes(disk: Disk) -> None:
    async def scenario(world: Clocked) -> None:
        for _ in range(200):
            world.end(ended(1, 1))
            await world.turn(5_000)
        found = await world.statistics.series("main", "", "", 0, 0, 5_000)
        assert found.step_ms == 5_000
        assert len(found.points) == 120
        assert all(one.counts.succeeded == 1 for one in found.points)  # type: ignore[union-attr]

    clocked(disk, scenario)


def test_old_minutes_become_hours_and_old_hours_go(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollups, "_AT_ONCE", 50)

    async def scenario(world: Clocked) -> None:
        for _ in range(120):
            world.end(ended(1, 1))
            await world.turn(60_000)
        until_ms = world.now_ms
        world.now_ms += MINUTES_FOR_MS
        await world.rollup.compact(30)
        rows = await world.store.between(Asked("main", "", "", 0, until_ms), list)
        assert sum(tally.read(row.counts)[tally.SUCCEEDED] for row in rows) == 120
        assert len(rows) <= 4
        world.now_ms += 31 * 24 * HOUR_MS
        await world.rollup.compact(30)
        assert await world.store.between(Asked("main", "", "", 0, world.now_ms), list) == []
        monkeypatch.setattr(rollups, "MAX_ROWS", 3)
        for _ in range(5):
            world.end(ended(1, 1))
            await world.turn(60_000)
        await world.rollup.compact(30)
        assert len(await world.store.between(Asked("main", "", "", 0, world.now_ms), list)) == 3

    clocked(disk, scenario)


def row_of(minute: int, function: int, environment: str = "main", app: str = "shop") -> RollupRow:
    counts = tally.text_of([1, *tally.empty()[1:]])
    names = (environment, f"ap-{app}", app, f"fu-{app}-{function}", f"f{function}")
    return RollupRow(START_MS + minute * MINUTE_MS, MINUTE_MS, *names, counts, 1, 1, 1)


def test_the_disk_gives_only_rows_of_the_app_and_function_that_are_asked_for(disk: Disk) -> None:
    async def scenario(world: Clocked) -> None:
        await world.store.add(
            [row_of(0, 1), row_of(0, 2), row_of(1, 1), row_of(0, 1, app="other"), row_of(0, 1, environment="else")]
        )
        end_ms = START_MS + HOUR_MS
        for app, function, count in (
            ("", "", 4),
            ("shop", "", 3),
            ("ap-shop", "", 3),
            ("shop", "f1", 2),
            ("shop", "fu-shop-1", 2),
            ("", "f1", 3),
            ("shop", "f3", 0),
        ):
            rows = await world.store.between(Asked("main", app, function, START_MS, end_ms), list)
            assert len(rows) == count, (app, function)

    clocked(disk, scenario)


async def longest_lag_s(work: Coroutine[Any, Any, Any]) -> float:
    """Return for how long nothing else got its turn, at most, while that ran."""
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        before = time.perf_counter()
        while True:
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            longest, before = max(longest, now - before), now

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0.01)
    await work
    await asyncio.sleep(0.01)
    ticking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await ticking
    return longest


def test_many_rows_do_not_hold_up_everybody_else(tmp_path: Path) -> None:
    async def scenario(world: Clocked) -> None:
        minutes, functions = 720, 50
        await world.store.add([row_of(minute, one) for minute in range(minutes) for one in range(functions)])
        world.now_ms = START_MS + minutes * MINUTE_MS
        begun = time.perf_counter()
        lags = [
            await longest_lag_s(world.statistics.series("main", "", "", START_MS, 0, HOUR_MS)),
            await longest_lag_s(world.statistics.stats("main", "", "", START_MS, 0)),
        ]
        # Of what they take, a small part at a time: switching threads takes some milliseconds each.
        took = time.perf_counter() - begun
        assert max(lags) < max(0.05, took / 8), (lags, took)
        found = await world.statistics.series("main", "", "", START_MS, 0, HOUR_MS)
        assert sum(one.counts.succeeded for one in found.points if one.counts is not None) == minutes * functions

    with SqliteDisks().fresh(tmp_path) as disk:
        clocked(disk, scenario)


def test_steps_are_whole_minutes_and_not_too_many(disk: Disk) -> None:
    async def scenario(world: Clocked) -> None:
        with pytest.raises(InvalidRequest, match="step_ms is 1000: it is a multiple of 60000, or 5000"):
            await world.statistics.series("main", "", "", 0, 0, 1000)
        with pytest.raises(InvalidRequest, match="2000 is the most"):
            await world.statistics.series("main", "", "", 1, 0, 60_000)
        day = await world.statistics.series("main", "", "", START_MS - 24 * HOUR_MS, 0, 0)
        assert day.step_ms == 300_000

    clocked(disk, scenario)


def test_the_dispatcher_counts_what_happens(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(3)
        await world.until(lambda: any(c.inputs for c in world.node.running()))
        assert world.dispatcher.gauges()[FUNCTION].running >= 1
        next(c for c in world.node.running() if c.inputs).exit(ContainerExit(exit_code=139))
        await world.until(lambda: any(c.inputs for c in world.node.running()))
        next(c for c in world.node.running() if c.inputs).fail()
        await world.work_until(lambda: len(world.outputs) == 3)
        world.records().settle()
        own = world.records().function(FUNCTION).tally
        assert own.calls == {CallKind.MAP: 1}
        assert (own.counts[tally.SUCCEEDED], own.counts[tally.FAILED], own.counts[tally.LOSSES]) == (2, 1, 1)
        assert own.counts[tally.COLD_STARTS] == len(world.node.containers)
        assert sum(tally.run_buckets(own.counts)) == 3

    run(tmp_path, scenario)
