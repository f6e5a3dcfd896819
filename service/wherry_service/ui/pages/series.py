"""What graphs draw: how many inputs ended how, how long they took, and what was there for them, over time."""

import time

from wherry_proto.messages import SeriesPoint, SeriesRequest, SeriesResponse
from wherry_service.ui.page import Asked, Feed
from wherry_service.ui.web import Response, as_json

# Minutes that are looked back, and milliseconds of one point.
SPANS = {10: 5_000, 60: 60_000, 24 * 60: 15 * 60_000, 7 * 24 * 60: 2 * 60 * 60_000}
USUAL = 60


async def series(asked: Asked) -> Response:
    """Return the columns of graphs: a row for each point, also where nothing happened."""
    minutes = asked.number("minutes", USUAL)
    step = SPANS.get(minutes)
    if step is None:
        minutes, step = USUAL, SPANS[USUAL]
    now = time.time_ns() // 1_000_000
    request = SeriesRequest(
        environment=asked.environment,
        app=asked.query.get("app", "")[:64],
        function=asked.query.get("function", "")[:128],
        since_ms=now - minutes * 60_000,
        until_ms=now,
        step_ms=step,
    )
    found: SeriesResponse = await asked.ask("Records.Series", request)
    return as_json(columns(found))


def columns(found: SeriesResponse) -> dict[str, object]:
    """Return each line of the graphs as a list of numbers; None where there is nothing to say."""
    step = max(1, found.step_ms)
    known = {point.at_ms // step: point for point in found.points}
    places = range(found.since_ms // step, found.until_ms // step + 1)
    points = [known.get(place) or SeriesPoint(at_ms=place * step) for place in places]
    minutes = step / 60_000
    # The last point is not over yet: of one that has hardly begun nothing can be said.
    counts = [(point.counts.succeeded, _failed(point)) if point.counts is not None else (0, 0) for point in points]
    return {
        "step_s": step / 1000,
        "at": [place * step / 1000 for place in places],
        "succeeded": [round(succeeded / minutes, 3) for succeeded, _ in counts],
        "failed": [round(failed / minutes, 3) for _, failed in counts],
        "p50": [_time(point, point.run_p50) for point in points],
        "p95": [_time(point, point.run_p95) for point in points],
        "queue_p95": [_time(point, point.queue_p95) for point in points],
        "backlog": [point.backlog for point in points],
        "running": [point.running for point in points],
        "containers": [point.containers for point in points],
        "cold_starts": [point.cold_starts for point in points],
    }


def _failed(point: SeriesPoint) -> int:
    counts = point.counts
    return counts.failed + counts.timeout + counts.lost + counts.rejected if counts is not None else 0


def _time(point: SeriesPoint, seconds: float) -> float | None:
    counts = point.counts
    return seconds if counts is not None and counts.succeeded + _failed(point) else None


FEEDS = (Feed("/series", series),)
