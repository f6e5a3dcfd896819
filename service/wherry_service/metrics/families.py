"""Families of metrics, made of what the parts count."""

from collections.abc import Iterable, Sequence
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from wherry_service.metering import Histogram

Row = tuple[Sequence[str], float]


def gauge(name: str, text: str, rows: Iterable[Row], labels: Sequence[str] = ()) -> Metric:
    """Return what goes up and down. Rows with the same labels are added up."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in _summed(rows):
        family.add_metric(list(values), value)
    return family


def counter(name: str, text: str, rows: Iterable[Row], labels: Sequence[str] = ()) -> Metric:
    """Return what only grows; its name is told with `_total`. Rows with the same labels are added up."""
    family = CounterMetricFamily(name, text, labels=labels)
    for values, value in _summed(rows):
        family.add_metric(list(values), value)
    return family


def histogram(
    name: str, text: str, rows: Iterable[tuple[Sequence[str], Histogram]], labels: Sequence[str] = ()
) -> Metric:
    """Return how often something took how long."""
    family = HistogramMetricFamily(name, text, labels=labels)
    for values, one in rows:
        counts = list(accumulate(one.counts))
        bounds = [*map(_bound, one.bounds), "+Inf"]
        family.add_metric(list(values), list(zip(bounds, counts, strict=True)), one.total)
    return family


def _bound(value: float) -> str:
    return repr(float(value))


def _summed(rows: Iterable[Row]) -> Iterable[Row]:
    found: dict[tuple[str, ...], float] = {}
    for values, value in rows:
        key = tuple(values)
        found[key] = found.get(key, 0) + value
    return found.items()
