"""What is kept of inputs: told by the real dispatcher and journal, asked by the reader."""

import asyncio
import itertools
from pathlib import Path

import pytest

from tests.fakes.calls import named
from tests.fakes.node import FakeContainer
from tests.unit.service.test_dispatcher import FUNCTION, World, run
from wherry_proto.messages import CallKind, FailureKind, RecordState
from wherry_proto.messages import RetryPolicy as RetryMessage
from wherry_service.calls.retry import MAX_LOSSES
from wherry_service.errors import InvalidRequest
from wherry_service.ids import new_id
from wherry_service.node.events import ContainerExit
from wherry_service.records import records as records_module
from wherry_service.records.query import Query, key_of, limit_of, text_of
from wherry_service.records.reader import Found, RecordReader
from wherry_service.records.records import CallRecords
from wherry_service.records.rows import PlainRow, Subject, first_line
from wherry_service.records.settings import RecordSettings
from wherry_service.store.call_records import CallRecordStore


def reader_of(world: World) -> RecordReader:
    recorder = world.journal.recorder
    store = CallRecordStore(world.database)
    return RecordReader(recorder.records, store, lambda: recorder.open_inputs(world.journal.known_inputs()))


async def listed(world: World, query: Query | None = None) -> list[Found]:
    found, _ = await reader_of(world).select("main", "", "", query or Query())
    return found


async def states(world: World) -> list[int]:
    return sorted(one.row.state for one in await listed(world))


async def prefetched(world: World, count: int) -> FakeContainer:
    """Have a container be given more inputs than it runs at once, since its function is quick."""
    pool = world.pools.get(FUNCTION)
    assert pool is not None
    pool.pace.seconds_per_input = 1e-6
    world.call(count)
    await world.until(lambda: any(c.inputs for c in world.node.running()))
    (container,) = world.node.running()
    assert len(container.inputs) > 1
    return container


def test_an_input_is_queued_then_running_then_succeeded(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        (input_id,) = world.call(1)
        assert await states(world) == [RecordState.QUEUED]
        await world.until(lambda: any(c.inputs for c in world.node.running()))
        (one,) = await listed(world)
        assert one.row.state == RecordState.RUNNING
        assert one.row.queued_ms <= one.row.started_ms
        container = world.node.containers[0]
        container.finish()
        (one,) = await listed(world)
        record = one.record()
        assert (record.input_id, record.state, record.kind) == (input_id, RecordState.SUCCEEDED, CallKind.MAP)
        assert (record.container_id, record.argument_bytes, record.result_bytes) == (container.container_id, 1, 3)
        assert record.queued_ms <= record.started_ms <= record.ended_ms
        assert (record.environment, record.function_id, record.retries, record.error) == ("main", FUNCTION, 0, "")
        assert [(one.container_id, one.outcome) for one in one.attempts] == [
            (container.container_id, RecordState.SUCCEEDED)
        ]

    run(tmp_path, scenario)


def test_what_waits_inside_a_container_is_still_queued(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await prefetched(world, 6)
        running = await states(world)
        assert running.count(RecordState.RUNNING) == 1
        assert running.count(RecordState.QUEUED) > 1

    run(tmp_path, scenario, max_containers=1)


def test_inputs_of_a_batch_that_ran_one_after_the_other_share_its_time(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        fake = await prefetched(world, 6)
        container = next(iter(world.pools.get(FUNCTION).containers.values()))  # type: ignore[union-attr]
        for item in container.held.values():
            item.started_ms -= 400
        container.last_end_ms = 0
        count = len(fake.inputs)
        assert count > 1
        fake.finish()
        ended = [one.row for one in await listed(world, Query(states=frozenset({RecordState.SUCCEEDED})))]
        rows = sorted(ended, key=lambda row: row.position)[-count:]
        assert all(later.started_ms == row.ended_ms for row, later in itertools.pairwise(rows))
        assert all(400 // count - 1 <= row.ended_ms - row.started_ms < 1000 for row in rows)

    run(tmp_path, scenario, max_containers=1)


def test_attempts_are_kept_with_their_errors(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        (input_id,) = world.call(1)
        await world.until(lambda: any(c.inputs for c in world.node.running()))
        world.node.running()[0].fail()
        (one,) = await listed(world)
        assert (one.row.state, one.row.retries, one.error) == (RecordState.RETRYING, 1, "ValueError: no")
        await world.until(lambda: any(c.inputs for c in world.node.running()))
        world.node.running()[0].fail(FailureKind.TIMEOUT)
        await asyncio.sleep(0)
        (one,), counts = await reader_of(world).find(input_id, 1)
        assert counts == {RecordState.TIMEOUT: 1}
        assert (one.row.state, one.row.retries) == (RecordState.TIMEOUT, 1)
        assert [(a.outcome, a.error) for a in one.attempts] == [
            (RecordState.FAILED, "ValueError: no"),
            (RecordState.TIMEOUT, "ValueError: no"),
        ]

    retry = RetryMessage(max_retries=1, backoff_coefficient=1.0, initial_delay_s=0.05, max_delay_s=1.0)
    run(tmp_path, scenario, retry=retry)


def test_a_lost_container_is_an_attempt_too(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(1)
        for _ in range(MAX_LOSSES + 1):
            await world.until(lambda: any(c.inputs for c in world.node.running()))
            next(c for c in world.node.running() if c.inputs).exit(ContainerExit(exit_code=139))
        await asyncio.sleep(0)
        (one,) = await listed(world)
        assert (one.row.state, one.row.losses) == (RecordState.LOST, MAX_LOSSES + 1)
        assert [a.outcome for a in one.attempts] == [RecordState.LOST] * (MAX_LOSSES + 1)
        assert len({a.container_id for a in one.attempts}) == MAX_LOSSES + 1
        assert "killed by signal 11" in one.error

    run(tmp_path, scenario)


def test_cancelled_ones_and_those_of_no_function(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(2)
        call = world.journal.calls_of(world.client)[0]
        world.dispatcher.cancel(call)
        world.records().function("fu-none")
        world.call(1, function_id="fu-none")
        await asyncio.sleep(0)
        assert await states(world) == [RecordState.CANCELLED, RecordState.CANCELLED, RecordState.REJECTED]

    run(tmp_path, scenario)


def test_an_input_that_has_just_ended_is_found(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        (input_id,) = world.call(1)
        world.dispatcher.cancel(world.journal.calls_of(world.client)[0])
        # In the same turn of the event loop: it is open no longer, and its end has not been told by itself yet.
        (one,), _ = await reader_of(world).find(input_id, 10)
        assert one.row.state == RecordState.CANCELLED

    run(tmp_path, scenario)


def test_an_input_that_ends_while_it_is_looked_for_is_found(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        (input_id,) = world.call(1)
        opened = world.journal.recorder.open_inputs(world.journal.known_inputs())
        world.dispatcher.cancel(world.journal.calls_of(world.client)[0])
        # As in the thread that looks for it: what had ended was taken down before.
        assert [row[1] for _, row in opened.rows()] == [input_id]
        assert opened.function_ids() == {FUNCTION}

    run(tmp_path, scenario)


def test_lists_are_filtered_and_go_on(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        ids = world.call(5)
        world.open("fu-2")
        (other,) = world.call(1, CallKind.REMOTE, "fu-2")
        await world.until(lambda: sum(len(c.inputs) for c in world.node.running()) == 6)
        failing = next(c for c in world.node.running() if any(i.input_id == ids[0] for i in c.inputs))
        failing.fail()
        await asyncio.sleep(0)
        reader = reader_of(world)
        assert [one.row.input_id for one in await listed(world, Query(search="valueerror"))] == [ids[0]]
        assert [one.row.input_id for one in await listed(world, Query(kinds=frozenset({CallKind.REMOTE})))] == [other]
        found, _ = await reader.select("main", "app", "fu-2", Query())
        assert [one.row.input_id for one in found] == [other]
        assert await reader.select("elsewhere", "", "", Query()) == ([], "")
        seen: list[str] = []
        after = None
        while True:
            found, more = await reader.select("main", "", "", Query(limit=2, after=after))
            seen += [one.row.input_id for one in found]
            after = key_of(more)
            if after is None:
                break
        assert sorted(seen) == sorted([*ids, other])
        assert len(seen) == 6

    run(tmp_path, scenario)


def row(number: int, ended_ms: int = 1) -> PlainRow:
    return (number, new_id("in"), ("fc-1", CallKind.MAP, "", 0), 0, "", 1, ended_ms, "co-1", 0, 0, 1, 1, 4)


def test_memory_is_bounded_for_each_function_and_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records_module, "MAX_ALL", 50)
    monkeypatch.setattr(records_module, "DROP", 10)
    monkeypatch.setattr(records_module, "MAX_FUNCTIONS", 4)
    monkeypatch.setattr(records_module, "MAX_STORIES", 3)
    records = CallRecords(RecordSettings(keep=20), named)
    for number in range(8):
        function = records.function(f"fu-{number}")
        for _ in range(5):
            records.add(function, [row(number) for _ in range(9)], number)
        assert len(function.ended) <= 20
        assert sum(len(one.ended) for one in records) == len(records) <= 50
    assert [one.subject.function_id for one in records] == ["fu-4", "fu-5", "fu-6", "fu-7"]
    for number in range(5):
        records.story("fu-1", f"in-{number}").error = "x"
    assert [number for number in range(5) if records.known_story("fu-1", f"in-{number}") is not None] == [2, 3, 4]


def test_an_error_is_a_line_of_some_length() -> None:
    assert first_line("\nValueError: no\nmore") == "ValueError: no"
    assert len(first_line("x" * 2000)) == 500


def test_nothing_is_kept_where_that_is_off(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="WHERRY_RECORDS_KEEP is '-1': it must be a whole number"):
        RecordSettings.from_environment({"WHERRY_RECORDS_KEEP": "-1"})
    assert RecordSettings.from_environment({"WHERRY_RECORDS_KEEP": "0"}).keep == 0


def test_who_listens_hears_of_each_end_once(tmp_path: Path) -> None:
    heard: list[str] = []

    class Ear:
        def ended(self, subject: object, rows: list[PlainRow]) -> None:
            heard.extend(one[1] for one in rows)

    async def scenario(world: World) -> None:
        world.records().hear(Ear())
        ids = world.call(3)
        await world.work_until(lambda: len(world.outputs) == 3)
        assert len(world.records()) == 3
        assert sorted(heard) == sorted(ids)

    run(tmp_path, scenario)


def test_the_key_of_a_page_is_checked() -> None:
    key = (1_700_000_000_000, new_id("in"))
    assert key_of(text_of(key)) == key
    for text in ("x", "1.x", "-1." + key[1], "f" * 40 + "." + key[1]):
        with pytest.raises(InvalidRequest):
            key_of(text)
    with pytest.raises(InvalidRequest, match="at most 1000"):
        limit_of(1001)


@pytest.mark.parametrize("asked", [True, False])
def test_a_function_has_its_names_also_if_its_containers_start_before_it_is_known(asked: bool) -> None:
    known: dict[str, Subject] = {}
    records = CallRecords(RecordSettings(), known.get)
    # As of a version that is being deployed.
    one = records.function("fu-1", "ap-1", "work")
    assert records.meant("main", "shop", "work") == []
    known["fu-1"] = Subject("main", "ap-1", "shop", "fu-1", "work")
    if asked:
        assert records.meant("main", "shop", "work") == [one]
    else:
        assert records.function("fu-1") is one
    assert (one.subject.environment, one.subject.app_name, one.subject.function_name) == ("main", "shop", "work")
