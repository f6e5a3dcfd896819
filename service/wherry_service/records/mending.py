"""Records that an earlier life of the service could not write any more: made of the inputs' ends on disk.

An input's end is written at once, its record about a second later: a kill between the two would leave an input of which
nothing is told, though its value, or its failure, is there.
"""

from collections.abc import Callable

from wherry_proto import codec
from wherry_proto.messages import CallKind, Failure, Output, Payload, RecordState
from wherry_service.records.disk import MAX_WAITING, stored
from wherry_service.records.rows import Row, Subject, first_line, state_of
from wherry_service.records.settings import RecordSettings
from wherry_service.store.call_records import CallRecordStore, StoredRecord
from wherry_service.store.lost_records import LostRecord, LostRecords

# As many as can have waited to be written.
MOST = MAX_WAITING


class Mending:
    """Writes what is missing. `line` makes of an app's id and a failure a line that may be shown, `version_of` of a
    function's id the version of its app."""

    def __init__(
        self,
        lost: LostRecords,
        store: CallRecordStore,
        settings: RecordSettings,
        line: Callable[[str, Failure], str],
        version_of: Callable[[str], int],
    ) -> None:
        self._lost = lost
        self._store = store
        self._settings = settings
        self._line = line
        self._version_of = version_of

    async def mend(self) -> int:
        """Write the missing records and return how many they were. To be called before an input ends in this life;
        raises `ServiceError` where the database can't be asked."""
        most = min(MOST, self._settings.max_rows) if self._settings.keep else 0
        count = 0
        since_ms = await self._lost.since_ms() if most else 0
        after: tuple[int, str] | None = None
        while count < most and (rows := await self._lost.part(since_ms, after)):
            rows = rows[: most - count]
            await self._store.put([self._record(row) for row in rows])
            count += len(rows)
            after = rows[-1].finished_at_ms, rows[-1].input_id
        return count

    def _record(self, row: LostRecord) -> StoredRecord:
        output = codec.deserialize(Output, row.output)
        arguments = codec.deserialize(Payload, row.payload)
        failure, value = output.failure, output.payload or Payload()
        is_kept = row.kept_error is not None
        error, state, container_id = "", int(RecordState.SUCCEEDED), ""
        if failure is not None:
            error = row.kept_error if is_kept else first_line(self._line(row.app_id, failure))
            state, container_id = state_of(failure.kind), failure.container_id
        kind = CallKind.SCHEDULE if row.scheduled else CallKind.SPAWN
        version = row.kept_version if is_kept else self._version_of(row.function_id)
        subject = Subject(row.environment, row.app_id, row.app_name, row.function_id, row.function_name)
        # When it began, and where it succeeded, is not known any more.
        plain = Row(
            row.created_at_ms, row.input_id, (row.call_id, kind, "", version), row.position, row.method, 0,
            row.finished_at_ms, container_id, row.attempts - 1 if is_kept else 0, 0,
            max(arguments.size, len(arguments.data)), max(value.size, len(value.data)), state,
        )  # fmt: skip
        return stored(subject, plain, error, ())
