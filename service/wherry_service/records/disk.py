"""Which records go to the disk: of inputs that failed, were spawned or scheduled, and of a sample of the others."""

import json
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from wherry_proto.messages import CallKind, RecordState
from wherry_service.errors import ServiceError
from wherry_service.records.rows import Attempt, PlainRow, Row, Subject
from wherry_service.records.settings import RecordSettings
from wherry_service.store.call_records import CallRecordStore, StoredRecord
from wherry_service.store.schema import storable

log = logging.getLogger(__name__)

_SUCCEEDED = RecordState.SUCCEEDED
DURABLE = frozenset((CallKind.SPAWN, CallKind.SPAWN_MAP, CallKind.SCHEDULE))
# Within one second: failed inputs of one function that were not spawned, and inputs of the sample in all.
MAX_FAILED = 100
MAX_SAMPLED = 10
# Records that wait to be written; further ones stay in memory alone.
MAX_WAITING = 20_000
# Records in one write: what others write meanwhile waits no longer than that takes.
AT_ONCE = 2_000
# After so many written ones what is too much is forgotten.
EXPIRE_AFTER = 10_000

Beside = Callable[[str, str], "tuple[str, Sequence[Attempt]]"]
"""From a function's id and an input's to its error and its earlier attempts."""


class DiskRecords:
    """Chooses and writes (implements `records.Listener`)."""

    def __init__(self, store: CallRecordStore, settings: RecordSettings, beside: Beside) -> None:
        self._store = store
        self._settings = settings
        self._beside = beside
        self._waiting: deque[StoredRecord] = deque()
        # Of the second that is now.
        self._second = 0
        self._num_failed: dict[str, int] = {}
        self._num_sampled = 0
        # Inputs that the sample is short of.
        self._due = 0.0
        self._num_written = 0

    def ended(self, subject: Subject, rows: Sequence[PlainRow]) -> None:
        """Hear that inputs of a function have ended."""
        self._due += len(rows) * self._settings.sample
        is_plain = rows[0][12] == _SUCCEEDED and not subject.has_durable
        if is_plain and self._due < 1.0:
            return
        second = rows[-1][6] // 1000
        if second != self._second:
            self._second, self._num_sampled = second, 0
            self._num_failed.clear()
        if not is_plain:
            for row in self._chosen(subject, rows):
                self._put(subject, row)
        if self._due >= 1.0:
            self._due = 0.0
            row = rows[-1]
            if self._num_sampled < MAX_SAMPLED and row[12] == _SUCCEEDED and row[2][1] not in DURABLE:
                self._num_sampled += 1
                self._put(subject, row)

    def _chosen(self, subject: Subject, rows: Sequence[PlainRow]) -> Iterator[PlainRow]:
        num_failed = self._num_failed.get(subject.function_id, 0)
        for row in rows:
            if row[2][1] in DURABLE:
                yield row
            elif row[12] != RecordState.SUCCEEDED and num_failed < MAX_FAILED:
                num_failed += 1
                yield row
        self._num_failed[subject.function_id] = num_failed

    def _put(self, subject: Subject, plain: PlainRow) -> None:
        if self._settings.max_rows and len(self._waiting) < MAX_WAITING:
            row = Row._make(plain)
            self._waiting.append(stored(subject, row, *self._beside(subject.function_id, row.input_id)))

    async def write(self) -> None:
        """Write what waits; what can't be written now is tried again."""
        while self._waiting:
            rows = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
            try:
                await self._store.put(rows)
            except ServiceError as error:
                log.debug("records of calls could not be written yet: %s", error)
                self._waiting.extendleft(reversed(rows))
                return
            self._num_written += len(rows)

    async def expire(self, now_ms: int) -> None:
        """Forget what is too old or too much."""
        self._num_written = 0
        settings = self._settings
        await self._store.expire(now_ms - int(settings.keep_days * 86_400_000), settings.max_rows)

    @property
    def is_to_expire(self) -> bool:
        """Whether so much was written that there may be too much."""
        return self._num_written >= min(EXPIRE_AFTER, self._settings.max_rows // 10 + 1)


def stored(subject: Subject, row: Row, error: str, attempts: Sequence[Attempt]) -> StoredRecord:
    """Return a row as it is on disk."""
    call_id, kind, parent_input_id, version = row.facts
    return StoredRecord(
        storable(row.input_id),
        call_id,
        row.position,
        storable(parent_input_id),
        subject.environment,
        subject.app_id,
        storable(subject.app_name),
        subject.function_id,
        storable(subject.function_name),
        storable(row.method),
        version,
        kind,
        row.state,
        row.queued_ms,
        row.started_ms,
        row.ended_ms,
        row.container_id,
        row.retries,
        row.losses,
        min(row.argument_bytes, _MAX_SIZE),
        min(row.result_bytes, _MAX_SIZE),
        storable(error),
        json.dumps(attempts) if attempts else "",
    )


_MAX_SIZE = (1 << 63) - 1


def read(record: StoredRecord) -> tuple[Subject, PlainRow, list[Attempt]]:
    """Return a row of the disk as it would be in memory."""
    subject = Subject(record.environment, record.app_id, record.app_name, record.function_id, record.function_name)
    row = (
        record.queued_ms, record.input_id, (record.call_id, record.kind, record.parent_input_id, record.version),
        record.position, record.method, record.started_ms, record.ended_ms, record.container_id, record.retries,
        record.losses, record.argument_bytes, record.result_bytes, record.state,
    )  # fmt: skip
    attempts = [Attempt(*one) for one in json.loads(record.attempts)] if record.attempts else []
    return subject, row, attempts
