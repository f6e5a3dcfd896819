"""Records on disk: which they are, how many, and lists over memory and disk together."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.databases import Disk
from tests.fakes.calls import named, recorder_of
from tests.unit.service.test_dispatcher import World, run
from wherry_proto.messages import CallKind, RecordState
from wherry_service.errors import Unready
from wherry_service.ids import new_id
from wherry_service.records import disk as disk_module
from wherry_service.records.disk import DiskRecords
from wherry_service.records.query import Query, key_of
from wherry_service.records.reader import Found, RecordReader
from wherry_service.records.records import CallRecords, Describe
from wherry_service.records.rows import Attempt, PlainRow, Subject
from wherry_service.records.settings import RecordSettings
from wherry_service.store.call_records import CallRecordStore
from wherry_service.store.database import Database

START_MS = 1_800_000_000_000


class Life:
    """Records of one life of the service, on a database that outlives it."""

    def __init__(self, database: Database, describe: Describe = named, **settings: Any) -> None:
        self.records = CallRecords(RecordSettings(**settings), describe)
        self.store = CallRecordStore(database)
        self.disk = DiskRecords(self.store, self.records.settings, self.records.beside)
        self.records.hear(self.disk)
        self.reader = RecordReader(self.records, self.store, lambda: recorder_of().open_inputs([]))

    def end(
        self,
        count: int = 1,
        state: int = RecordState.SUCCEEDED,
        kind: int = CallKind.MAP,
        at_ms: int = START_MS,
        function_id: str = "fu-1",
        call_id: str = "",
    ) -> list[str]:
        function = self.records.function(function_id)
        function.subject.has_durable |= kind == CallKind.SPAWN
        facts = (call_id or new_id("fc"), kind, "", 3)
        rows: list[PlainRow] = [
            (at_ms + number, new_id("in"), facts, number, "", at_ms, at_ms + 1, "co-1", 0, 0, 1, 1, state)
            for number in range(count)
        ]
        if state == RecordState.FAILED:
            for row in rows:
                story = self.records.story(function_id, row[1])
                story.error, story.attempts = "ValueError: 100 % no", [Attempt("co-0", 1, 2, state, "before")]
        self.records.add(function, rows, at_ms + 1)
        return [row[1] for row in rows]

    async def listed(self, query: Query | None = None, app: str = "", function: str = "") -> list[Found]:
        return (await self.reader.select("main", app, function, query or Query()))[0]


def lives(disk: Disk, scenario: Callable[[Callable[..., Life]], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        database = disk.database()
        try:
            await scenario(lambda **settings: Life(database, **settings))
        finally:
            database.close()

    asyncio.run(main())


def test_failed_and_spawned_ones_are_there_in_the_next_life(disk: Disk) -> None:
    async def scenario(life: Callable[..., Life]) -> None:
        first = life(sample=0.0)
        (failed,) = first.end(state=RecordState.FAILED)
        (spawned,) = first.end(kind=CallKind.SPAWN, at_ms=START_MS + 5, function_id="fu-2")
        first.end(10)
        await first.disk.write()
        second = life()
        found = await second.listed()
        assert [one.row.input_id for one in found] == [spawned, failed]
        record = found[1].record()
        assert (record.error, record.version, record.app_name) == ("ValueError: 100 % no", 3, "app")
        assert [(one.container_id, one.error) for one in found[1].attempts] == [
            ("co-0", "before"),
            ("co-1", "ValueError: 100 % no"),
        ]
        assert [one.row.input_id for one in await second.listed(Query(search="100 % no"))] == [failed]
        assert await second.listed(Query(search="100 _ no")) == []
        assert [one.row.input_id for one in await second.listed(function="fu-2")] == [spawned]
        assert await second.listed(app="other") == []
        assert [one.row.input_id for one in await second.listed(Query(kinds=frozenset({CallKind.SPAWN})))] == [spawned]
        assert await second.reader.environment_of(failed) == "main"
        assert await second.reader.environment_of(new_id("in")) is None

    lives(disk, scenario)


def test_of_many_others_there_is_a_sample(disk: Disk) -> None:
    async def scenario(life: Callable[..., Life]) -> None:
        one = life(sample=0.01)
        for second in range(5):
            for _ in range(200):
                one.end(10, at_ms=START_MS + 1000 * second)
            one.end(500, RecordState.FAILED, at_ms=START_MS + 1000 * second)
        await one.disk.write()
        rows = [row.row for row in await life().listed(Query(limit=1000))]
        assert sum(row.state == RecordState.SUCCEEDED for row in rows) == 5 * disk_module.MAX_SAMPLED
        assert sum(row.state == RecordState.FAILED for row in rows) == 5 * disk_module.MAX_FAILED

    lives(disk, scenario)


def test_pages_go_over_memory_and_disk(disk: Disk) -> None:
    async def scenario(life: Callable[..., Life]) -> None:
        before = life()
        old = before.end(7, kind=CallKind.SPAWN)
        await before.disk.write()
        now = life(keep=5)
        new = now.end(9, RecordState.FAILED, at_ms=START_MS + 3)
        await now.disk.write()
        seen: list[str] = []
        after, pages = None, 0
        while pages < 20:
            found, more = await now.reader.select("main", "", "", Query(limit=3, after=after))
            seen += [one.row.input_id for one in found]
            after, pages = key_of(more), pages + 1
            if after is None:
                break
        assert len(seen) == len(set(seen)) == 16
        assert set(seen) == {*old, *new}

    lives(disk, scenario)


def test_of_a_call_what_failed_comes_first_and_all_are_counted(disk: Disk) -> None:
    async def scenario(life: Callable[..., Life]) -> None:
        call_id = new_id("fc")
        one = life()
        one.end(300, kind=CallKind.SPAWN, call_id=call_id)
        failed = one.end(2, RecordState.FAILED, CallKind.SPAWN, call_id=call_id)
        await one.disk.write()
        for reader in (one.reader, life().reader):
            found, counts = await reader.find(call_id, 3)
            assert [row.row.input_id for row in found][:2] == failed
            assert (len(found), counts) == (3, {RecordState.SUCCEEDED: 300, RecordState.FAILED: 2})

    lives(disk, scenario)


def test_of_rows_that_ended_at_once_only_those_too_many_go(disk: Disk) -> None:
    async def scenario(life: Callable[..., Life]) -> None:
        one = life()
        old = one.end(5, kind=CallKind.SPAWN, at_ms=START_MS - 10)
        together = one.end(30, kind=CallKind.SPAWN)
        await one.disk.write()
        await one.store.expire(0, 20)
        left = {row.row.input_id for row in await life().listed(Query(limit=1000))}
        assert (len(left), left & {*old}, left <= {*together}) == (20, set(), True)
        await one.store.expire(0, 20)
        assert len(await life().listed(Query(limit=1000))) == 20
        await one.store.expire(0, 0)
        assert await life().listed(Query(limit=1000)) == []

    lives(disk, scenario)


def test_the_disk_is_bounded_by_rows_and_days(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_module, "MAX_WAITING", 150)

    async def scenario(life: Callable[..., Life]) -> None:
        one = life(max_rows=50, keep_days=2.0)
        for number in range(200):
            one.end(kind=CallKind.SPAWN, at_ms=START_MS + number)
        assert not one.disk.is_to_expire
        await one.disk.write()
        assert one.disk.is_to_expire
        await one.disk.expire(START_MS)
        rows = [row.row.queued_ms - START_MS for row in await life().listed(Query(limit=1000))]
        assert rows == list(range(149, 99, -1))
        await one.disk.expire(START_MS + 2 * 86_400_000 + 140)
        assert len(await life().listed(Query(limit=1000))) == 11
        none = life(max_rows=0)
        none.end(kind=CallKind.SPAWN)
        await none.disk.write()
        assert len(await life().listed(Query(limit=1000))) == 11

    lives(disk, scenario)


def test_any_text_can_be_written_and_a_later_end_replaces_an_earlier_one(disk: Disk) -> None:
    async def scenario(life: Callable[..., Life]) -> None:
        one = life()
        (input_id,) = one.end(state=RecordState.FAILED)
        story = one.records.story("fu-1", input_id)
        story.error, story.attempts = "NUL \0 and half \ud800 of a pair", [Attempt("co-0", 1, 2, 5, "\0 \ud800")]
        one.disk._waiting.clear()
        (row,) = one.records.function("fu-1").ended
        one.disk.ended(one.records.function("fu-1").subject, [row])
        await one.disk.write()
        (found,) = await life().listed()
        assert found.error == "NUL \ufffd and half ? of a pair"
        assert found.attempts[0].container_id == "co-0"
        one.disk.ended(one.records.function("fu-1").subject, [(*row[:12], RecordState.LOST)])
        await one.disk.write()
        (found,) = await life().listed()
        assert found.row.state == RecordState.LOST

    lives(disk, scenario)


def of_environments(function_id: str) -> Subject:
    environment = function_id.partition(".")[0]
    return Subject(environment, f"ap-{environment}", "app", function_id, "f")


def test_an_id_that_another_environment_uses_again_shows_and_changes_nothing(disk: Disk) -> None:
    async def scenario(life: Callable[..., Life]) -> None:
        one = life(describe=of_environments)
        call_id = new_id("fc")
        (input_id,) = one.end(state=RecordState.FAILED, function_id="theirs.f", call_id=call_id)
        (theirs,) = one.records.function("theirs.f").ended
        await one.disk.write()
        other = one.records.function("mine.f")
        again: PlainRow = (START_MS + 9, input_id, theirs[2], *theirs[3:12], RecordState.LOST)
        (same_call,) = one.end(state=RecordState.FAILED, function_id="mine.f", call_id=call_id, at_ms=START_MS + 9)
        one.records.add(other, [again], START_MS + 10)
        await one.disk.write()
        mine = ("mine", "", "")
        # In this life by what memory has, in the next by the disk alone.
        for now in (one, life(describe=of_environments)):
            for record_id in (input_id, call_id):
                assert await now.reader.environment_of(record_id) == "theirs"
                found, counts = await now.reader.find(record_id, 10)
                assert [(rec.subject.environment, rec.row.input_id) for rec in found] == [("theirs", input_id)]
                assert counts == {RecordState.FAILED: 1}
            # Nor has the other its error: neither shown nor found by it.
            assert all(
                rec.row.input_id != input_id for rec in (await now.reader.select(*mine, Query(search="100 %")))[0]
            )
            told = (await now.reader.select(*mine, Query()))[0]
            assert [(rec.error, rec.attempts[:-1]) for rec in told if rec.row.input_id == input_id] in ([("", [])], [])
            found, _ = await now.reader.select("theirs", "", "", Query())
            assert [(rec.row.input_id, rec.row.state) for rec in found] == [(input_id, RecordState.FAILED)]
            assert await now.reader.environment_of(same_call) == "mine"

    lives(disk, scenario)


def test_rows_of_one_id_that_are_written_together_do_not_replace_each_other(disk: Disk) -> None:
    async def scenario(life: Callable[..., Life]) -> None:
        one = life(describe=of_environments)
        (input_id,) = one.end(kind=CallKind.SPAWN, function_id="theirs.f")
        (row,) = one.records.function("theirs.f").ended
        one.records.function("mine.f").subject.has_durable = True
        one.records.add(one.records.function("mine.f"), [(*row[:12], RecordState.LOST)], START_MS + 10)
        await one.disk.write()
        (found,) = (await life(describe=of_environments).reader.select("theirs", "", "", Query()))[0]
        assert (found.row.input_id, found.row.state) == (input_id, RecordState.SUCCEEDED)

    lives(disk, scenario)


def test_settings_are_checked() -> None:
    for name, value in (("SAMPLE", "2"), ("MAX_ROWS", "x"), ("KEEP_DAYS", "0")):
        with pytest.raises(Unready, match=f"WHERRY_RECORDS_{name} is '{value}'"):
            RecordSettings.from_environment({f"WHERRY_RECORDS_{name}": value})


def test_a_spawned_input_is_kept_as_such(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        records, store = world.records(), CallRecordStore(world.database)
        disk = DiskRecords(store, records.settings, records.beside)
        records.hear(disk)
        (spawned,) = world.call(1, CallKind.SPAWN)
        await world.work_until(lambda: world.journal.open_input(spawned) is None)
        await world.until(lambda: len(records) == 1)
        await disk.write()
        found = await RecordReader(
            CallRecords(RecordSettings(), named), store, lambda: recorder_of().open_inputs([])
        ).find(spawned, 1)
        assert found[1] == {RecordState.SUCCEEDED: 1}

    run(tmp_path, scenario)
