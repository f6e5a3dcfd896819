"""How many inputs ended how and how long they took: of functions, and as points in time."""

import time
from collections.abc import Callable, Iterable

from wherry_proto.messages import RecordStats, SeriesPoint, SeriesResponse, StatsResponse
from wherry_service.errors import InvalidRequest
from wherry_service.records import tally
from wherry_service.records.rollup import LIVE_FOR_MS, LIVE_MS, NOTHING, Point, Rollup
from wherry_service.records.rows import Subject
from wherry_service.records.tally import Counts, Gauges
from wherry_service.store.rollups import HOUR_MS, MINUTE_MS, MINUTES_FOR_MS, Asked

# Milliseconds of a point that are chosen from, so that a graph has this many at most.
STEPS_MS = (60_000, 300_000, 900_000, 3_600_000, 21_600_000, 86_400_000)
GOOD_POINTS = 300
MAX_POINTS = 2000


class Statistics:
    """Answers what is asked about many inputs at once."""

    def __init__(self, rollup: Rollup, now: Callable[[], float] = time.time) -> None:
        self._rollup = rollup
        self._now = now

    async def stats(self, environment: str, app: str, function: str, since_ms: int, until_ms: int) -> StatsResponse:
        """Return what was counted of each function of an environment in a time, and together."""
        now_ms = int(self._now() * 1000)
        begin_ms = since_ms // MINUTE_MS * MINUTE_MS
        if begin_ms < now_ms - MINUTES_FOR_MS:
            begin_ms = begin_ms // HOUR_MS * HOUR_MS
        end_ms = until_ms or now_ms + 1
        asked = Asked(environment, app, function, begin_ms, end_ms)
        sums, first_ms = await self._rollup.minutes(asked, _by_function)
        gauges = self._rollup.look()
        whole, together = tally.empty(), Gauges()
        functions: list[RecordStats] = []
        for function_id, (subject, counts) in sums.items():
            own = gauges.get(function_id, NOTHING)
            functions.append(_stats(subject, counts, own))
            tally.add(whole, counts)
            together = together.and_also(own)
        functions.sort(key=lambda one: (one.app_name, one.function_name, one.function_id))
        if not since_ms and first_ms is not None:
            begin_ms = first_ms
        return StatsResponse(
            functions=functions, total=_stats(None, whole, together), since_ms=begin_ms, until_ms=min(end_ms, now_ms)
        )

    async def series(
        self, environment: str, app: str, function: str, since_ms: int, until_ms: int, step_ms: int
    ) -> SeriesResponse:
        """Return points in time; raise `InvalidRequest` for a step that there is not."""
        now_ms = int(self._now() * 1000)
        end_ms = until_ms or now_ms + 1
        begin_ms = since_ms or end_ms - (LIVE_FOR_MS if step_ms == LIVE_MS else HOUR_MS)
        step_ms = step_ms or next((one for one in STEPS_MS if (end_ms - begin_ms) / one <= GOOD_POINTS), STEPS_MS[-1])
        if step_ms != LIVE_MS and (step_ms <= 0 or step_ms % MINUTE_MS):
            raise InvalidRequest(
                f"step_ms is {step_ms}: it is a multiple of {MINUTE_MS}, or {LIVE_MS} for the last ten minutes"
            )
        begin_ms = begin_ms // step_ms * step_ms
        if (end_ms - begin_ms) / step_ms > MAX_POINTS:
            raise InvalidRequest(
                f"{(end_ms - begin_ms) // step_ms} points are asked for, and {MAX_POINTS} is the most: take a longer "
                "step or a shorter time"
            )
        ask = self._rollup.points if step_ms == LIVE_MS else self._rollup.minutes
        asked = Asked(environment, app, function, begin_ms, end_ms)
        steps = await ask(asked, lambda points: _by_step(points, step_ms))
        found = [_point(at_ms, counts, gauges) for at_ms, (counts, gauges) in sorted(steps.items())]
        return SeriesResponse(points=found, step_ms=step_ms, since_ms=begin_ms, until_ms=min(end_ms, now_ms))


def _by_function(points: Iterable[Point]) -> tuple[dict[str, tuple[Subject, Counts]], int | None]:
    """Return the sums of points by function, and when the first of them begins."""
    sums: dict[str, tuple[Subject, Counts]] = {}
    first_ms: int | None = None
    for point in points:
        known = sums.setdefault(point.subject.function_id, (point.subject, tally.empty()))
        tally.add(known[1], point.counts)
        first_ms = point.at_ms if first_ms is None else min(first_ms, point.at_ms)
    return sums, first_ms


def _by_step(points: Iterable[Point], step_ms: int) -> dict[int, tuple[Counts, Gauges]]:
    """Return the sums of points by the beginning of their step."""
    # What there was of several functions at one time adds up; of one function in several spans the most counts.
    at_once: dict[int, dict[str, Gauges]] = {}
    sums: dict[int, Counts] = {}
    for point in points:
        at_ms = point.at_ms // step_ms * step_ms
        tally.add(sums.setdefault(at_ms, tally.empty()), point.counts)
        own = at_once.setdefault(at_ms, {})
        function_id = point.subject.function_id
        own[function_id] = own.get(function_id, NOTHING).most(point.gauges)
    found: dict[int, tuple[Counts, Gauges]] = {}
    for at_ms, counts in sums.items():
        together = NOTHING
        for gauges in at_once[at_ms].values():
            together = together.and_also(gauges)
        found[at_ms] = counts, together
    return found


def _point(at_ms: int, counts: Counts, gauges: Gauges) -> SeriesPoint:
    run, queue = tally.run_buckets(counts), tally.queue_buckets(counts)
    return SeriesPoint(
        at_ms=at_ms,
        counts=tally.outcomes(counts),
        run_p50=tally.percentile(run, 0.50),
        run_p95=tally.percentile(run, 0.95),
        queue_p95=tally.percentile(queue, 0.95),
        cold_starts=counts[tally.COLD_STARTS],
        backlog=gauges.backlog,
        running=gauges.running,
        containers=gauges.containers,
    )


def _stats(subject: Subject | None, counts: Counts, gauges: Gauges) -> RecordStats:
    return RecordStats(
        app_id=subject.app_id if subject is not None else "",
        app_name=subject.app_name if subject is not None else "",
        function_id=subject.function_id if subject is not None else "",
        function_name=subject.function_name if subject is not None else "",
        counts=tally.outcomes(counts),
        queue=tally.percentiles(tally.queue_buckets(counts), counts[tally.QUEUE_MS]),
        run=tally.percentiles(tally.run_buckets(counts), counts[tally.RUN_MS]),
        backlog=gauges.backlog,
        running=gauges.running,
        containers=gauges.containers,
        cold_starts=counts[tally.COLD_STARTS],
    )
