"""All schedules: each tick is run once, whatever ends the service in between.

A tick is over when the database says so. That it is over, and the input that is its run, are written in one
transaction; an input that was written and not yet queued is queued by the next life, as any durable one.
"""

import asyncio
import datetime
import logging
import pickle
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from wherry_proto.messages import CallKind, Failure, Format, FunctionSpec, Payload, ScheduleInfo
from wherry_service.calls.call import Call, Input
from wherry_service.calls.journal import Journal
from wherry_service.errors import InvalidRequest, NotFound, stack_of
from wherry_service.ids import input_of_call, new_id
from wherry_service.schedules.settings import NONE, ScheduleSettings
from wherry_service.schedules.ticks import check, ticks_of
from wherry_service.store.calls import InputRow
from wherry_service.store.schedules import LastRuns, ScheduleRecord, ScheduleStore

log = logging.getLogger(__name__)

# A service that comes to look so late was as good as down: the computer slept, or its clock was set.
STALLED_MS = 60_000
# Seconds after which to look at the clock again, though nothing is due: it may have been set.
LOOK_EVERY_S = 10.0
# Seconds until the next try where the database could not be written.
AGAIN_S = 1.0
NEXT_RUNS = 3
_NO_ARGUMENTS = pickle.dumps(((), {}), 5)


class InputRunner(Protocol):
    """Who runs inputs: the dispatcher."""

    def gate(self) -> Callable[[Input], Failure | None]: ...
    def submit(self, items: Iterable[Input]) -> None: ...


class Scheduled:
    """A function that runs by the clock; raises `InvalidRequest` when made with a schedule that it can't have."""

    def __init__(self, record: ScheduleRecord, name: str, behind: bool) -> None:
        self.record = record
        self.name = name
        check(record.spec)
        self.ticks = ticks_of(record.spec, record.anchor_ms)
        # None: never again.
        self.next_ms: int | None = None
        # Whether it is of an earlier life: what is due now became due while nobody looked.
        self.behind = behind
        self.lock = asyncio.Lock()
        self.passed(record.done_ms)

    def passed(self, ms: int) -> None:
        """Note that what was due until then is over."""
        self.record.done_ms = max(self.record.done_ms, ms)
        self.next_ms = self.ticks.after(self.record.done_ms)

    def __str__(self) -> str:
        return f"function {self.name!r} ({self.record.function_id})"


class Schedules:
    """The schedules of the apps that are deployed."""

    def __init__(
        self,
        store: ScheduleStore,
        journal: Journal,
        host: InputRunner,
        settings: ScheduleSettings = ScheduleSettings(),  # noqa: B008 - immutable
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._journal = journal
        self._host = host
        self._settings = settings
        self._now = now
        self._scheduled: dict[str, Scheduled] = {}
        self._changed = asyncio.Event()

    # What apps say

    async def app_started(self, app_id: str, functions: Iterable[tuple[str, FunctionSpec]]) -> None:
        """Keep the schedules of an app that is served, by its functions' ids, and of no other function of it.

        For an app of an earlier life, and for one whose functions are other ones now. A schedule that has not changed
        goes on where it was.
        """
        wanted = {function_id: spec for function_id, spec in functions if spec.schedule is not None}
        specs = [(function_id, spec.schedule) for function_id, spec in wanted.items() if spec.schedule is not None]
        now_ms = self._now_ms()
        records = await self._store.put_app(app_id, specs, now_ms)
        known = {key: one for key, one in self._scheduled.items() if one.record.app_id == app_id}
        for record in records:
            one = known.pop(record.function_id, None)
            name = wanted[record.function_id].name
            if one is not None and one.record.spec == record.spec:
                one.name = name
                continue
            try:
                self._scheduled[record.function_id] = Scheduled(record, name, record.done_ms < now_ms)
            except InvalidRequest as error:
                # It was checked when it came; what has changed since is what this machine knows of time zones.
                log.error("function %r (%s) does not run by itself: %s", name, record.function_id, error)
        for function_id in known:
            del self._scheduled[function_id]
        self._changed.set()

    async def app_stopped(self, app_id: str) -> None:
        """Forget the schedules of an app: none of its functions runs by the clock any more."""
        gone = [key for key, one in self._scheduled.items() if one.record.app_id == app_id]
        for function_id in gone:
            del self._scheduled[function_id]
        await self._store.drop_app(app_id)

    # The clock

    async def run(self) -> None:
        """Run what is due, when it is due, until cancelled."""
        failures = 0
        while True:
            self._changed.clear()
            try:
                delay_s = min(await self.turn(), LOOK_EVERY_S)
                failures = 0
            except Exception as error:
                failures += 1
                delay_s = AGAIN_S
                if failures == 1:
                    told = "what is due could not be run, and is tried again: %s"
                    log.error(told, error, exc_info=stack_of(error))
                elif failures % 60 == 0:
                    log.error("what is due could not be run %d times: %s", failures, error)
            try:
                async with asyncio.timeout(delay_s):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def turn(self) -> float:
        """Run what is due now; return the seconds until something is due again."""
        now_ms = self._now_ms()
        due = []
        for one in self._scheduled.values():
            if self._is_due(one, now_ms):
                due.append(one)
            else:
                one.behind = False
        results = await asyncio.gather(*(self._run_due(one, now_ms) for one in due), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        soon = [one.next_ms for one in self._scheduled.values() if one.next_ms is not None and not one.record.paused]
        return max(0.0, (min(soon) - self._now_ms()) / 1000) if soon else LOOK_EVERY_S

    def delays(self) -> dict[str, float]:
        """Return, of each function that runs by the clock, for how many seconds a run of it is due: 0 if none is."""
        now_ms = self._now_ms()
        return {
            function_id: max(0, now_ms - (one.next_ms or now_ms)) / 1000 if not one.record.paused else 0.0
            for function_id, one in self._scheduled.items()
        }

    def _is_due(self, one: Scheduled, now_ms: int) -> bool:
        return not one.record.paused and one.next_ms is not None and one.next_ms <= now_ms

    async def _run_due(self, one: Scheduled, now_ms: int) -> None:
        async with one.lock:
            if one.behind or (one.next_ms is not None and now_ms - one.next_ms > STALLED_MS):
                await self._pass_over(one, now_ms)
            while self._is_due(one, now_ms):
                assert one.next_ms is not None
                await self._fire(one, one.next_ms)
            one.behind = False

    async def _pass_over(self, one: Scheduled, now_ms: int) -> None:
        """Leave only the newest of several ticks that were missed, or none, as the settings say."""
        newest = one.ticks.newest(one.record.done_ms, now_ms)
        if newest is None:
            return
        catch_up = self._settings.catch_up
        if newest == one.next_ms and catch_up != NONE:
            return
        log.warning(
            "%s: what was due from %s to %s was missed; %s",
            one,
            _time(one.next_ms),
            _time(newest),
            "none of it is run" if catch_up == NONE else "the last of it is run now",
        )
        over_ms = newest if catch_up == NONE else newest - 1
        await self._store.pass_over(one.record.function_id, over_ms)
        one.passed(over_ms)

    async def _fire(self, one: Scheduled, tick_ms: int) -> None:
        item, row, error = self._prepared(one)
        fresh = await self._store.take(one.record.function_id, tick_ms, row, error, self._now_ms())
        one.passed(tick_ms)
        if error and fresh:
            log.warning("%s was not run at %s: %s", one, _time(tick_ms), error)
        elif fresh:
            self._queue(item)

    def _prepared(self, one: Scheduled) -> tuple[Input, InputRow | None, str]:
        """Return the input of a run, what is written of it, and why it can't be taken ("": it can)."""
        function_id, call_id = one.record.function_id, new_id("fc")
        payload = Payload(format=Format.PICKLE, data=_NO_ARGUMENTS, size=len(_NO_ARGUMENTS))
        call = Call(call_id, function_id, CallKind.SPAWN, None, "")
        call.scheduled = True
        item = Input(input_of_call(call_id), call, 0, payload, queued_ms=self._now_ms())
        refusal = self._host.gate()(item)
        if refusal is not None:
            return item, None, refusal.message
        return item, (item.input_id, call_id, function_id, 0, payload, ""), ""

    def _queue(self, item: Input) -> None:
        self._journal.restore([item])
        self._journal.recorder.called(item.call)
        self._host.submit([item])

    # Asked for

    async def infos(self, app_ids: Sequence[str]) -> list[ScheduleInfo]:
        """Return the schedules of these apps: their next runs, and how the last one went.

        The app's name and environment are the caller's to fill in.
        """
        found = [one for one in self._scheduled.values() if one.record.app_id in app_ids]
        runs = await self._store.last_runs([one.record.function_id for one in found])
        return [self._info(one, runs.get(one.record.function_id)) for one in found]

    async def all(self) -> list[ScheduleInfo]:
        """Return the schedules of all apps."""
        return await self.infos(list({one.record.app_id for one in self._scheduled.values()}))

    async def run_now(self, function_id: str, operation_id: str) -> ScheduleInfo:
        """Run a function beside its schedule, paused or not; the same operation asked for twice runs once."""
        # Not to be interrupted by a client that goes: what was written must be queued, too.
        await asyncio.shield(asyncio.ensure_future(self._ask(self._find(function_id), operation_id)))
        return await self.info(function_id)

    async def pause(self, function_id: str) -> ScheduleInfo:
        """Have no tick run the function from now on."""
        return await self._set_paused(function_id, True)

    async def resume(self, function_id: str) -> ScheduleInfo:
        """Have ticks run it again, from now on."""
        return await self._set_paused(function_id, False)

    async def info(self, function_id: str) -> ScheduleInfo:
        """Return a function's schedule, as `infos` does; raise `NotFound`."""
        one = self._find(function_id)
        return self._info(one, (await self._store.last_runs([function_id])).get(function_id))

    async def open_calls(self) -> set[str]:
        """Return the ids of the calls that are runs and, as far as was noted, have not ended."""
        return await self._store.open_calls()

    async def expire(self) -> None:
        """Forget how ticks of long ago went."""
        await self._store.expire(self._now_ms())

    async def _set_paused(self, function_id: str, paused: bool) -> ScheduleInfo:
        await asyncio.shield(asyncio.ensure_future(self._change(self._find(function_id), paused)))
        return await self.info(function_id)

    async def _ask(self, one: Scheduled, operation_id: str) -> None:
        item, row, error = self._prepared(one)
        if await self._store.ask(one.record.function_id, operation_id, row, error, self._now_ms()) and not error:
            self._queue(item)

    async def _change(self, one: Scheduled, paused: bool) -> None:
        async with one.lock:
            if one.record.paused != paused:
                # What became due during the pause stays undone; what is due at its beginning may be on its way.
                done_ms = one.record.done_ms if paused else max(one.record.done_ms, self._now_ms())
                await self._store.set_paused(one.record.function_id, paused, done_ms)
                one.passed(done_ms)
                one.record.paused = paused
        self._changed.set()

    def _find(self, function_id: str) -> Scheduled:
        one = self._scheduled.get(function_id)
        if one is None:
            raise NotFound(
                f"function {function_id[:64]} has no schedule, or its app is not deployed: `wherry schedule list` "
                "shows those that have one"
            )
        return one

    def _info(self, one: Scheduled, runs: LastRuns | None) -> ScheduleInfo:
        record = one.record
        next_ms: list[int] = []
        tick = None if record.paused else one.next_ms
        while tick is not None and len(next_ms) < NEXT_RUNS:
            next_ms.append(tick)
            tick = one.ticks.after(tick)
        return ScheduleInfo(
            function_id=record.function_id,
            function_name=one.name,
            app_id=record.app_id,
            schedule=record.spec,
            paused=record.paused,
            next_ms=next_ms,
            last=runs[0] if runs is not None else None,
            last_ended=runs[1] if runs is not None else None,
        )

    def _now_ms(self) -> int:
        return int(self._now() * 1000)


def _time(ms: int | None) -> str:
    return datetime.datetime.fromtimestamp((ms or 0) / 1000, datetime.UTC).isoformat(timespec="seconds")
