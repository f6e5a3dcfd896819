"""Reads records: those of inputs that are open, and of those that have ended."""

import asyncio
import heapq
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from wherry_proto.messages import Record, RecordState
from wherry_service.records.query import Query, text_of
from wherry_service.records.records import CallRecords
from wherry_service.records.rows import Attempt, PlainRow, Row, Subject, record_of

# Questions that are answered at once: each may look at all records, in a thread.
AT_ONCE = 2
OPEN = frozenset((RecordState.QUEUED, RecordState.RUNNING, RecordState.RETRYING))


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

    def record(self) -> Record:
        """Return it as it is told."""
        return record_of(self.subject, self.row, self.error)


class RecordReader:
    """Answers what is asked about inputs."""

    def __init__(self, records: CallRecords, take_open: Callable[[], OpenInputs]) -> None:
        self._records = records
        self._take_open = take_open
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def select(self, environment: str, app: str, function: str, query: Query) -> tuple[list[Found], str]:
        """Return records of an environment, the latest first, and where to go on ("": that was all)."""
        return await self._find(query, lambda subject: subject.is_meant(environment, app, function))

    async def find(self, record_id: str, limit: int) -> list[Found]:
        """Return the record of an input, or those of a call's inputs, of whatever environment."""
        query = Query(input_id=record_id, limit=limit) if record_id.startswith("in-") else Query(call_id=record_id)
        found, _ = await self._find(query, lambda subject: bool(subject.environment))
        return found

    async def environment_of(self, record_id: str) -> str | None:
        """Return the environment of an input or a call; None if nothing of it is kept."""
        found = await self.find(record_id, 1)
        return found[0].subject.environment if found else None

    async def _find(self, query: Query, is_meant: Callable[[Subject], bool]) -> tuple[list[Found], str]:
        async with self._slots:
            opened = self._take_open()
            subjects = {one: self._records.function(one).subject for one in opened.function_ids()}
            # Copies, since more inputs end meanwhile.
            ended = [(one.subject, list(one.ended)) for one in self._records if is_meant(one.subject)]
            rows, is_more = await asyncio.to_thread(self._rows, query, is_meant, subjects, opened, ended)
        found = [self._found(subject, row) for subject, row in rows]
        return found, text_of((found[-1].row.queued_ms, found[-1].row.input_id)) if is_more else ""

    def _rows(
        self,
        query: Query,
        is_meant: Callable[[Subject], bool],
        subjects: dict[str, Subject],
        opened: OpenInputs,
        ended: Iterable[tuple[Subject, list[PlainRow]]],
    ) -> tuple[list[tuple[Subject, PlainRow]], bool]:
        by_id: dict[str, tuple[PlainRow, Subject]] = {}
        meant = {one for one, subject in subjects.items() if is_meant(subject)}
        if meant and (not query.states or query.states & OPEN):
            for function_id, row in opened.rows():
                if function_id in meant and query.matching((row,)):
                    by_id[row[1]] = row, subjects[function_id]
        for subject, all_rows in ended:
            # Later than those that were open a moment ago.
            by_id.update((row[1], (row, subject)) for row in query.matching(all_rows))
        found: Iterable[tuple[PlainRow, Subject]] = by_id.values()
        if query.search:
            found = [one for one in found if query.search in self._error(one[0][1]).lower()]
        best = heapq.nlargest(query.limit + 1, found, key=lambda one: one[0][:2])
        return [(subject, row) for row, subject in best[: query.limit]], len(best) > query.limit

    def _error(self, input_id: str) -> str:
        story = self._records.known_story(input_id)
        return story.error if story is not None else ""

    def _found(self, subject: Subject, plain: PlainRow) -> Found:
        row = Row._make(plain)
        story = self._records.known_story(row.input_id)
        error, attempts = (story.error, list(story.attempts)) if story is not None else ("", [])
        if row.container_id:
            attempts.append(
                Attempt(row.container_id, row.started_ms, row.ended_ms, row.state, error if row.ended_ms else "")
            )
        if not error and attempts:
            # Of one that waits for its next attempt, how the last one failed.
            error = next((one.error for one in reversed(attempts) if one.error), "")
        return Found(subject, row, error, attempts)
