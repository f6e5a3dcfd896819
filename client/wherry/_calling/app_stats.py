"""How an app's functions, servers and sandboxes did in an interval."""

import contextlib
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from wherry._calling.records import between, lanes_of, to_ms, went_wrong
from wherry._publish.apps import info_of
from wherry.context import is_local
from wherry.exception import PermissionDeniedError
from wherry.types import AppStats
from wherry_proto.messages import (
    ContainerLane,
    DeploymentListRequest,
    DeploymentListResponse,
    OutcomeCounts,
    RecordStats,
    SandboxListRequest,
    SandboxListResponse,
    StatsRequest,
    StatsResponse,
)

if TYPE_CHECKING:
    from wherry._connection.client import Client


def stats_of_app(
    client: "Client",
    app_id: str,
    environment: str,
    since: datetime | timedelta | None,
    until: datetime | timedelta | None,
) -> AppStats:
    """Return the numbers of an app; as `App.stats`."""
    begin, end = between(since, until)
    request = StatsRequest(environment=environment, app=app_id, since_ms=to_ms(begin), until_ms=to_ms(end))
    found = client.call("Records.Stats", request, StatsResponse).functions
    lanes = lanes_of(client, environment, begin, end, app=app_id)
    info = info_of(client, app_id)
    functions = {
        name: AppStats.FunctionStats(function_id, _function(_named(found, function_id), _of(lanes, function_id)))
        for name, function_id in info.functions.items()
    }
    servers = {
        name: AppStats.ServerStats(function_id, _server(_named(found, function_id), _of(lanes, function_id)))
        for name, function_id in info.servers.items()
    }
    own = set(info.servers.values())
    others = [one for one in found if one.function_id not in own]
    return AppStats(
        since=begin,
        until=end,
        functions=AppStats.FunctionStatsGroup(
            _function(others, [lane for lane in lanes if lane.function_id not in own]), functions
        ),
        servers=AppStats.ServerStatsGroup(
            _server(
                [one for one in found if one.function_id in own], [lane for lane in lanes if lane.function_id in own]
            ),
            servers,
        ),
        sandboxes=_sandboxes(client, app_id, environment, begin, end),
        lifecycle=info.lifecycle,
        deployment_count=_deployments(client, app_id, begin, end),
    )


def _named(found: Iterable[RecordStats], function_id: str) -> list[RecordStats]:
    return [one for one in found if one.function_id == function_id]


def _of(lanes: Iterable[ContainerLane], function_id: str) -> list[ContainerLane]:
    return [lane for lane in lanes if lane.function_id == function_id]


def _function(stats: Iterable[RecordStats], lanes: Sequence[ContainerLane]) -> AppStats.FunctionCounts:
    succeeded, failed, total = _ended(stats)
    return AppStats.FunctionCounts(AppStats.CallCounts(total, succeeded, failed), _containers(lanes))


def _server(stats: Iterable[RecordStats], lanes: Sequence[ContainerLane]) -> AppStats.ServerCounts:
    succeeded, failed, total = _ended(stats)
    return AppStats.ServerCounts(AppStats.RequestCounts(total, succeeded, failed), _containers(lanes))


def _ended(stats: Iterable[RecordStats]) -> tuple[int, int, int]:
    """Return how many inputs succeeded, how many failed in one way or another, and how many ended in all."""
    all_counts = [one.counts or OutcomeCounts() for one in stats]
    succeeded = sum(one.succeeded for one in all_counts)
    failed = sum(one.failed + one.timeout + one.lost + one.rejected for one in all_counts)
    return succeeded, failed, succeeded + failed + sum(one.cancelled for one in all_counts)


def _containers(lanes: Sequence[ContainerLane]) -> AppStats.ContainerCounts:
    return AppStats.ContainerCounts(sum(map(went_wrong, lanes)), len(lanes))


def _sandboxes(
    client: "Client", app_id: str, environment: str, begin: datetime, end: datetime
) -> AppStats.SandboxCounts:
    since_ms, until_ms = to_ms(begin), to_ms(end)
    request = SandboxListRequest(environment=environment, app_id=app_id, include_ended=True)
    found = client.call("Sandboxes.List", request, SandboxListResponse).sandboxes
    own = [one for one in found if one.created_at_ms < until_ms and not 0 < one.ended_at_ms < since_ms]
    finished = sum(0 < one.ended_at_ms < until_ms for one in own)
    return AppStats.SandboxCounts(len(own), finished, len(own) - finished)


def _deployments(client: "Client", app_id: str, begin: datetime, end: datetime) -> int | None:
    if not is_local():
        return None  # code in a container is not told of versions
    with contextlib.suppress(PermissionDeniedError):
        answer = client.call("Deployments.List", DeploymentListRequest(app_id=app_id), DeploymentListResponse)
        return sum(to_ms(begin) <= one.created_at_ms < to_ms(end) for one in answer.deployments)
    return None
