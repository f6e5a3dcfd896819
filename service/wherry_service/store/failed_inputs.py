"""Durable inputs that failed, with their arguments: kept within bounds, so that they can be run again."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from wherry_proto import codec
from wherry_proto.messages import Output, Payload
from wherry_service.ids import input_of_call
from wherry_service.store.answers import answer_in, begin_in, keep_in
from wherry_service.store.calls import Cause, InputRow, add_inputs_in, finish_in
from wherry_service.store.database import Database
from wherry_service.store.schema import apps, failed_inputs, functions, inputs

# Ids in one statement.
_IDS = 500
_IS_OPEN = inputs.c.finished_at_ms + 0 == 0


@dataclass(frozen=True, slots=True)
class Failed:
    """What is written when an input fails, beside its end."""

    input_id: str
    app_id: str
    # Of the app that ran it; 0: it is not deployed.
    version: int
    # A FailureKind, and the error's first line, without secrets.
    kind: int
    error: str
    attempts: int
    # Whether it is kept with its arguments.
    keeps: bool
    # What ran it, of a class with its method.
    function_name: str = ""
    # The input by which the function is told that wants to hear of it.
    told: InputRow | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """What came of `finish`: the ids of inputs that are kept, and of those by which functions are told."""

    kept: frozenset[str]
    told: frozenset[str]


@dataclass(frozen=True, slots=True)
class KeptInput:
    """An input that failed and is kept."""

    input_id: str
    call_id: str
    function_id: str
    function_name: str
    app_id: str
    app_name: str
    environment: str
    version: int
    index: int
    method: str
    queued_at_ms: int
    failed_at_ms: int
    kind: int
    error: str
    attempts: int
    origin: str
    replayed_by: str
    size: int
    # As far as it was asked for.
    payload: Payload | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """What records say of an input beside what became of it."""

    # Whether it failed and is kept with its arguments.
    is_kept: bool = False
    # The input that it is another run of, and the latest that was another run of it.
    replay_of: str = ""
    replayed_by: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which kept inputs are looked for."""

    environment: str
    # Ids or names; "": of all.
    app: str = ""
    function: str = ""
    call_id: str = ""
    # Any of these; none: all.
    input_ids: Sequence[str] = ()
    # Failed at that time or later, and before this one, in milliseconds since 1970; 0: no limit.
    since_ms: int = 0
    until_ms: int = 0
    # Part of the error's first line, in whatever case.
    error: str = ""
    # Leave out those that were run again.
    only_left: bool = False


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is kept; the oldest are dropped first."""

    max_inputs: int
    max_bytes: int
    keep_ms: int


@dataclass(slots=True)
class Dropped:
    """What a look at the bounds has dropped."""

    input_ids: list[str] = field(default_factory=list)
    blob_ids: list[str] = field(default_factory=list)


class FailedInputStore:
    """Reads and writes the `failed_inputs` table."""

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now = now

    async def finish(self, outputs: Sequence[Output], failed: Sequence[Failed]) -> Written:
        """Write the ends of inputs, each once, and with those that failed what belongs to it: all or nothing."""
        now_ms = int(self._now() * 1000)

        def work(connection: sa.Connection) -> Written:
            by_id = {one.input_id: one for one in failed}
            open_ids: list[str] = []
            for ids in _parts(list(by_id)):
                query = sa.select(inputs).where(inputs.c.input_id.in_(ids), _IS_OPEN)
                rows = connection.execute(query).all()
                open_ids += [row.input_id for row in rows]
                kept = [_kept_row(row, by_id[row.input_id], now_ms) for row in rows if by_id[row.input_id].keeps]
                if kept:
                    connection.execute(sa.insert(failed_inputs), kept)
            told = [(one, one.told) for one in failed if one.told is not None]
            still = set(open_ids)
            rows_told = [row for one, row in told if one.input_id in still]
            if rows_told:
                origins = {row[0]: one.input_id for one, row in told}
                add_inputs_in(connection, rows_told, "", now_ms, Cause.TELL, origins)
            finish_in(connection, outputs, now_ms)
            # Where this was written before, and nobody was told that it was: what is there now counts.
            return Written(
                frozenset(_there(connection, failed_inputs.c.input_id, [one.input_id for one in failed if one.keeps])),
                frozenset(_there(connection, inputs.c.input_id, [row[0] for _, row in told], _IS_OPEN)),
            )

        return await self._database.write(work)

    async def replay(self, rows: Mapping[str, InputRow], operation_id: str, answer: bytes) -> bytes | None:
        """Write inputs that are other runs of kept ones, by the ids of those.

        Return how the operation was answered where it was done before: nothing is written then.
        """
        now_ms = int(self._now() * 1000)
        origins = {row[0]: input_id for input_id, row in rows.items()}

        def work(connection: sa.Connection) -> bytes | None:
            if not begin_in(connection, operation_id, now_ms):
                return answer_in(connection, operation_id)
            keep_in(connection, operation_id, answer)
            if rows:
                add_inputs_in(connection, list(rows.values()), "", now_ms, Cause.REPLAY, origins)
                connection.execute(
                    sa.update(failed_inputs)
                    .where(failed_inputs.c.input_id == sa.bindparam("origin_id"))
                    .values(replayed_by=sa.bindparam("by_id")),
                    [{"origin_id": input_id, "by_id": row[0]} for input_id, row in rows.items()],
                )
            return None

        return await self._database.write(work)

    async def find(
        self, wanted: Wanted, limit: int, after: tuple[int, str] | None = None, with_payload: bool = False
    ) -> list[KeptInput]:
        """Return kept inputs, the latest first; `after` is the time and id of the one to go on behind."""
        columns = [column for column in failed_inputs.c if with_payload or column.name != "payload"]
        joined = failed_inputs.join(functions, failed_inputs.c.function_id == functions.c.function_id).join(
            apps, functions.c.app_id == apps.c.app_id
        )
        query = sa.select(
            *columns, functions.c.name.label("function_name"), apps.c.name.label("app_name"), apps.c.environment
        ).select_from(joined)
        query = query.where(*_conditions(wanted))
        if after is not None:
            at_ms, input_id = after
            query = query.where(
                (failed_inputs.c.failed_at_ms < at_ms)
                | ((failed_inputs.c.failed_at_ms == at_ms) & (failed_inputs.c.input_id < input_id))
            )
        query = query.order_by(failed_inputs.c.failed_at_ms.desc(), failed_inputs.c.input_id.desc()).limit(limit)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [_kept(row, with_payload) for row in rows]

    async def marks_of(self, input_ids: Sequence[str]) -> dict[str, Mark]:
        """Return what is to be said of inputs, of those of which there is something."""
        replays = sa.select(inputs.c.input_id, inputs.c.origin).where(inputs.c.cause == Cause.REPLAY)

        def work(connection: sa.Connection) -> dict[str, Mark]:
            found: dict[str, Mark] = {}
            for ids in _parts(input_ids):
                for row in connection.execute(replays.where(inputs.c.input_id.in_(ids))):
                    found[row.input_id] = Mark(replay_of=row.origin)
                kept = sa.select(failed_inputs.c.input_id, failed_inputs.c.replayed_by)
                for row in connection.execute(kept.where(failed_inputs.c.input_id.in_(ids))):
                    origin = found[row.input_id].replay_of if row.input_id in found else ""
                    found[row.input_id] = Mark(True, origin, row.replayed_by)
            return found

        return await self._database.read(work)

    async def trim(self, bounds: Bounds) -> Dropped:
        """Drop what is too old, and the oldest of what is too much."""
        limit_ms = int(self._now() * 1000) - bounds.keep_ms
        table = failed_inputs

        def work(connection: sa.Connection) -> Dropped:
            count, size = connection.execute(
                sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(table.c.size), 0)).select_from(table)
            ).one()
            dropped = Dropped()
            query = sa.select(table.c.input_id, table.c.failed_at_ms, table.c.size, table.c.blob_id)
            query = query.order_by(table.c.failed_at_ms, table.c.input_id)
            for row in connection.execute(query):
                too_many = count > bounds.max_inputs or size > bounds.max_bytes
                if not too_many and (not bounds.keep_ms or row.failed_at_ms >= limit_ms):
                    break
                count, size = count - 1, size - row.size
                dropped.input_ids.append(row.input_id)
                if row.blob_id:
                    dropped.blob_ids.append(row.blob_id)
            for ids in _parts(dropped.input_ids):
                connection.execute(sa.delete(table).where(table.c.input_id.in_(ids)))
            return dropped

        return await self._database.write(work)

    async def drop_environments(self) -> Dropped:
        """Drop what is of environments that are deleted."""
        table = failed_inputs
        joined = table.join(functions, table.c.function_id == functions.c.function_id).join(
            apps, functions.c.app_id == apps.c.app_id
        )
        # As `Environments` calls them from then on.
        query = sa.select(table.c.input_id, table.c.blob_id).select_from(joined)
        query = query.where(apps.c.environment.startswith("deleted:", autoescape=True))

        def work(connection: sa.Connection) -> Dropped:
            rows = connection.execute(query).all()
            dropped = Dropped([row.input_id for row in rows], [row.blob_id for row in rows if row.blob_id])
            for ids in _parts(dropped.input_ids):
                connection.execute(sa.delete(table).where(table.c.input_id.in_(ids)))
            return dropped

        return await self._database.write(work)

    async def blob_ids(self) -> set[str]:
        """Return the blobs that kept inputs refer to."""
        query = sa.select(failed_inputs.c.blob_id).where(failed_inputs.c.blob_id != "")
        return set(await self._database.read(lambda connection: connection.execute(query).scalars().all()))


def _parts(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[begin : begin + _IDS] for begin in range(0, len(ids), _IDS)]


def _there(
    connection: sa.Connection, column: "sa.Column[str]", ids: Sequence[str], *conditions: "sa.ColumnElement[bool]"
) -> set[str]:
    found: set[str] = set()
    for some in _parts(ids):
        found.update(connection.execute(sa.select(column).where(column.in_(some), *conditions)).scalars())
    return found


def _kept_row(row: "sa.Row[Any]", one: Failed, now_ms: int) -> dict[str, object]:
    payload = codec.deserialize(Payload, row.payload)
    return {
        "input_id": row.input_id,
        "call_id": row.call_id,
        "function_id": row.function_id,
        "app_id": one.app_id,
        "version": one.version,
        "position": row.position,
        "method": row.method,
        "queued_at_ms": row.created_at_ms,
        "failed_at_ms": now_ms,
        "kind": one.kind,
        "error": one.error,
        "attempts": one.attempts,
        "cause": row.cause,
        "origin": row.origin,
        "replayed_by": "",
        "size": max(payload.size, len(payload.data)),
        "blob_id": payload.blob_id,
        "payload": row.payload,
    }


def _conditions(wanted: Wanted) -> "list[sa.ColumnElement[bool]]":
    table = failed_inputs.c
    found: list[sa.ColumnElement[bool]] = [apps.c.environment == wanted.environment]
    if wanted.app:
        found.append((apps.c.app_id == wanted.app) | (apps.c.name == wanted.app))
    if wanted.function:
        name, _, method = wanted.function.rpartition(".")
        found.append(
            (table.function_id == wanted.function)
            | (functions.c.name == wanted.function)
            | ((functions.c.name == name) & (table.method == method))
        )
    if wanted.call_id:
        # An input of a call of many is a call of its own, too.
        found.append((table.call_id == wanted.call_id) | (table.input_id == input_of_call(wanted.call_id)))
    if wanted.input_ids:
        found.append(table.input_id.in_(list(wanted.input_ids)))
    if wanted.since_ms:
        found.append(table.failed_at_ms >= wanted.since_ms)
    if wanted.until_ms:
        found.append(table.failed_at_ms < wanted.until_ms)
    if wanted.error:
        found.append(sa.func.lower(table.error).contains(wanted.error.lower(), autoescape=True))
    if wanted.only_left:
        found.append(table.replayed_by == "")
    return found


def _kept(row: Any, with_payload: bool) -> KeptInput:
    return KeptInput(
        row.input_id,
        row.call_id,
        row.function_id,
        row.function_name,
        row.app_id,
        row.app_name,
        row.environment,
        row.version,
        row.position,
        row.method,
        row.queued_at_ms,
        row.failed_at_ms,
        row.kind,
        row.error,
        row.attempts,
        row.origin,
        row.replayed_by,
        row.size,
        codec.deserialize(Payload, row.payload) if with_payload else None,
    )
