"""Records of inputs on disk."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import sqlalchemy as sa

from wherry_service.store.database import Database
from wherry_service.store.schema import call_records

# Inputs of one call that are looked at, at most.
MAX_OF_CALL = 100_000


class StoredRecord(NamedTuple):
    """A row of `call_records`, in the order of its columns; its texts are `schema.storable`."""

    input_id: str
    call_id: str
    position: int
    parent_input_id: str
    environment: str
    app_id: str
    app_name: str
    function_id: str
    function_name: str
    method: str
    version: int
    kind: int
    state: int
    queued_ms: int
    started_ms: int
    ended_ms: int
    container_id: str
    retries: int
    losses: int
    argument_bytes: int
    result_bytes: int
    error: str
    # JSON.
    attempts: str
    kept: bool = False
    replay_of: str = ""
    replayed_by: str = ""


# What a later end of the same input changes.
_LATER = ("state", "started_ms", "ended_ms", "container_id", "retries", "losses", "result_bytes", "error", "attempts")
_PUT = (
    f"insert into call_records ({', '.join(StoredRecord._fields)}) values ({{marks}}) on conflict (input_id) do update "
    f"set {', '.join(f'{name} = excluded.{name}' for name in _LATER)} "
    # Clients choose ids: none changes what another environment has.
    "where call_records.environment = excluded.environment"
)


# large: a field for each way to ask for records
@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows are asked for; what is empty leaves out nothing."""

    # One of these is set at least.
    environment: str = ""
    # Of an input; and of a call, or of the one input that has the same letters and digits.
    input_id: str = ""
    call_id: str = ""
    # Ids or names.
    app: str = ""
    function: str = ""
    states: frozenset[int] = frozenset()
    kinds: frozenset[int] = frozenset()
    container_id: str = ""
    since_ms: int = 0
    until_ms: int = 0
    search: str = ""
    # When the one before the first was queued, and its id.
    after: tuple[int, str] | None = None

    def clauses(self) -> "list[sa.ColumnElement[bool]]":
        """Return the conditions that a row meets."""
        table = call_records.c
        found: list[sa.ColumnElement[bool]] = []
        if self.environment:
            found.append(table.environment == self.environment)
        if self.call_id:
            found.append((table.call_id == self.call_id) | (table.input_id == self.input_id))
        elif self.input_id:
            found.append(table.input_id == self.input_id)
        if self.app:
            found.append((table.app_id == self.app) | (table.app_name == self.app))
        if self.function:
            found.append((table.function_id == self.function) | (table.function_name == self.function))
        if self.states:
            found.append(table.state.in_(sorted(self.states)))
        if self.kinds:
            found.append(table.kind.in_(sorted(self.kinds)))
        if self.container_id:
            found.append(table.container_id == self.container_id)
        if self.since_ms:
            found.append(table.queued_ms >= self.since_ms)
        if self.until_ms:
            found.append(table.queued_ms < self.until_ms)
        if self.search:
            found.append(sa.func.lower(table.error).contains(self.search, autoescape=True))
        if self.after is not None:
            at_ms, input_id = self.after
            earlier = table.queued_ms < at_ms
            found.append(earlier | ((table.queued_ms == at_ms) & (table.input_id < input_id)))
        return found


class CallRecordStore:
    """Reads and writes the `call_records` table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, rows: Sequence[StoredRecord]) -> None:
        """Write records, in place of earlier ones of the same inputs; not over those of other environments."""
        values = list({(row.environment, row.input_id): row for row in rows}.values())

        def work(connection: sa.Connection) -> None:
            # As the driver takes them: through SQLAlchemy they would cost spawned calls a third more.
            mark = "?" if connection.dialect.paramstyle == "qmark" else "%s"
            marks = ", ".join([mark] * len(StoredRecord._fields))
            connection.exec_driver_sql(_PUT.format(marks=marks), [tuple(row) for row in values])

        await self._database.write(work)

    async def select(self, wanted: Wanted, limit: int) -> list[StoredRecord]:
        """Return records, the latest first by when they were queued."""
        query = (
            sa.select(call_records)
            .where(*wanted.clauses())
            .order_by(call_records.c.queued_ms.desc(), call_records.c.input_id.desc())
            .limit(limit)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [StoredRecord(*row) for row in rows]

    async def first(self, wanted: Wanted) -> tuple[int, str] | None:
        """Return when the first of these inputs was queued, and in which environment; None where there is none."""
        table = call_records.c
        query = sa.select(table.queued_ms, table.environment).where(*wanted.clauses())
        query = query.order_by(table.queued_ms, table.environment).limit(1)
        row = await self._database.read(lambda connection: connection.execute(query).first())
        return (row.queued_ms, row.environment) if row is not None else None

    async def states(self, wanted: Wanted) -> dict[str, int]:
        """Return the states of inputs by their ids."""
        query = sa.select(call_records.c.input_id, call_records.c.state).where(*wanted.clauses()).limit(MAX_OF_CALL)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return {row.input_id: row.state for row in rows}

    async def expire(self, before_ms: int, max_rows: int) -> None:
        """Forget what ended before that, and the oldest of what is too much."""
        table = call_records

        def work(connection: sa.Connection) -> None:
            connection.execute(sa.delete(table).where(table.c.ended_ms < before_ms))
            ends = (table.c.ended_ms, table.c.input_id)
            # The newest of what is too much; many inputs may end in one millisecond.
            newest = sa.select(*ends).order_by(*(one.desc() for one in ends)).offset(max_rows).limit(1)
            if (found := connection.execute(newest).first()) is not None:
                ended_ms, input_id = found
                same = (table.c.ended_ms == ended_ms) & (table.c.input_id <= input_id)
                connection.execute(sa.delete(table).where((table.c.ended_ms < ended_ms) | same))

        await self._database.write(work)
