"""Schedules on disk: what is due when, and which ticks are over."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from wherry_proto import codec
from wherry_proto.messages import Failure, Output, ScheduledRun, ScheduledState, ScheduleSpec
from wherry_service.store.calls import KEEP_RESULTS_S, InputRow, add_inputs_in
from wherry_service.store.database import Database
from wherry_service.store.schema import inputs, schedule_runs, schedules

# Longer than the calls' results, so that how they ended has been noted by then.
KEEP_RUNS_MS = int((KEEP_RESULTS_S + 86_400) * 1000)
_ERROR_LENGTH = 500

LastRuns = tuple[ScheduledRun, ScheduledRun | None]


@dataclass(slots=True)
class ScheduleRecord:
    """A row of `schedules`."""

    function_id: str
    app_id: str
    spec: ScheduleSpec
    anchor_ms: int
    done_ms: int
    paused: bool = False


class ScheduleStore:
    """Reads and writes the `schedules` and `schedule_runs` tables."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put_app(
        self, app_id: str, wanted: Sequence[tuple[str, ScheduleSpec]], now_ms: int
    ) -> list[ScheduleRecord]:
        """Make these the schedules of the app's functions; return them as they are then.

        One that is as it was goes on; one that has changed begins now, and stays paused if it was.
        """

        def work(connection: sa.Connection) -> list[ScheduleRecord]:
            rows = connection.execute(sa.select(schedules).where(schedules.c.app_id == app_id)).all()
            known = {row.function_id: _record(row) for row in rows}
            found = []
            for function_id, spec in wanted:
                record = known.pop(function_id, None)
                if record is None or record.spec != spec:
                    paused = record is not None and record.paused
                    record = ScheduleRecord(function_id, app_id, spec, now_ms, now_ms, paused)
                    own = schedules.c.function_id == function_id
                    connection.execute(sa.delete(schedules).where(own))
                    connection.execute(sa.insert(schedules), _values(record))
                found.append(record)
            if known:
                connection.execute(sa.delete(schedules).where(schedules.c.function_id.in_(list(known))))
            return found

        return await self._database.write(work)

    async def drop_app(self, app_id: str) -> None:
        """Forget the schedules of an app; how its ticks went is kept for a while."""
        statement = sa.delete(schedules).where(schedules.c.app_id == app_id)
        await self._database.write(lambda connection: connection.execute(statement).rowcount)

    async def set_paused(self, function_id: str, paused: bool, done_ms: int) -> None:
        """Pause or resume; what was due until `done_ms` is over."""
        own = schedules.c.function_id == function_id
        statement = sa.update(schedules).where(own).values(paused=paused, done_ms=done_ms)
        await self._database.write(lambda connection: connection.execute(statement).rowcount)

    async def take(self, function_id: str, tick_ms: int, row: InputRow | None, error: str, now_ms: int) -> bool:
        """Note a tick as over, and in the same transaction the input that is its run, if it has one.

        Return False, and note nothing, where it was over already or the schedule is paused or gone.
        """

        def work(connection: sa.Connection) -> bool:
            own = (schedules.c.function_id == function_id) & (schedules.c.done_ms < tick_ms) & ~schedules.c.paused
            if connection.execute(sa.update(schedules).where(own).values(done_ms=tick_ms)).rowcount == 0:
                return False
            _note(connection, function_id, tick_ms, "", row, error, now_ms)
            return True

        return await self._database.write(work)

    async def ask(self, function_id: str, operation_id: str, row: InputRow | None, error: str, now_ms: int) -> bool:
        """Note a run that no tick asked for, with its input; return False where it was asked for already."""

        def work(connection: sa.Connection) -> bool:
            known = sa.select(schedule_runs.c.call_id).where(schedule_runs.c.asked == operation_id)
            if connection.execute(known.where(schedule_runs.c.function_id == function_id)).first() is not None:
                return False
            _note(connection, function_id, now_ms, operation_id, row, error, now_ms)
            return True

        return await self._database.write(work)

    async def pass_over(self, function_id: str, tick_ms: int) -> None:
        """Note that a tick, and those before it, will not be run."""
        own = (schedules.c.function_id == function_id) & (schedules.c.done_ms < tick_ms)
        statement = sa.update(schedules).where(own).values(done_ms=tick_ms)
        await self._database.write(lambda connection: connection.execute(statement).rowcount)

    async def last_runs(self, function_ids: Iterable[str]) -> dict[str, LastRuns]:
        """Return each function's latest run, as far as it has come, and the latest that has ended; None: none has."""
        ids = list(function_ids)
        has_ended = (schedule_runs.c.state != ScheduledState.RUNNING) | (inputs.c.finished_at_ms > 0)

        def work(connection: sa.Connection) -> dict[str, LastRuns]:
            found: dict[str, LastRuns] = {}
            for function_id in ids:
                query = _joined().where(schedule_runs.c.function_id == function_id)
                latest = query.order_by(schedule_runs.c.queued_at_ms.desc(), schedule_runs.c.tick_ms.desc()).limit(1)
                if (row := connection.execute(latest).first()) is not None:
                    last = _run(row)
                    ended = row if last.finished_at_ms else connection.execute(latest.where(has_ended)).first()
                    found[function_id] = (last, _run(ended) if ended is not None else None)
            return found

        return await self._database.read(work)

    async def open_calls(self) -> set[str]:
        """Return the calls of runs of which it is not noted how they ended."""
        query = sa.select(schedule_runs.c.call_id).where(schedule_runs.c.state == ScheduledState.RUNNING)
        return set(await self._database.read(lambda connection: connection.execute(query).scalars().all()))

    async def expire(self, now_ms: int) -> None:
        """Note how runs ended, while their calls are known; forget old runs but each function's latest."""

        def work(connection: sa.Connection) -> None:
            ended = _joined().where(schedule_runs.c.state == ScheduledState.RUNNING, inputs.c.finished_at_ms > 0)
            for row in connection.execute(ended).all():
                run = _run(row)
                connection.execute(
                    sa.update(schedule_runs)
                    .where(
                        schedule_runs.c.function_id == row.function_id,
                        schedule_runs.c.tick_ms == row.tick_ms,
                        schedule_runs.c.asked == row.asked,
                    )
                    .values(state=run.state, finished_at_ms=run.finished_at_ms, error=run.error)
                )
            newest = sa.select(sa.func.max(schedule_runs.c.queued_at_ms)).group_by(schedule_runs.c.function_id)
            old = (
                (schedule_runs.c.queued_at_ms < now_ms - KEEP_RUNS_MS)
                & (schedule_runs.c.state != ScheduledState.RUNNING)
                & schedule_runs.c.queued_at_ms.not_in(newest)
            )
            calls = sa.select(schedule_runs.c.call_id).where(old)
            # Their results are gone. One a second, their rows would be most of the database in the end.
            gone = (inputs.c.finished_at_ms > 0) & (inputs.c.output == b"")
            connection.execute(sa.delete(inputs).where(inputs.c.call_id.in_(calls), gone))
            connection.execute(sa.delete(schedule_runs).where(old))

        await self._database.write(work)


def _note(
    connection: sa.Connection, function_id: str, tick_ms: int, asked: str, row: InputRow | None, error: str, now_ms: int
) -> None:
    if row is not None:
        add_inputs_in(connection, [row], "", now_ms)
    connection.execute(
        sa.insert(schedule_runs),
        {
            "function_id": function_id,
            "tick_ms": tick_ms,
            "asked": asked,
            "call_id": row[1] if row is not None else "",
            "queued_at_ms": now_ms,
            "state": ScheduledState.RUNNING if row is not None else ScheduledState.SKIPPED,
            "finished_at_ms": 0 if row is not None else now_ms,
            "error": error[:_ERROR_LENGTH],
        },
    )


def _joined() -> "sa.Select[tuple[object, ...]]":
    """Select runs, each with how its call stands."""
    columns = (inputs.c.finished_at_ms.label("call_finished_at_ms"), inputs.c.output)
    together = schedule_runs.outerjoin(inputs, inputs.c.call_id == schedule_runs.c.call_id)
    return sa.select(*schedule_runs.c, *columns).select_from(together)


def _run(row: "sa.Row[tuple[object, ...]]") -> ScheduledRun:
    state, finished_at_ms, error = row.state, row.finished_at_ms, row.error
    if state == ScheduledState.RUNNING and row.call_finished_at_ms:
        failure = codec.deserialize(Output, row.output).failure if row.output else None
        state = ScheduledState.FAILED if failure is not None else ScheduledState.SUCCEEDED
        finished_at_ms, error = row.call_finished_at_ms, _text(failure)
    return ScheduledRun(
        tick_ms=row.tick_ms,
        queued_at_ms=row.queued_at_ms,
        finished_at_ms=finished_at_ms,
        call_id=row.call_id,
        state=state,
        error=error,
        manual=bool(row.asked),
    )


def _text(failure: Failure | None) -> str:
    if failure is None:
        return ""
    kind = failure.type_name.removeprefix("builtins.")
    return f"{kind}: {failure.message}"[:_ERROR_LENGTH] if kind else failure.message[:_ERROR_LENGTH]


def _values(record: ScheduleRecord) -> dict[str, object]:
    return {
        "function_id": record.function_id,
        "app_id": record.app_id,
        "spec": codec.serialize(record.spec),
        "anchor_ms": record.anchor_ms,
        "done_ms": record.done_ms,
        "paused": record.paused,
    }


def _record(row: "sa.Row[tuple[object, ...]]") -> ScheduleRecord:
    spec = codec.deserialize(ScheduleSpec, row.spec)
    return ScheduleRecord(row.function_id, row.app_id, spec, row.anchor_ms, row.done_ms, row.paused)
