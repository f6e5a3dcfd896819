"""What graphs draw: how many inputs ended how, how long they took, and what was there for them, over time."""

import itertools
import time
from collections.abc import Sequence

from wherry_proto.messages import (
    ContainerUsagePoint,
    ContainerUsageRequest,
    ContainerUsageResponse,
    SeriesPoint,
    SeriesRequest,
    SeriesResponse,
)
from wherry_service.ids import check_id
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


async def usage(asked: Asked) -> Response:
    """Return the processors and the memory that a container has used over the last hour, as columns."""
    container_id = check_id(asked.parts["container"], "co", "container id")
    request = ContainerUsageRequest(container_id=container_id)
    found: ContainerUsageResponse = await asked.ask("Containers.Usage", request)
    return as_json(usage_columns(found.points))


def usage_columns(points: Sequence[ContainerUsagePoint]) -> dict[str, object]:
    """Return how many processors were busy between two looks, and MiB of memory at each."""
    cores: list[float | None] = [None] if points else []
    for before, point in itertools.pairwise(points):
        passed = (point.at_ms - before.at_ms) * 1_000_000
        cores.append(round(max(0.0, (point.cpu_ns - before.cpu_ns) / passed), 4) if passed > 0 else None)
    return {
        "at": [point.at_ms / 1000 for point in points],
        "cores": cores,
        "memory": [round(point.memory_bytes / (1 << 20), 2) for point in points],
    }


FEEDS = (Feed("/series", series), Feed("/containers/{container}/usage", usage))
