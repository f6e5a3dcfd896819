"""How functions did: `Function.stats` and `calls`, `wherry function stats|calls`, `wherry app stats`, on a fake."""

import asyncio
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.fakes.records import APP, CONTAINER, FUNCTION, MADE_MS, SECOND, Recorded, record
from wherry import App, Function, types
from wherry._connection.client import Client
from wherry.exception import InvalidError, NotFoundError
from wherry_proto.messages import (
    AppInfo,
    AppListResponse,
    AppShowResponse,
    AppState,
    ContainerLane,
    ContainerTransition,
    Deployment,
    DeploymentListResponse,
    FunctionInfo,
    FunctionLookupRequest,
    FunctionStatus,
    Message,
    OutcomeCounts,
    PoolSettings,
    RecordListRequest,
    RecordState,
    RecordStats,
    SandboxInfo,
    SandboxListResponse,
    StatsRequest,
)

Run = Callable[..., int]
Told = pytest.CaptureFixture[str]

AT = datetime.fromtimestamp(MADE_MS / 1000, UTC)


class Shop(Recorded):
    """An app whose function was called."""

    def _apps_list(self, request: Message) -> AppListResponse:
        return AppListResponse(apps=[AppInfo(app_id=APP, name="shop", state=AppState.DEPLOYED)])

    def _apps_show(self, request: Message) -> AppShowResponse:
        infos = [
            FunctionInfo(function_id=FUNCTION, name="price"),
            FunctionInfo(function_id="fu-server", name="site", pool=PoolSettings()),
        ]
        app = AppInfo(app_id=APP, name="shop", state=AppState.DEPLOYED, version=2, created_at_ms=MADE_MS)
        return AppShowResponse(app=app, functions=[FunctionStatus(function=info) for info in infos])

    def _deployments_list(self, request: Message) -> DeploymentListResponse:
        made = [Deployment(version=1, created_at_ms=MADE_MS - 1), Deployment(version=2, created_at_ms=MADE_MS)]
        return DeploymentListResponse(deployments=made)

    def _sandboxes_list(self, request: Message) -> SandboxListResponse:
        hour = 3600 * SECOND
        times = [(MADE_MS - hour, MADE_MS - 1), (MADE_MS - hour, MADE_MS + 1), (MADE_MS, 0), (MADE_MS + hour, 0)]
        boxes = [SandboxInfo(created_at_ms=created, ended_at_ms=ended) for created, ended in times]
        return SandboxListResponse(sandboxes=boxes)


@pytest.fixture
def service() -> Shop:
    service = Shop()
    service.records = [
        record("B", RecordState.FAILED, error="ValueError: row 17"),
        record("A", retries=1, method="one"),
        record("C", RecordState.RUNNING, ended_ms=0),
    ]
    service.total.counts = OutcomeCounts(succeeded=6, failed=1, lost=1, rejected=1, timeout=1, cancelled=2, retries=3)
    service.total.running, service.total.backlog, service.total.cold_starts = 4, 5, 1
    return service


@pytest.fixture
def function(client: Client) -> Function[..., Any]:
    return Function.from_id(FUNCTION, client)


def asked(service: Shop, kind: type[Any]) -> Any:
    return next(one for _, one in reversed(service.requests) if isinstance(one, kind))


# SDK


def test_calls_of_a_function_are_records(function: Function[..., Any], service: Shop) -> None:
    first, second, third = function.calls()
    assert isinstance(first, types.CallRecord)
    assert (first.state, first.kind, first.error) == ("failed", "spawn", "ValueError: row 17")
    assert (first.queued_at, first.ended_at) == (AT, AT + timedelta(seconds=3))
    assert (first.queue_seconds, first.run_seconds, second.retries) == (1.0, 2.0, 1)
    assert (third.ended_at, third.run_seconds, third.error, third.version) == (None, None, None, None)
    assert second.function_name == "price.one"
    request = asked(service, RecordListRequest)
    assert (request.function, request.environment) == (FUNCTION, "main")


def test_calls_are_chosen_and_limited(function: Function[..., Any], service: Shop) -> None:
    assert [one.state for one in function.calls(state="failed")] == ["failed"]
    assert len(function.calls(state=["failed", "succeeded"], limit=None)) == 2
    assert len(function.calls(limit=1)) == 1
    assert function.calls(error="ROW", since=AT, until=AT + timedelta(seconds=1))[0].state == "failed"
    assert function.calls(until=AT) == []
    assert function.calls(since=timedelta(minutes=5)) == []
    assert asyncio.run(function.calls.aio(limit=2))[1].state == "succeeded"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"state": "fialed"}, "'fialed' is no state of a call: there are queued, running"),
        ({"state": [None]}, "None is no state of a call"),
        ({"limit": 0}, "limit is 0: it must be a number from 1, or None for all"),
        ({"limit": True}, "limit is True"),
        ({"since": "1h"}, "since is '1h': it must be a datetime, or a timedelta"),
        ({"error": 3}, "error is 3"),
    ],
)
def test_calls_that_can_not_be_chosen_are_told(function: Function[..., Any], given: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidError, match=re.escape(said)):
        function.calls(**given)


def test_stats_are_of_an_interval_by_default_the_last_hour(function: Function[..., Any], service: Shop) -> None:
    stats = function.stats(since=AT - timedelta(hours=2), until=AT)
    assert isinstance(stats, types.FunctionStats)
    assert (stats.since, stats.until) == (AT - timedelta(hours=2), AT)
    assert (stats.input_success_count, stats.input_failure_count, stats.input_timeout_count) == (6, 3, 1)
    assert (stats.input_cancelled_count, stats.retry_count) == (2, 3)
    assert (stats.input_running_at_end_count, stats.backlog) == (4, 5)
    run = stats.input_percentile_stats["run_time"]
    assert run.unit == "s"
    assert [(one.percentile, one.value) for one in run.percentiles] == [(50, 0.5), (90, 1), (95, 2), (99, 3)]
    assert asked(service, StatsRequest).function == FUNCTION
    now = datetime.now(UTC)
    hour = asyncio.run(function.stats.aio())
    assert timedelta(minutes=59) < now - hour.since < timedelta(minutes=61)


def test_stats_with_variants_are_of_the_name(function: Function[..., Any], service: Shop) -> None:
    service.by_function = [RecordStats(function_id=FUNCTION), RecordStats(function_id="fu-other")]
    stats = function.stats(all_variants=True)
    assert (stats.variant_count, stats.all_variants) == (1, True)
    request = asked(service, StatsRequest)
    assert (request.app, request.function) == (APP, "price")


def test_stats_count_containers(function: Function[..., Any], service: Shop) -> None:
    def lane(*states: tuple[str, int], failed: bool = False) -> ContainerLane:
        moments = [ContainerTransition(state=state, at_ms=MADE_MS + at_s * SECOND) for state, at_s in states]
        return ContainerLane(container_id=CONTAINER, transitions=moments, ended="ended", failed=failed)

    service.lanes = [
        lane(("creating", 0), ("starting", 1), ("idle", 3)),
        lane(("creating", -90), ("idle", -88), ("stopped", 5), failed=True),
        lane(("creating", 59)),
    ]
    stats = function.stats(since=AT, until=AT + timedelta(minutes=1))
    assert stats.container_total_count == 3
    assert stats.container_started_count == 2
    assert stats.container_creating_at_end_count == 1
    assert stats.container_error_count == 1
    start = stats.container_percentile_stats["start_time"]
    assert [one.value for one in start.percentiles] == [2, 3, 3, 3]


def test_stats_of_one_container_are_made_of_its_records(function: Function[..., Any], service: Shop) -> None:
    service.records += [record(str(number), ended_ms=MADE_MS + (2 + number) * SECOND) for number in range(8)]
    service.records.append(record("Z", container_id="co-other"))
    service.records.append(record("Y", function_id="fu-other", function_name="other"))
    stats = function.stats(container=CONTAINER, since=AT, until=AT + timedelta(minutes=1))
    assert (stats.input_success_count, stats.input_failure_count) == (9, 1)
    assert (stats.input_running_at_end_count, stats.retry_count) == (1, 1)
    run = {one.percentile: one.value for one in stats.input_percentile_stats["run_time"].percentiles}
    assert run == {50: 3, 90: 7, 95: 8, 99: 8}
    assert not any(isinstance(one, StatsRequest) for _, one in service.requests)
    function.stats(container=CONTAINER, since=AT, until=AT + timedelta(minutes=1), all_variants=True)
    request = asked(service, RecordListRequest)
    assert (request.app, request.function) == (APP, "price")


def test_an_interval_that_is_none_is_told(function: Function[..., Any]) -> None:
    with pytest.raises(InvalidError, match="must come before until"):
        function.stats(since=AT, until=AT)
    with pytest.raises(InvalidError, match="until is 3: it must be a datetime"):
        function.stats(until=3)  # type: ignore[arg-type]


def test_an_app_s_numbers_are_told_by_function_and_server(client: Client, service: Shop) -> None:
    service.by_function = [
        RecordStats(function_id=FUNCTION, counts=service.total.counts),
        RecordStats(function_id="fu-variant", counts=OutcomeCounts(succeeded=1)),
        RecordStats(function_id="fu-server", counts=OutcomeCounts(succeeded=7, failed=2)),
    ]
    service.lanes = [
        ContainerLane(container_id="co-1", function_id=FUNCTION, failed=True),
        ContainerLane(container_id="co-2", function_id="fu-server"),
    ]
    stats = App.lookup("shop", client=client).stats(since=AT, until=AT + timedelta(hours=1))
    assert isinstance(stats, types.AppStats)
    assert stats.functions["price"].object_id == FUNCTION
    calls = stats.functions["price"].counts.calls
    assert (calls.total, calls.succeeded, calls.failed) == (12, 6, 4)
    assert stats.functions.total.calls.succeeded == 7
    assert (stats.functions.total.containers.errors, stats.functions.total.containers.total) == (1, 1)
    requests = stats.servers["site"].counts.requests
    assert (requests.total, requests.ok, requests.failed) == (9, 7, 2)
    assert stats.servers.total.containers.total == 1
    assert (stats.sandboxes.total, stats.sandboxes.finished, stats.sandboxes.live) == (2, 1, 1)
    assert (stats.deployment_count, stats.lifecycle.version) == (1, 2)
    assert set(stats.functions.by_name) == {"price"}


# Commands


def test_a_function_s_numbers_are_shown(run: Run, capsys: Told) -> None:
    assert run("", "function", "stats", "shop/price", "--since", "2h") == 0
    out = capsys.readouterr().out
    assert out.startswith("1 input waiting, 2 of 3 containers working.\nFrom ")
    assert "inputs      6 succeeded, 3 failed, 1 timed out, 2 cancelled; 3 further attempts\n" in out
    assert "waited      p50 100 ms, p90 200 ms, p95 300 ms, p99 400 ms\n" in out
    assert "ran         p50 500 ms, p90 1.0 s, p95 2.0 s, p99 3.0 s\n" in out
    assert run("", "function", "stats", "shop/price", "--json") == 0
    described = json.loads(capsys.readouterr().out)
    assert (described["backlog"], described["num_active_runners"], described["num_total_runners"]) == (1, 2, 3)
    assert described["input_percentile_stats"]["run_time"] == {"unit": "s", "p50": 0.5, "p90": 1, "p95": 2, "p99": 3}
    assert run("", "function", "stats", "shop/price", "--since", "1h", "--until", "2h") == 2
    assert "--since '1h' is not before --until '2h'" in capsys.readouterr().err


def test_a_function_s_calls_are_listed(run: Run, capsys: Told, service: Shop) -> None:
    service.records *= 5
    assert run("", "function", "calls", "shop/price", "-q") == 0
    assert len(capsys.readouterr().out.split()) == 10
    request = asked(service, RecordListRequest)
    assert (request.app, request.function) == (APP, "price")
    assert run("", "function", "calls", FUNCTION, "-q", "--since", "2020-01-01", "--no-color") == 0
    assert len(capsys.readouterr().out.split()) == 15
    request = asked(service, RecordListRequest)
    assert (request.app, request.function) == ("", FUNCTION)
    assert run("", "function", "calls", "shop/price", "--tail", "1", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["error"] == "ValueError: row 17"


@pytest.mark.parametrize(
    ("given", "name", "method"),
    [("main.<locals>.f", "main.<locals>.f", ""), ("Outer.Inner.get", "Outer.Inner", "get"), ("Outer.*", "Outer", "")],
)
def test_calls_are_found_by_names_with_dots(
    run: Run, capsys: Told, service: Shop, monkeypatch: pytest.MonkeyPatch, given: str, name: str, method: str
) -> None:
    def lookup(request: FunctionLookupRequest) -> FunctionInfo:
        if request.name != name:
            raise NotFoundError(f"there is no {request.name}")
        return FunctionInfo(function_id=FUNCTION, name=name, app_id=APP, app_name="shop", environment="main")

    monkeypatch.setattr(service, "_functions_lookup", lookup)
    service.records = [
        record("A", function_name=name, method=method),
        record("B", function_name=name, method="other"),
        record("C", function_name="main"),
    ]
    assert run("", "function", "calls", f"shop/{given}", "-q") == 0
    assert [one[13] for one in capsys.readouterr().out.split()] == (["A"] if method else ["A", "B"])


def test_an_app_s_numbers_are_shown_by_function(run: Run, capsys: Told, service: Shop) -> None:
    assert run("", "app", "stats", "shop") == 0
    assert "Nothing was called in shop between" in capsys.readouterr().err
    service.by_function = [
        RecordStats(function_id="fu-1", function_name="good", counts=OutcomeCounts(succeeded=5)),
        RecordStats(function_id=FUNCTION, function_name="price", counts=service.total.counts, run=service.total.run),
    ]
    assert run("", "app", "stats", "shop") == 0
    _, heading, *rows = capsys.readouterr().out.splitlines()
    assert heading.split()[:3] == ["function", "succeeded", "failed"]
    assert [row.split()[:3] for row in rows] == [["price", "6", "4"], ["good", "5", "0"], ["all", "6", "4"]]
    assert rows[0].split()[3:] == ["500", "ms", "2.0", "s"]
    assert run("", "app", "stats", "shop", "--json") == 0
    described = json.loads(capsys.readouterr().out)
    assert described["functions"]["price"]["run_seconds"]["p95"] == 2
    assert described["total"]["failed"] == 1
    assert asked(service, StatsRequest).app == APP
