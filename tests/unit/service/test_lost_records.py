"""A kill between an input's end and its record: the next life writes the record."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import sqlalchemy as sa

from tests.databases import Disk
from tests.fakes.calls import named, recorder_of
from wherry_proto.messages import (
    AppState,
    CallKind,
    Failure,
    FailureKind,
    FunctionSpec,
    Output,
    Payload,
    RecordState,
)
from wherry_service.ids import new_id
from wherry_service.records.mending import Mending
from wherry_service.records.query import Query
from wherry_service.records.reader import Found, RecordReader
from wherry_service.records.records import CallRecords
from wherry_service.records.settings import RecordSettings
from wherry_service.store import schema
from wherry_service.store.apps import AppRecord, AppStore, FunctionRecord
from wherry_service.store.call_records import CallRecordStore
from wherry_service.store.calls import CallStore
from wherry_service.store.database import Database
from wherry_service.store.failed_inputs import Failed, FailedInputStore
from wherry_service.store.lost_records import LATE_MS, LostRecords

RAISED = Failure(kind=FailureKind.EXCEPTION, type_name="ValueError", message="hunter2", container_id="co-1")


class Left:
    """What a life that was killed has left: ends of spawned inputs, without their records."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.now = time.time()
        self.calls = CallStore(database, lambda: self.now)
        self.failed = FailedInputStore(database, lambda: self.now)
        self.records = CallRecordStore(database)

    async def begin(self) -> None:
        apps = AppStore(self.database)
        await apps.add(AppRecord("ap-1", "app", "main", AppState.DEPLOYED, "", 1))
        await apps.publish("ap-1", [FunctionRecord("fu-1", "ap-1", "f", FunctionSpec(name="f"))])

    async def end(self, failure: Failure | None = None, *, keeps: bool = False) -> str:
        call_id, input_id = new_id("fc"), new_id("in")
        await self.calls.add_inputs([(input_id, call_id, "fu-1", 0, Payload(data=b"args"), "m")], "")
        if failure is None:
            await self.calls.finish_inputs([Output(input_id=input_id, payload=Payload(data=b"value", size=5))])
        elif not keeps:
            await self.calls.finish_inputs([Output(input_id=input_id, failure=failure)])
        else:
            failed = Failed(input_id, "ap-1", 3, failure.kind, "ValueError: ****", 2, True)
            await self.failed.finish([Output(input_id=input_id, failure=failure)], [failed])
        return input_id

    def mending(self, **settings: Any) -> Mending:
        kept = RecordSettings(**settings)
        return Mending(
            LostRecords(self.database), self.records, kept, lambda _, failure: f"masked\n{failure.kind}", lambda _: 7
        )

    def reader(self) -> RecordReader:
        records = CallRecords(RecordSettings(), named)
        return RecordReader(records, self.records, lambda: recorder_of().open_inputs([]))

    async def listed(self, **query: Any) -> list[Found]:
        return (await self.reader().select("main", "app", "f", Query(**query)))[0]


def left(disk: Disk, scenario: Callable[[Left], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        database = disk.database()
        try:
            one = Left(database)
            await one.begin()
            await scenario(one)
        finally:
            database.close()

    asyncio.run(main())


def test_a_kept_failure_without_a_record_has_one_in_the_next_life(disk: Disk) -> None:
    async def scenario(one: Left) -> None:
        input_id = await one.end(RAISED, keeps=True)
        assert await one.reader().find(input_id, 1) == ([], {})
        assert [await one.mending().mend(), await one.mending().mend()] == [1, 0]
        (found,), counts = await one.reader().find(input_id, 1)
        record = found.record()
        assert counts == {RecordState.FAILED: 1}
        assert (record.error, record.version, record.kind, record.retries) == ("ValueError: ****", 3, CallKind.SPAWN, 1)
        assert (record.app_name, record.function_name, record.method) == ("app", "f", "m")
        assert (record.queued_ms, record.ended_ms) == (int(one.now * 1000), int(one.now * 1000))
        assert (record.container_id, record.argument_bytes) == ("co-1", 4)
        listed = await one.listed(states=frozenset({RecordState.FAILED}))
        assert [row.row.input_id for row in listed] == [input_id]

    left(disk, scenario)


def test_other_ends_without_a_record_have_one_too(disk: Disk) -> None:
    async def scenario(one: Left) -> None:
        kinds = (FailureKind.TIMEOUT, FailureKind.CANCELLED, FailureKind.CONTAINER_LOST)
        ids = [await one.end(Failure(kind=kind, message="no")) for kind in kinds]
        ids.append(await one.end())
        # That one is open.
        call_id = new_id("fc")
        await one.calls.add_inputs([(new_id("in"), call_id, "fu-1", 0, Payload(data=b"args"), "")], "")
        assert await one.mending().mend() == 4
        found = {row.row.input_id: row.record() for row in await one.listed()}
        assert [(found[key].state, found[key].error) for key in ids] == [
            (RecordState.TIMEOUT, "masked"),
            (RecordState.CANCELLED, "masked"),
            (RecordState.LOST, "masked"),
            (RecordState.SUCCEEDED, ""),
        ]
        assert (found[ids[-1]].result_bytes, found[ids[-1]].version) == (5, 7)

    left(disk, scenario)


def test_the_run_of_a_schedule_is_recorded_as_one(disk: Disk) -> None:
    async def scenario(one: Left) -> None:
        input_id = await one.end()
        call_id = await one.calls.call_of(input_id)
        row = {"function_id": "fu-1", "tick_ms": 1, "asked": "", "call_id": call_id, "queued_at_ms": 1, "state": 1}
        run = sa.insert(schema.schedule_runs).values(**row, finished_at_ms=0, error="")
        await one.database.write(lambda connection: connection.execute(run))
        await one.mending().mend()
        assert [row.row.facts[1] for row in await one.listed()] == [CallKind.SCHEDULE]

    left(disk, scenario)


def test_what_was_dropped_does_not_come_back(disk: Disk) -> None:
    async def scenario(one: Left) -> None:
        await one.end(RAISED, keeps=True)
        one.now += LATE_MS / 1000 + 1
        new = await one.end()
        await one.mending(max_rows=1).mend()
        # The newest alone, as many as there may be.
        assert [row.row.input_id for row in await one.listed()] == [new]
        assert await one.mending().mend() == 0

    left(disk, scenario)


def test_many_are_written_and_none_where_none_are_kept(disk: Disk) -> None:
    async def scenario(one: Left) -> None:
        rows = [(new_id("in"), new_id("fc"), "fu-1", 0, Payload(data=b"args"), "") for _ in range(120)]
        await one.calls.add_inputs(rows, "")
        await one.calls.finish_inputs([Output(input_id=row[0], payload=Payload(data=b"v")) for row in rows])
        assert await one.mending(max_rows=0).mend() == 0
        assert await one.mending(keep=0).mend() == 0
        assert await one.mending().mend() == 120
        assert {row.row.input_id for row in await one.listed(limit=1000)} == {row[0] for row in rows}

    left(disk, scenario)
