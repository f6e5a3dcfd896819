"""How functions did in an interval: what `function stats` and `app stats` show."""

import datetime
from typing import Any, NamedTuple

from wherry._base.words import counted
from wherry._connection.client import default_client
from wherry._screen.pace import took
from wherry._screen.table import Column, Kind
from wherry.cli._common import say
from wherry.cli._listing import show_rows
from wherry.cli._times import read_time
from wherry.cli._usage import UsageError
from wherry.types import FunctionStats, StatsPercentileDistribution
from wherry_proto.messages import OutcomeCounts, Percentiles, RecordStats, StatsRequest, StatsResponse
from wherry_proto.times import iso

_HOUR = datetime.timedelta(hours=1)


class Interval(NamedTuple):
    """From when until when, in UTC."""

    since: datetime.datetime
    until: datetime.datetime


def interval(since: str | None, until: str | None) -> Interval:
    """Return what --since and --until say, by default the last hour; raise UsageError for what is none."""
    end = _at(read_time(until, "--until")) if until else datetime.datetime.now(datetime.UTC)
    begin = _at(read_time(since, "--since")) if since else end - _HOUR
    if begin >= end:
        raise UsageError(f"--since {since!r} is not before --until {until or 'now'!r}")
    return Interval(begin, end)


def _at(ms: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC)


def described(stats: FunctionStats) -> dict[str, Any]:
    """Return a function's numbers as JSON shows them."""
    values = dict(vars(stats))
    values["since"], values["until"] = _text(stats.since), _text(stats.until)
    for name in ("input_percentile_stats", "container_percentile_stats"):
        values[name] = {
            what: {"unit": spread.unit, **{f"p{one.percentile:g}": one.value for one in spread.percentiles}}
            for what, spread in getattr(stats, name).items()
        }
    return values


def lines_of(stats: FunctionStats) -> list[str]:
    """Return a function's numbers as sentences."""
    ended = [
        f"{stats.input_success_count:,} succeeded",
        f"{stats.input_failure_count:,} failed",
        f"{stats.input_timeout_count:,} timed out",
        f"{stats.input_cancelled_count:,} cancelled",
    ]
    again = f"; {counted(stats.retry_count, 'further attempt')}" if stats.retry_count else ""
    containers = [
        f"{stats.container_started_count:,} started",
        f"{stats.container_total_count:,} in all",
        *([f"{stats.container_error_count:,} ended with an error"] if stats.container_error_count else []),
    ]
    spreads = {
        "waited": stats.input_percentile_stats.get("queue_time"),
        "ran": stats.input_percentile_stats.get("run_time"),
        "start": stats.container_percentile_stats.get("start_time"),
    }
    return [
        f"From {_text(stats.since)} to {_text(stats.until)}:",
        f"  inputs      {', '.join(ended)}{again}",
        *(f"  {name:10}  {_spread(spread)}" for name, spread in spreads.items() if spread is not None),
        f"  containers  {', '.join(containers)}",
    ]


def _spread(spread: StatsPercentileDistribution) -> str:
    return ", ".join(f"p{one.percentile:g} {took(one.value)}" for one in spread.percentiles)


def _text(at: datetime.datetime) -> str:
    return iso(int(at.timestamp() * 1000))


def stats_of_app(app_id: str, environment: str, when: Interval) -> StatsResponse:
    """Return the numbers of an app's functions."""
    since_ms, until_ms = (int(at.timestamp() * 1000) for at in when)
    request = StatsRequest(environment=environment, app=app_id, since_ms=since_ms, until_ms=until_ms)
    return default_client().call("Records.Stats", request, StatsResponse)


def described_app(found: StatsResponse) -> dict[str, Any]:
    """Return the numbers of an app's functions as JSON shows them."""
    return {
        "since": iso(found.since_ms) or None,
        "until": iso(found.until_ms) or None,
        "total": _described(found.total or RecordStats()),
        "functions": {one.function_name: _described(one) for one in found.functions},
    }


def _described(one: RecordStats) -> dict[str, Any]:
    counts = one.counts or OutcomeCounts()
    return {
        **({"function_id": one.function_id} if one.function_id else {}),
        **{name: getattr(counts, name) for name in _COUNTS},
        "queue_seconds": _percentiles(one.queue),
        "run_seconds": _percentiles(one.run),
        "waiting": one.backlog,
        "running": one.running,
        "containers": one.containers,
        "cold_starts": one.cold_starts,
    }


_COUNTS = ("succeeded", "failed", "timeout", "cancelled", "lost", "rejected", "retries", "losses")


def _percentiles(found: Percentiles | None) -> dict[str, float] | None:
    if found is None or not found.count:
        return None
    return {name: getattr(found, name) for name in ("p50", "p90", "p95", "p99", "mean")}


def went_wrong(counts: OutcomeCounts | None) -> int:
    """Return how many inputs failed, timed out, were lost or rejected."""
    return 0 if counts is None else counts.failed + counts.timeout + counts.lost + counts.rejected


def middle(found: Percentiles | None, name: str) -> float | None:
    """Return a percentile, "p50" for example, in seconds; None where nothing was measured."""
    value: float | None = getattr(found, name) if found is not None and found.count else None
    return value


def show_app(found: StatsResponse) -> None:
    """Print the numbers of an app's functions: a line for each, those that failed most first, and their sum."""
    say(f"From {iso(found.since_ms)} to {iso(found.until_ms)}:")
    total = found.total or RecordStats()
    rows = sorted(found.functions, key=lambda one: (-went_wrong(one.counts), one.function_name))
    show_rows(
        Column("function", lambda one: one.function_name or "all"),
        Column("succeeded", lambda one: (one.counts or OutcomeCounts()).succeeded),
        Column("failed", lambda one: went_wrong(one.counts)),
        Column("waited p95", lambda one: middle(one.queue, "p95"), Kind.SECONDS, leaves=3),
        Column("ran p50", lambda one: middle(one.run, "p50"), Kind.SECONDS, leaves=1),
        Column("ran p95", lambda one: middle(one.run, "p95"), Kind.SECONDS, leaves=2),
        Column("cold starts", lambda one: one.cold_starts or None, leaves=4),
        rows=[*rows, *([total] if len(rows) != 1 else [])],
    )
