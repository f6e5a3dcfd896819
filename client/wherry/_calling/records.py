"""What became of calls: records as the service keeps them, and numbers made of many."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from wherry.exception import InvalidError, NotFoundError, PermissionDeniedError
from wherry.types import CallRecord, FunctionStats, StatsPercentile, StatsPercentileDistribution
from wherry_proto.messages import (
    CallKind,
    ContainerHistoryRequest,
    ContainerHistoryResponse,
    ContainerLane,
    OutcomeCounts,
    Percentiles,
    Record,
    RecordListRequest,
    RecordListResponse,
    RecordState,
    RecordStats,
    StatsRequest,
    StatsResponse,
)
from wherry_proto.views import CALL_KINDS, RECORD_STATES

if TYPE_CHECKING:
    from wherry._calling.caller import Caller
    from wherry._connection.client import Client

# An input that is none of these has ended.
OPEN = frozenset((RecordState.QUEUED, RecordState.RUNNING, RecordState.RETRYING))
# Ended, and neither succeeded nor was cancelled.
FAILED = frozenset((RecordState.FAILED, RecordState.TIMEOUT, RecordState.LOST, RecordState.REJECTED))

# Kinds of calls that have many inputs.
MANY = frozenset((CallKind.MAP, CallKind.SPAWN_MAP))

# What one answer holds at most.
_PAGE = 1000
_MOST_CONTAINERS = 1000
_HOUR = timedelta(hours=1)
_SHOWN = (50.0, 90.0, 95.0, 99.0)


def calls_of(
    caller: Caller,
    state: str | Collection[str] | None,
    since: datetime | timedelta | None,
    until: datetime | timedelta | None,
    error: str | None,
    limit: int | None,
) -> list[CallRecord]:
    """Return a function's latest calls, an entry for each input; as `Function.calls`."""
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise InvalidError(f"calls: limit is {limit!r}: it must be a number from 1, or None for all")
    if error is not None and not isinstance(error, str):
        raise InvalidError(f"calls: error is {error!r}: it must be a part of the error's first line")
    now = datetime.now(UTC)
    request = RecordListRequest(
        environment=caller.environment,
        function=caller.function_id,
        states=state_numbers([state] if isinstance(state, str) else state or ()),
        since_ms=ms_of(since, "calls: since", now),
        until_ms=ms_of(until, "calls: until", now),
        search=error or "",
    )
    return [described(record) for record in Records(caller.client, request, limit, caller.method)]


def stats_of_calls(
    caller: Caller,
    since: datetime | timedelta | None,
    until: datetime | timedelta | None,
    container: str | None,
    all_variants: bool,
) -> FunctionStats:
    """Return how a function's calls ended and how long they took; as `Function.stats`."""
    begin, end = between(since, until)
    return function_stats(
        caller.client,
        environment=caller.environment,
        app="" if not all_variants else caller.app_id,
        function=caller.name.removesuffix(f".{caller.method}") if all_variants else caller.function_id,
        since=begin,
        until=end,
        container=container or "",
        all_variants=all_variants,
    )


def function_stats(
    client: Client,
    *,
    environment: str,
    app: str,
    function: str,
    since: datetime,
    until: datetime,
    container: str = "",
    all_variants: bool = False,
) -> FunctionStats:
    """Return the numbers of a function in an interval, or of what one container ran of it."""
    since_ms, until_ms = to_ms(since), to_ms(until)
    lanes = lanes_of(client, environment, since, until, app=app, function=function, container=container)
    if container:
        asked = RecordListRequest(
            environment=environment, app=app, function=function, container_id=container, since_ms=since_ms,
            until_ms=until_ms,
        )  # fmt: skip
        counted = _counted_of(client, asked)
        begin, end, num_variants = since, until, 0
    else:
        whole = StatsRequest(environment=environment, app=app, function=function, since_ms=since_ms, until_ms=until_ms)
        answer = client.call("Records.Stats", whole, StatsResponse)
        counted = answer.total or RecordStats()
        begin, end = _from_ms(answer.since_ms) or since, _from_ms(answer.until_ms) or until
        num_variants = max(0, len({one.function_id for one in answer.functions}) - 1)
    counts = counted.counts or OutcomeCounts()
    return FunctionStats(
        since=begin,
        until=end,
        input_success_count=counts.succeeded,
        input_failure_count=counts.failed + counts.lost + counts.rejected,
        input_timeout_count=counts.timeout,
        input_running_at_end_count=counted.running,
        input_percentile_stats={
            name: _distribution(one)
            for name, one in (("queue_time", counted.queue), ("run_time", counted.run))
            if one is not None and one.count
        },
        container_started_count=sum(_first_ms(lane) >= since_ms for lane in lanes),
        container_error_count=sum(went_wrong(lane) for lane in lanes),
        container_creating_at_end_count=sum(_state_at(lane, until_ms) in ("creating", "starting") for lane in lanes),
        container_percentile_stats=_start_times(lanes),
        container_total_count=len(lanes),
        variant_count=num_variants,
        all_variants=all_variants,
        input_cancelled_count=counts.cancelled,
        retry_count=counts.retries + counts.losses,
        backlog=counted.backlog,
    )


def between(since: datetime | timedelta | None, until: datetime | timedelta | None) -> tuple[datetime, datetime]:
    """Return two times in UTC, by default of the last hour, as `stats` is given them; raise InvalidError for others."""
    now = datetime.now(UTC)
    end = _at(until, "stats: until", now) or now
    begin = _at(since, "stats: since", now) or end - _HOUR
    if begin >= end:
        raise InvalidError(f"stats: since ({begin.isoformat()}) must come before until ({end.isoformat()})")
    return begin, end


def lanes_of(
    client: Client,
    environment: str,
    since: datetime,
    until: datetime,
    *,
    app: str = "",
    function: str = "",
    container: str = "",
) -> list[ContainerLane]:
    """Return containers that were there in an interval; none for code in a container, which is not told of them."""
    request = ContainerHistoryRequest(
        environment=environment, app=app, function=function, container_id=container, since_ms=to_ms(since),
        until_ms=to_ms(until), limit=_MOST_CONTAINERS,
    )  # fmt: skip
    with contextlib.suppress(NotFoundError, PermissionDeniedError):
        return client.call("Records.Containers", request, ContainerHistoryResponse).containers
    return []


class Records:
    """Iterates records that a request asks for, the latest first, page by page.

    `limit`: only so many, None: all. `method`: only those of that method, of a class.
    """

    def __init__(self, client: Client, request: RecordListRequest, limit: int | None, method: str = "") -> None:
        self._client = client
        self._request = request
        self._limit = limit
        self._method = method
        # Where to go on, once all that was asked for was iterated; "": that was all there is.
        self.next = request.after

    def __iter__(self) -> Iterator[Record]:
        left = self._limit
        while left is None or left > 0:
            self._request.limit = _PAGE if left is None else min(left, _PAGE)
            self._request.after = self.next
            answer = self._client.call("Records.List", self._request, RecordListResponse)
            self.next = answer.next
            # No page is larger than what is left: `next` is behind the last one that is yielded.
            found = [one for one in answer.records if not self._method or one.method == self._method]
            yield from found
            if left is not None:
                left -= len(found)
            if not answer.next:
                return


def state_numbers(names: Collection[str]) -> list[int]:
    """Return states by their names; raise InvalidError, with those there are, for another."""
    return _numbers(names, RECORD_STATES, "state")


def kind_numbers(names: Collection[str]) -> list[int]:
    """Return kinds of calls by their names; raise InvalidError, with those there are, for another."""
    return _numbers(names, CALL_KINDS, "kind")


def _numbers(names: Collection[str], known: dict[int, str], what: str) -> list[int]:
    by_name = {name: number for number, name in known.items()}
    for name in names:
        if name not in by_name:
            raise InvalidError(f"{name!r} is no {what} of a call: there are {', '.join(by_name)}")
    return [int(by_name[name]) for name in names]


def described(record: Record) -> CallRecord:
    """Return a record as programs see it."""
    return CallRecord(
        input_id=record.input_id,
        function_call_id=record.call_id,
        index=record.index,
        state=RECORD_STATES.get(record.state, "unknown"),
        kind=CALL_KINDS.get(record.kind, "unknown"),
        app_name=record.app_name,
        function_name=full_name(record),
        function_id=record.function_id,
        version=record.version or None,
        queued_at=_from_ms(record.queued_ms),
        started_at=_from_ms(record.started_ms),
        ended_at=_from_ms(record.ended_ms),
        container_id=record.container_id or None,
        retries=record.retries,
        losses=record.losses,
        argument_bytes=record.argument_bytes,
        result_bytes=record.result_bytes,
        error=record.error or None,
        kept=record.kept,
        parent_input_id=record.parent_input_id or None,
        replay_of=record.replay_of or None,
        replayed_by=record.replayed_by or None,
    )


def full_name(record: Record) -> str:
    """Return "function", or "Class.method"."""
    return f"{record.function_name}.{record.method}" if record.method else record.function_name


@dataclass
class Times:
    """How long an input waited and ran, in seconds; None where it has not come so far."""

    queue: float | None
    run: float | None


def times_of(record: Record, now_ms: int = 0) -> Times:
    """Return how long an input waited and ran; with `now_ms` also of one that waits or runs still."""
    if not record.started_ms:
        end = record.ended_ms or now_ms
        return Times(max(0, end - record.queued_ms) / 1000 if end and record.queued_ms else None, None)
    end = record.ended_ms or now_ms
    run = max(0, end - record.started_ms) / 1000 if end else None
    return Times(max(0, record.started_ms - record.queued_ms) / 1000 if record.queued_ms else None, run)


def _counted_of(client: Client, request: RecordListRequest) -> RecordStats:
    """Return the numbers of what one container ran: of its records, since nobody counts them by container."""
    records = list(Records(client, request, None))
    states = [record.state for record in records]
    times = [times_of(record) for record in records if record.ended_ms]
    return RecordStats(
        counts=OutcomeCounts(
            succeeded=states.count(RecordState.SUCCEEDED),
            failed=states.count(RecordState.FAILED),
            timeout=states.count(RecordState.TIMEOUT),
            cancelled=states.count(RecordState.CANCELLED),
            lost=states.count(RecordState.LOST),
            rejected=states.count(RecordState.REJECTED),
            retries=sum(record.retries for record in records),
            losses=sum(record.losses for record in records),
        ),
        queue=_percentiles([one.queue for one in times if one.queue is not None]),
        run=_percentiles([one.run for one in times if one.run is not None]),
        running=states.count(RecordState.RUNNING),
    )


def _percentiles(values: Sequence[float]) -> Percentiles:
    if not values:
        return Percentiles()
    ordered = sorted(values)
    p50, p90, p95, p99 = (ordered[max(0, math.ceil(len(ordered) * share / 100) - 1)] for share in _SHOWN)
    return Percentiles(p50=p50, p90=p90, p95=p95, p99=p99, mean=sum(ordered) / len(ordered), count=len(ordered))


def _distribution(found: Percentiles) -> StatsPercentileDistribution:
    values = (found.p50, found.p90, found.p95, found.p99)
    return StatsPercentileDistribution(
        unit="s", percentiles=[StatsPercentile(share, value) for share, value in zip(_SHOWN, values, strict=True)]
    )


def _start_times(lanes: Sequence[ContainerLane]) -> dict[str, StatsPercentileDistribution]:
    """Return how long containers took from their creation until they could take inputs."""
    found: list[float] = []
    for lane in lanes:
        ready = next((one.at_ms for one in lane.transitions if one.state in ("idle", "busy")), 0)
        if ready and (first := _first_ms(lane)):
            found.append(max(0, ready - first) / 1000)
    return {"start_time": _distribution(_percentiles(found))} if found else {}


def _first_ms(lane: ContainerLane) -> int:
    return lane.transitions[0].at_ms if lane.transitions else 0


def _state_at(lane: ContainerLane, at_ms: int) -> str:
    before = [one.state for one in lane.transitions if one.at_ms < at_ms]
    return before[-1] if before else ""


def went_wrong(lane: ContainerLane) -> bool:
    """Whether a container ended otherwise than it was told to."""
    return lane.failed


def ms_of(value: datetime | timedelta | None, what: str, now: datetime) -> int:
    """Return milliseconds since 1970, 0 for None; a `timedelta` is so long ago. Raises InvalidError."""
    at = _at(value, what, now)
    return to_ms(at) if at is not None else 0


def _at(value: datetime | timedelta | None, what: str, now: datetime) -> datetime | None:
    """Return a time in UTC; a `timedelta` is so long ago, and a time without a zone is local."""
    if value is None:
        return None
    if isinstance(value, timedelta):
        return now - value
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    raise InvalidError(f"{what} is {value!r}: it must be a datetime, or a timedelta for how long ago")


def to_ms(at: datetime) -> int:
    """Return milliseconds since 1970."""
    return max(0, int(at.timestamp() * 1000))


def _from_ms(ms: int) -> datetime | None:
    return datetime.fromtimestamp(ms / 1000, UTC) if ms else None
