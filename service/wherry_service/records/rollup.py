"""What is counted of functions in time: points of 5 s of the last ten minutes in memory, minutes and hours on disk."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar

from wherry_service.errors import ServiceError
from wherry_service.records import tally
from wherry_service.records.functions import FunctionRecords
from wherry_service.records.records import CallRecords
from wherry_service.records.rows import Subject
from wherry_service.records.tally import Counts, Gauges
from wherry_service.store.rollups import MINUTE_MS, Asked, RollupRow, RollupStore

log = logging.getLogger(__name__)

LIVE_MS = 5_000
LIVE_FOR_MS = 600_000
# Points of all functions, of the last ten minutes; the oldest are forgotten beyond that.
MAX_LIVE = 20_000
# Minutes that could not be written yet; the oldest are forgotten beyond that.
MAX_UNWRITTEN = 20_000
# Seconds between two looks at how much waits and runs.
LOOK_EVERY_S = 1.0
NOTHING = Gauges()

T = TypeVar("T")

Look = Callable[[], Mapping[str, Gauges]]
"""Returns how much waits and runs now, by function."""


class Point(NamedTuple):
    """What was counted of a function in a span of time that begins at `at_ms`."""

    at_ms: int
    subject: Subject
    counts: Counts
    gauges: Gauges


class _Open:
    """A function's span of time that is not over yet."""

    __slots__ = ("before", "gauges")

    def __init__(self, before: Counts) -> None:
        # What was counted until it began.
        self.before = before
        self.gauges = NOTHING


class Rollup:
    """Looks at the tallies of all functions, again and again."""

    def __init__(self, records: CallRecords, store: RollupStore, look: Look, now: Callable[[], float] = time.time):
        self._records = records
        self._store = store
        self._look = look
        self._now = now
        self.live: deque[Point] = deque(maxlen=MAX_LIVE)
        self._unwritten: deque[Point] = deque(maxlen=MAX_UNWRITTEN)
        self._writing: list[Point] = []
        # By function: since the last 5 s, and since the last minute.
        self._short: dict[str, _Open] = {}
        self._long: dict[str, _Open] = {}
        self._short_ms = self._now_ms() // LIVE_MS * LIVE_MS
        self._long_ms = self._now_ms() // MINUTE_MS * MINUTE_MS

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.turn()

    def turn(self) -> None:
        """Look once: note what has changed, and end what is over."""
        now_ms = self._now_ms()
        gauges = self._look()
        self._end(now_ms, gauges)
        for function in self._records:
            seen = gauges.get(function.subject.function_id, NOTHING)
            if seen is not NOTHING and any(seen):
                for spans in (self._short, self._long):
                    one = self._opened(spans, function)
                    one.gauges = one.gauges.most(seen)

    def _end(self, now_ms: int, gauges: Mapping[str, Gauges]) -> None:
        if now_ms // LIVE_MS * LIVE_MS != self._short_ms:
            self.live.extend(self._points(self._short, self._short_ms))
            self._short_ms = now_ms // LIVE_MS * LIVE_MS
            while self.live and self.live[0].at_ms < now_ms - LIVE_FOR_MS:
                self.live.popleft()
        if now_ms // MINUTE_MS * MINUTE_MS != self._long_ms:
            self._unwritten.extend(self._points(self._long, self._long_ms))
            self._long_ms = now_ms // MINUTE_MS * MINUTE_MS

    def _points(self, spans: dict[str, _Open], at_ms: int) -> list[Point]:
        """Return what was counted in a span that is over, and begin the next."""
        found: list[Point] = []
        for function in self._records:
            function_id = function.subject.function_id
            one = spans.get(function_id)
            point = self._point(function, one, at_ms)
            if point is not None:
                found.append(point)
                spans[function_id] = _Open(list(function.tally.counts))
        for gone in [one for one in spans if self._records.get(one) is None]:
            del spans[gone]
        return found

    def _point(self, function: FunctionRecords, one: _Open | None, at_ms: int) -> Point | None:
        before = one.before if one is not None else tally.empty()
        gauges = one.gauges if one is not None else NOTHING
        if function.tally.counts == before and not any(gauges):
            return None
        return Point(at_ms, function.subject, tally.less(function.tally.counts, before), gauges)

    def _opened(self, spans: dict[str, _Open], function: FunctionRecords) -> _Open:
        one = spans.get(function.subject.function_id)
        if one is None:
            one = spans[function.subject.function_id] = _Open(tally.empty())
        return one

    async def write(self) -> None:
        """Write minutes that are over; what can't be written now is tried again."""
        if self._writing or not self._unwritten:
            return
        self._writing, self._unwritten = list(self._unwritten), deque(maxlen=MAX_UNWRITTEN)
        try:
            await self._store.add([_row(point) for point in self._writing])
        except ServiceError as error:
            log.debug("minutes of calls could not be written yet: %s", error)
            self._unwritten.extendleft(reversed(self._writing))
        finally:
            self._writing = []

    async def close(self) -> None:
        """Write the minute that has begun."""
        self._unwritten.extend(self._points(self._long, self._long_ms))
        await self.write()

    async def compact(self, keep_days: float) -> None:
        """Turn old minutes into hours, and forget what is too old."""
        await self._store.compact(self._now_ms(), _merge, int(keep_days * 86_400_000))

    # Asking

    async def minutes(self, asked: Asked, use: Callable[[Iterator[Point]], T]) -> T:
        """Return what `use` makes, in a thread, of points of minutes and hours, that of the minute that is now too."""
        current = (self._point(one, self._long.get(one.subject.function_id), self._long_ms) for one in self._records)
        unwritten = [*self._writing, *self._unwritten, *(one for one in current if one is not None)]

        def merged(rows: Iterator[RollupRow]) -> Iterator[Point]:
            later = {_row(one): one for one in unwritten if _is_asked(one, asked)}
            for row in rows:
                # Some may have been written meanwhile.
                later.pop(row, None)
                yield _read(row)
            yield from later.values()

        return await self._store.between(asked, lambda rows: use(merged(rows)))

    async def points(self, asked: Asked, use: Callable[[Iterator[Point]], T]) -> T:
        """Return what `use` makes, in a thread, of points of 5 s, that of the span that is now too."""
        current = (self._point(one, self._short.get(one.subject.function_id), self._short_ms) for one in self._records)
        found = [*self.live, *(point for point in current if point is not None)]
        return await asyncio.to_thread(lambda: use(one for one in found if _is_asked(one, asked)))

    def look(self) -> Mapping[str, Gauges]:
        """Return how much waits and runs now, by function."""
        return self._look()

    def _now_ms(self) -> int:
        return int(self._now() * 1000)


def _is_asked(point: Point, asked: Asked) -> bool:
    return asked.since_ms <= point.at_ms < asked.until_ms and point.subject.is_meant(
        asked.environment, asked.app, asked.function
    )


def _row(point: Point) -> RollupRow:
    subject = point.subject
    return RollupRow(
        point.at_ms,
        MINUTE_MS,
        subject.environment,
        subject.app_id,
        subject.app_name,
        subject.function_id,
        subject.function_name,
        tally.text_of(point.counts),
        *point.gauges,
    )


def _read(row: RollupRow) -> Point:
    subject = Subject(row.environment, row.app_id, row.app_name, row.function_id, row.function_name)
    gauges = Gauges(row.backlog, row.running, row.containers)
    return Point(row.at_ms, subject, tally.read(row.counts), gauges)


def _merge(texts: Iterable[str]) -> str:
    counts = tally.empty()
    for text in texts:
        tally.add(counts, tally.read(text))
    return tally.text_of(counts)
