"""Reads records: those of inputs that are open, of those that ended lately, and of those on disk."""

import asyncio
import dataclasses
import heapq
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from wherry_proto.messages import Record, RecordState
from wherry_service.ids import input_of_call
from wherry_service.records import disk
from wherry_service.records.query import Query, text_of
from wherry_service.records.records import CallRecords
from wherry_service.records.rows import Attempt, PlainRow, Row, Subject, record_of
from wherry_service.store.call_records import CallRecordStore, StoredRecord, Wanted

# Questions that are answered at once: each may look at all records, in a thread.
AT_ONCE = 2
OPEN = frozenset((RecordState.QUEUED, RecordState.RUNNING, RecordState.RETRYING))
# How inputs end that do not succeed.
OTHERS = frozenset(
    (RecordState.FAILED, RecordState.TIMEOUT, RecordState.CANCELLED, RecordState.LOST, RecordState.REJECTED)
)

Known = dict[tuple[str, str], tuple[PlainRow, Subject]]
"""Rows in memory, by environments and the inputs' ids: clients choose these, so that several may have the same."""


class OpenInputs(Protocol):
    """Inputs that are in memory since they have not ended (see calls/recorder.py)."""

    def function_ids(self) -> set[str]:
        """Return the functions that they are of."""

    def rows(self) -> Iterable[tuple[str, PlainRow]]:
        """Return the function and row of each, in any thread."""


class Found(NamedTuple):
    """One record, with what is known beside its row."""

    subject: Subject
    row: Row
    error: str
    attempts: list[Attempt]
    # What the disk alone knows; None where it has no row.
    stored: StoredRecord | None = None

    def record(self) -> Record:
        """Return it as it is told."""
        record = record_of(self.subject, self.row, self.error)
        if self.stored is not None:
            record.kept, record.replay_of = self.stored.kept, self.stored.replay_of
            record.replayed_by = self.stored.replayed_by
        return record


class RecordReader:
    """Answers what is asked about inputs."""

    def __init__(self, records: CallRecords, store: CallRecordStore, take_open: Callable[[], OpenInputs]) -> None:
        self._records = records
        self._store = store
        self._take_open = take_open
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def select(self, environment: str, app: str, function: str, query: Query) -> tuple[list[Found], str]:
        """Return records of an environment, the latest first, and where to go on ("": that was all)."""
        # Some inputs have two rows, the later of which counts.
        most = 2 * (query.limit + 1)
        known = await self._known(query, lambda subject: subject.is_meant(environment, app, function), most)
        wanted = _wanted(query, environment, app, function)
        on_disk = await self._store.select(wanted, query.limit + 1) if wanted is not None else []
        best = self._latest(known, on_disk, query.limit + 1)
        found = best[: query.limit]
        is_more = len(best) > query.limit
        return found, text_of((found[-1].row.queued_ms, found[-1].row.input_id)) if is_more else ""

    async def find(self, record_id: str, limit: int) -> tuple[list[Found], dict[int, int]]:
        """Return the record of an input, or those of a call's inputs, of the environment that `environment_of` returns.

        Those that have not succeeded come first; and how many are in which state, of all of them.
        """
        known, wanted, environment = await self._of(record_id)
        if environment is None:
            return [], {}
        known = {key: one for key, one in known.items() if key[0] == environment}
        wanted = dataclasses.replace(wanted, environment=environment)
        states = await self._store.states(wanted)
        states |= {input_id: row[12] for (_, input_id), (row, _) in known.items()}
        on_disk = await self._store.select(dataclasses.replace(wanted, states=OTHERS), limit)
        if len(on_disk) < limit:
            succeeded = frozenset((RecordState.SUCCEEDED,))
            on_disk += await self._store.select(dataclasses.replace(wanted, states=succeeded), limit)
        found = self._latest(known, on_disk, len(known) + len(on_disk))
        found.sort(key=lambda one: (one.row.state == RecordState.SUCCEEDED, one.row.position))
        return found[:limit], dict(sorted(Counter(states.values()).items()))

    async def environment_of(self, record_id: str) -> str | None:
        """Return the environment of an input or a call; None if nothing of it is kept.

        Where several environments have the same id, that whose input was queued first: who uses an id again, by
        mistake or not, gets nothing of what is kept and hides nothing.
        """
        return (await self._of(record_id))[2]

    async def _of(self, record_id: str) -> tuple[Known, Wanted, str | None]:
        """Return what memory has of an id, in all environments; what to ask the disk; and whose the id is."""
        is_input = record_id.startswith("in-")
        query = Query(input_id=record_id) if is_input else Query(call_id=record_id)
        known = await self._known(query, lambda subject: bool(subject.environment), None)
        wanted = Wanted(input_id=record_id) if is_input else _of_call(record_id)
        owners = [(row[0], environment) for (environment, _), (row, _) in known.items()]
        if (first := await self._store.first(wanted)) is not None:
            owners.append(first)
        return known, wanted, min(owners)[1] if owners else None

    async def _known(self, query: Query, is_meant: Callable[[Subject], bool], most: int | None) -> Known:
        """Return the rows in memory that match; of each function's the `most` latest, None: all."""
        async with self._slots:
            told = self._records.with_error(query.search) if query.search else None
            opened = self._take_open()
            subjects = {one: self._records.function(one).subject for one in opened.function_ids()}
            # Copies, since more inputs end meanwhile.
            ended = [(one.subject, list(one.ended)) for one in self._records if is_meant(one.subject)]
            meant = {one: subject for one, subject in subjects.items() if is_meant(subject)}
            return await asyncio.to_thread(self._rows, query, meant, opened, ended, told, most)

    def _rows(
        self,
        query: Query,
        meant: dict[str, Subject],
        opened: OpenInputs,
        ended: Iterable[tuple[Subject, list[PlainRow]]],
        told: set[tuple[str, str]] | None,
        most: int | None,
    ) -> Known:
        found: Known = {}
        open_rows: dict[str, list[PlainRow]] = {one: [] for one in meant}
        if meant and (not query.states or query.states & OPEN):
            for function_id, row in opened.rows():
                if function_id in meant:
                    open_rows[function_id].append(row)
        # Those that have ended later than those that were open a moment ago.
        for subject, rows in (*((meant[one], rows) for one, rows in open_rows.items()), *ended):
            matching = query.matching(rows)
            if told is not None:
                matching = [row for row in matching if (subject.function_id, row[1]) in told]
            if most is not None and len(matching) > most:
                # In order, so that the later of two rows of an input is that which is kept.
                matching = sorted(heapq.nlargest(most, matching), key=lambda row: row[6])
            found.update(((subject.environment, row[1]), (row, subject)) for row in matching)
        return found

    def _latest(self, known: Known, on_disk: Iterable[StoredRecord], limit: int) -> list[Found]:
        stored = {record.input_id: record for record in on_disk}
        rows: list[tuple[PlainRow, Subject, list[Attempt] | None]] = [
            (row, subject, None) for row, subject in known.values()
        ]
        for record in stored.values():
            if (record.environment, record.input_id) not in known:
                subject, row, attempts = disk.read(record)
                rows.append((row, subject, attempts))
        best = heapq.nlargest(limit, rows, key=lambda one: one[0][:2])
        return [self._found(row, subject, attempts, stored.get(row[1])) for row, subject, attempts in best]

    def _found(
        self, plain: PlainRow, subject: Subject, before: list[Attempt] | None, stored: StoredRecord | None
    ) -> Found:
        row = Row._make(plain)
        story = self._records.known_story(subject.function_id, row.input_id)
        attempts = before if before is not None else list(story.attempts) if story is not None else []
        error = (story.error if story is not None else "") or (stored.error if stored is not None else "")
        if row.container_id:
            last_error = error if row.ended_ms else ""
            attempts.append(Attempt(row.container_id, row.started_ms, row.ended_ms, row.state, last_error))
        if not error:
            # Of one that waits for its next attempt, how the last one failed.
            error = next((one.error for one in reversed(attempts) if one.error), "") if not row.ended_ms else ""
        return Found(subject, row, error, attempts, stored)


def _of_call(call_id: str) -> Wanted:
    return Wanted(call_id=call_id, input_id=input_of_call(call_id))


def _wanted(query: Query, environment: str, app: str, function: str) -> Wanted | None:
    """Return what is asked of the disk; None where it has nothing of the kind."""
    if query.states and query.states <= OPEN:
        return None
    return Wanted(
        environment=environment,
        input_id=input_of_call(query.call_id) if query.call_id else query.input_id,
        call_id=query.call_id,
        app=app,
        function=function,
        states=query.states,
        kinds=query.kinds,
        container_id=query.container_id,
        since_ms=query.since_ms,
        until_ms=query.until_ms,
        search=query.search,
        after=query.after,
    )
