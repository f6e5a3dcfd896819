"""Ends of durable inputs that are on disk and of which there is no record: the service was killed between the two."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from wherry_service.store.database import Database
from wherry_service.store.schema import apps, call_records, failed_inputs, functions, inputs, schedule_runs

# Records are written about a second after the ends. Those of ends that are older than the newest record by more than
# this were written, and are there or were dropped.
LATE_MS = 60_000
# Rows in one read: each may have 1 MiB of arguments, and a value.
_AT_ONCE = 50

LostRecord = sa.Row[Any]
"""A row of `inputs`, with `app_id`, `app_name`, `environment` and `function_name`; whether it was `scheduled`; and,
where its arguments are kept, `kept_error`, `kept_version` and `attempts`, else None."""


class LostRecords:
    """Reads the `inputs` table for what `call_records` lacks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def since_ms(self) -> int:
        """Return the time, in milliseconds since 1970, from which on ends may have no record; 0: all."""
        query = sa.select(sa.func.max(call_records.c.ended_ms))
        newest = await self._database.read(lambda connection: connection.execute(query).scalar())
        return max(0, int(newest or 0) - LATE_MS)

    async def part(self, since_ms: int, after: tuple[int, str] | None) -> list[LostRecord]:
        """Return some that ended then or later, the latest first; `after` is the end and id of the one to go on
        behind. What has expired, and what is of environments that are deleted, is left out.
        """
        query = _QUERY.where(inputs.c.finished_at_ms >= max(1, since_ms))
        if after is not None:
            at_ms, input_id = after
            query = query.where(
                (inputs.c.finished_at_ms < at_ms)
                | ((inputs.c.finished_at_ms == at_ms) & (inputs.c.input_id < input_id))
            )
        query = query.order_by(inputs.c.finished_at_ms.desc(), inputs.c.input_id.desc()).limit(_AT_ONCE)
        return list(await self._database.read(lambda connection: connection.execute(query).all()))


def _columns() -> "Iterator[sa.ColumnElement[Any]]":
    yield from inputs.c
    yield from (functions.c.name.label("function_name"), apps.c.app_id, apps.c.name.label("app_name"))
    yield apps.c.environment
    yield from (failed_inputs.c.error.label("kept_error"), failed_inputs.c.version.label("kept_version"))
    yield failed_inputs.c.attempts
    runs = sa.select(schedule_runs.c.call_id).where(
        schedule_runs.c.function_id == inputs.c.function_id, schedule_runs.c.call_id == inputs.c.call_id
    )
    yield sa.exists(runs).label("scheduled")


_QUERY = (
    sa.select(*_columns())
    .select_from(
        inputs.join(functions, inputs.c.function_id == functions.c.function_id)
        .join(apps, functions.c.app_id == apps.c.app_id)
        .outerjoin(failed_inputs, inputs.c.input_id == failed_inputs.c.input_id)
    )
    .where(
        inputs.c.output != b"",
        # As `Environments` calls them from then on.
        ~apps.c.environment.startswith("deleted:", autoescape=True),
        ~sa.exists(sa.select(call_records.c.input_id).where(call_records.c.input_id == inputs.c.input_id)),
    )
)
