"""`wherry top`: what functions do, live."""

import sys
import time
from dataclasses import dataclass
from typing import Any

import typer

from wherry._connection.client import default_client
from wherry._screen.stream import ScreenStream
from wherry._screen.table import Column, Kind, Table
from wherry.cli._common import ENVIRONMENT_OPTION, JSON_OPTION, say, show_json, tell
from wherry.cli._find import functions_in
from wherry.cli._functions import function_of
from wherry.cli._listing import show_lines, terminal_console, watch
from wherry.cli._stats import middle, went_wrong
from wherry.cli._usage import UsageError
from wherry_proto.messages import (
    ContainerInfo,
    ContainerListRequest,
    ContainerListResponse,
    FunctionStatus,
    RecordStats,
    StatsRequest,
    StatsResponse,
)

# Between two looks of `--once`: what is done a second takes two of them.
BETWEEN_S = 1.0
# Over what times and errors are counted, which is done in whole minutes.
_LATELY_MS = 5 * 60_000


@dataclass
class Row:
    """What a function does. Rates are of the time since the look before."""

    app: str
    name: str
    function_id: str
    queued: int
    running: int
    containers: int
    active: int
    succeeded: int
    failed: int
    last_error: str
    rate: float | None = None
    failing: float | None = None
    # Cores, and bytes; None where the engine has not said.
    cpu: float | None = None
    memory: int | None = None
    # Of the last minutes: inputs that went wrong, and seconds that half, and nearly all, do not exceed.
    errors: int = 0
    run_p50: float | None = None
    run_p95: float | None = None
    queue_p95: float | None = None


_TABLE = Table[Row](
    Column("function", lambda row: f"{row.app}/{row.name}"),
    Column("queued", lambda row: row.queued),
    Column("running", lambda row: row.running),
    Column("containers", lambda row: f"{row.active}/{row.containers}", leaves=2),
    Column("calls/s", lambda row: _number(row.rate), leaves=1),
    Column("p50", lambda row: row.run_p50, Kind.SECONDS, leaves=4),
    Column("p95", lambda row: row.run_p95, Kind.SECONDS, leaves=3),
    Column("errors", lambda row: row.errors or None, leaves=5),
    Column("failed", lambda row: row.failed or None, leaves=9),
    Column("wait p95", lambda row: row.queue_p95, Kind.SECONDS, leaves=8),
    Column("cores", lambda row: _number(row.cpu), leaves=6),
    Column("memory", lambda row: row.memory, Kind.SIZE, leaves=7),
    Column("last error", lambda row: row.last_error, leaves=10, cut=True),
)


def top(
    once: bool = typer.Option(False, "--once", help="Look twice, a second apart, show that and exit."),
    interval: float = typer.Option(2.0, "--interval", metavar="SECONDS", help="Between two looks.", min=0.5, max=3600),
    environment: str | None = ENVIRONMENT_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Show what functions do, live: queues, rates, times, memory.

    Containers are shown as "busy/all". p50 and p95 are how long calls ran in the last 5 minutes, and errors those that
    went wrong in them. What has waited longest comes first. Ctrl-C ends it.
    """
    looks = Looks(environment)
    if not once and not as_json:
        if not ScreenStream(sys.stdout).isatty():
            raise UsageError("top moves, and there is no terminal here: give --once, or --json")
        watch(lambda width: _lines(looks.look(), width, environment), interval)
        return
    looks.look()
    time.sleep(BETWEEN_S)
    rows = looks.look()
    if as_json:
        show_json([_described(row) for row in rows])
    elif not rows:
        tell(_nothing(environment))
    elif ScreenStream(sys.stdout).isatty():
        show_lines(_lines(rows, terminal_console().width, environment))
    else:
        for text in _TABLE.plain(rows):
            say(text)


class Looks:
    """Looks at an environment again and again, and compares."""

    def __init__(self, environment: str | None) -> None:
        self._environment = environment
        # By function: how many had ended, and when that was.
        self._ended: dict[str, tuple[int, int, float]] = {}
        # By container: nanoseconds of processor time, and when that was.
        self._used: dict[str, tuple[int, int]] = {}

    def look(self) -> list[Row]:
        """Return what functions do now: those that have most to do first."""
        statuses = functions_in(self._environment)
        client = default_client()
        request = ContainerListRequest(environment=self._environment or client.environment, with_usage=True)
        containers = client.call("Containers.List", request, ContainerListResponse).containers
        now = time.monotonic()
        cores = self._cores(containers)
        # Variants are functions of their own: their containers are found by name.
        by_name: dict[tuple[str, str], list[ContainerInfo]] = {}
        for info in containers:
            by_name.setdefault((info.app_id, info.function_name), []).append(info)
        lately = self._lately()
        rows = [self._row(status, by_name, cores, now) for status in statuses]
        for row in rows:
            # Variants are counted apart: their errors come on top, and times are of the one that is called most.
            own = lately.get((row.app, row.name), [])
            row.errors = sum(went_wrong(one.counts) for one in own)
            most = max(own, key=lambda one: one.run.count if one.run is not None else 0, default=RecordStats())
            row.run_p50, row.run_p95 = middle(most.run, "p50"), middle(most.run, "p95")
            row.queue_p95 = middle(most.queue, "p95")
        return sorted(rows, key=lambda row: (-row.queued, -row.running, -(row.rate or 0), row.app, row.name))

    def _lately(self) -> dict[tuple[str, str], list[RecordStats]]:
        """Return the numbers of the last minutes, by the names of app and function."""
        client = default_client()
        since_ms = int(time.time() * 1000) - _LATELY_MS
        request = StatsRequest(environment=self._environment or client.environment, since_ms=since_ms)
        found: dict[tuple[str, str], list[RecordStats]] = {}
        for one in client.call("Records.Stats", request, StatsResponse).functions:
            found.setdefault((one.app_name, one.function_name), []).append(one)
        return found

    def _row(
        self,
        status: FunctionStatus,
        by_name: dict[tuple[str, str], list[ContainerInfo]],
        cores: dict[str, float],
        now: float,
    ) -> Row:
        function = function_of(status)
        own = by_name.get((function.app_id, function.name), [])
        measured = [info for info in own if info.measured_at_ms]
        known = [cores[info.container_id] for info in own if info.container_id in cores]
        row = Row(
            app=function.app_name,
            name=function.name,
            function_id=function.function_id,
            queued=status.backlog,
            running=status.num_running,
            containers=status.num_containers,
            active=status.num_active_containers,
            succeeded=status.num_succeeded,
            failed=status.num_failed,
            last_error=status.last_error,
            cpu=sum(known) if known else None,
            memory=sum(info.memory_bytes for info in measured) if measured else None,
        )
        before = self._ended.get(row.function_id)
        self._ended[row.function_id] = row.succeeded, row.failed, now
        if before is not None and now > before[2]:
            seconds = now - before[2]
            row.failing = max(0, row.failed - before[1]) / seconds
            row.rate = max(0, row.succeeded - before[0]) / seconds + row.failing
        return row

    def _cores(self, containers: list[ContainerInfo]) -> dict[str, float]:
        """Return how many processors each container has kept busy since the look before."""
        used = {info.container_id: (info.cpu_ns, info.measured_at_ms) for info in containers if info.measured_at_ms}
        found: dict[str, float] = {}
        for container_id, (cpu_ns, at_ms) in used.items():
            before = self._used.get(container_id)
            if before is not None and at_ms > before[1]:
                found[container_id] = max(0, cpu_ns - before[0]) / 1e6 / (at_ms - before[1])
        self._used = used
        return found


def _lines(rows: list[Row], width: int, environment: str | None) -> list[Any]:
    from rich.text import Text  # noqa: PLC0415 - start-up cost: only on terminals

    name = environment or default_client().environment
    queued, running = sum(row.queued for row in rows), sum(row.running for row in rows)
    rate = sum(row.rate or 0 for row in rows)
    head = f"{name}: {queued} queued, {running} running, {_number(rate)} calls/s"
    if not rows:
        return [Text(_nothing(environment))]
    return [Text(head, style="bold"), Text(""), *_TABLE.fitted(rows, width, int(time.time() * 1000))]


def _nothing(environment: str | None) -> str:
    name = environment or default_client().environment
    return f"No running app has functions in environment {name}. Start one with `wherry deploy FILE.py`."


def _number(value: float | None) -> str | None:
    if value is None:
        return None
    return f"{value:.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def _described(row: Row) -> dict[str, object]:
    return {
        "app_name": row.app,
        "function_name": row.name,
        "function_id": row.function_id,
        "queued": row.queued,
        "running": row.running,
        "containers": row.containers,
        "active_containers": row.active,
        "calls_per_second": row.rate if row.rate is None else round(row.rate, 3),
        "failures_per_second": row.failing if row.failing is None else round(row.failing, 3),
        "succeeded": row.succeeded,
        "failed": row.failed,
        "cores": row.cpu if row.cpu is None else round(row.cpu, 3),
        "memory_bytes": row.memory,
        "last_error": row.last_error or None,
        "errors_5min": row.errors,
        "run_p50_seconds": row.run_p50,
        "run_p95_seconds": row.run_p95,
        "queue_p95_seconds": row.queue_p95,
    }
