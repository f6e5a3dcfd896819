"""How many inputs ended how, by minute and function: on disk."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import sqlalchemy as sa

from wherry_service.store.database import Database
from wherry_service.store.schema import call_minutes

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
# Rows of minutes become rows of hours when they are so old.
MINUTES_FOR_MS = 48 * HOUR_MS
# The oldest are forgotten beyond that.
MAX_ROWS = 500_000
# Rows that one transaction turns into hours.
_AT_ONCE = 5000

T = TypeVar("T")


class RollupRow(NamedTuple):
    """What is counted of a function in a span of time."""

    at_ms: int
    span_ms: int
    environment: str
    app_id: str
    app_name: str
    function_id: str
    function_name: str
    counts: str
    backlog: int
    running: int
    containers: int


class Asked(NamedTuple):
    """What is asked of an environment: of apps and functions by ids or names, "": of any; what begins in a time."""

    environment: str
    app: str
    function: str
    since_ms: int
    until_ms: int


class RollupStore:
    """Reads and writes the `call_minutes` table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, rows: Sequence[RollupRow]) -> None:
        """Write rows."""
        values = [row._asdict() for row in rows]
        await self._database.write(lambda connection: connection.execute(sa.insert(call_minutes), values).rowcount)

    async def between(self, asked: Asked, use: Callable[[Iterator[RollupRow]], T]) -> T:
        """Return what `use` makes of the rows that are asked for, the oldest first.

        There may be very many: `use` runs in a reader's thread, gets each row as it is fetched, and must not keep
        them. A server that was away has it called again.
        """
        table = call_minutes.c
        wanted = [table.environment == asked.environment, table.at_ms >= asked.since_ms, table.at_ms < asked.until_ms]
        if asked.app:
            wanted.append((table.app_id == asked.app) | (table.app_name == asked.app))
        if asked.function:
            wanted.append((table.function_id == asked.function) | (table.function_name == asked.function))
        query = sa.select(*(table[name] for name in RollupRow._fields)).where(*wanted).order_by(table.at_ms)

        def work(connection: sa.Connection) -> T:
            return use(RollupRow(*row) for row in connection.execute(query))

        return await self._database.read(work)

    async def compact(self, now_ms: int, merge: Callable[[Iterable[str]], str], keep_ms: int) -> None:
        """Turn old minutes into hours, and forget what is older than `keep_ms` or too much; `merge` adds counts."""
        table = call_minutes
        old = (table.c.span_ms == MINUTE_MS) & (table.c.at_ms < (now_ms - MINUTES_FOR_MS) // HOUR_MS * HOUR_MS)

        def work(connection: sa.Connection) -> int:
            rows = connection.execute(sa.select(table).where(old).order_by(table.c.at_ms).limit(_AT_ONCE)).all()
            hours: dict[tuple[int, str], list[sa.Row[tuple[object, ...]]]] = {}
            for row in rows:
                hours.setdefault((row.at_ms // HOUR_MS * HOUR_MS, row.function_id), []).append(row)
            values = [_hour(at_ms, same, merge) for (at_ms, _), same in hours.items()]
            numbers = [row.number for row in rows]
            for begin in range(0, len(numbers), 500):
                connection.execute(sa.delete(table).where(table.c.number.in_(numbers[begin : begin + 500])))
            if values:
                connection.execute(sa.insert(table), values)
            return len(rows)

        while await self._database.write(work) == _AT_ONCE:
            pass
        await self._database.write(lambda connection: _forget(connection, now_ms - keep_ms))


def _hour(
    at_ms: int, rows: "Sequence[sa.Row[tuple[object, ...]]]", merge: Callable[[Iterable[str]], str]
) -> dict[str, object]:
    last = rows[-1]._mapping  # noqa: SLF001 - SQLAlchemy's own name for it
    values = {name: last[name] for name in RollupRow._fields}
    values |= {name: max(getattr(row, name) for row in rows) for name in ("backlog", "running", "containers")}
    return values | {"at_ms": at_ms, "span_ms": HOUR_MS, "counts": merge(row.counts for row in rows)}


def _forget(connection: sa.Connection, before_ms: int) -> None:
    table = call_minutes
    connection.execute(sa.delete(table).where(table.c.at_ms < before_ms))
    newest = connection.execute(sa.select(table.c.number).order_by(table.c.number.desc()).offset(MAX_ROWS).limit(1))
    if (number := newest.scalar()) is not None:
        connection.execute(sa.delete(table).where(table.c.number <= number))
