"""What graphs draw of a series."""

import pytest

from wherry_proto.messages import ContainerUsagePoint, OutcomeCounts, SeriesPoint, SeriesResponse
from wherry_service.ui.pages.series import columns, usage_columns


def test_points_where_nothing_happened_are_drawn_too() -> None:
    counts = OutcomeCounts(succeeded=30, failed=1, timeout=2, cancelled=9, lost=3, rejected=4)
    busy = SeriesPoint(at_ms=120_000, counts=counts, run_p50=0.5, run_p95=2.0, queue_p95=0.1, backlog=7, running=2)
    found = SeriesResponse(points=[busy], step_ms=60_000, since_ms=60_000, until_ms=200_000)
    drawn = columns(found)
    assert drawn["at"] == [60.0, 120.0, 180.0]
    assert drawn["succeeded"] == [0.0, 30.0, 0.0]
    assert drawn["failed"] == [0.0, 10.0, 0.0]
    assert drawn["p50"] == [None, 0.5, None]
    assert drawn["p95"] == [None, 2.0, None]
    assert drawn["backlog"] == [0, 7, 0]
    assert {len(column) for name, column in drawn.items() if isinstance(column, list)} == {3}


@pytest.mark.parametrize(("step_ms", "rate"), [(5_000, 120.0), (60_000, 10.0), (900_000, 0.667)])
def test_inputs_are_counted_by_the_minute(step_ms: int, rate: float) -> None:
    point = SeriesPoint(at_ms=step_ms, counts=OutcomeCounts(succeeded=10))
    found = SeriesResponse(points=[point], step_ms=step_ms, since_ms=step_ms, until_ms=step_ms)
    assert columns(found)["succeeded"] == [rate]


def test_a_series_without_anything_is_drawn() -> None:
    assert columns(SeriesResponse())["at"] == [0.0]


def test_processors_are_those_busy_between_two_looks() -> None:
    looks = ((1_000, 0, 1 << 20), (11_000, 5_000_000_000, 2 << 20), (11_000, 6_000_000_000, 0), (21_000, 0, 0))
    points = [ContainerUsagePoint(at_ms=at, cpu_ns=cpu, memory_bytes=memory) for at, cpu, memory in looks]
    drawn = usage_columns(points)
    assert drawn["cores"] == [None, 0.5, None, 0.0]
    assert drawn["memory"] == [1.0, 2.0, 0.0, 0.0]
    assert usage_columns([]) == {"at": [], "cores": [], "memory": []}
