"""What became of inputs: asked by who may see the environment that they are of."""

from collections.abc import Sequence

from wherry_proto.messages import (
    CallKind,
    ContainerBar,
    ContainerHistoryRequest,
    ContainerHistoryResponse,
    ContainerLane,
    ContainerTransition,
    Record,
    RecordAttempt,
    RecordDetail,
    RecordListRequest,
    RecordListResponse,
    RecordShowRequest,
    RecordShowResponse,
    RecordState,
    RecordStateCount,
    SeriesRequest,
    SeriesResponse,
    StatsRequest,
    StatsResponse,
    Stream,
)
from wherry_service.api.app_names import check_names
from wherry_service.api.rpc import rpc
from wherry_service.api.rules import ANY, FIELD, Inside
from wherry_service.calls.recorded import Recorded
from wherry_service.errors import InvalidRequest, NotFound
from wherry_service.ids import call_of_input, check_id
from wherry_service.logs.query import Query as LogQuery
from wherry_service.logs.store import LogStore
from wherry_service.records.lanes import DEFAULT_LIMIT as LANES
from wherry_service.records.lanes import MAX_LANES, Lane, Window
from wherry_service.records.query import Query, key_of, limit_of
from wherry_service.records.reader import Found
from wherry_service.store.apps import AppStore
from wherry_service.store.failed_inputs import FailedInputStore

# Those that are on disk.
_DURABLE = (CallKind.SPAWN, CallKind.SPAWN_MAP, CallKind.SCHEDULE)

# Of one call, the inputs whose tracebacks are shown; lines and characters of one.
MAX_TRACEBACKS = 20
MAX_LINES = 500
MAX_TEXT = 65_536
# An end and the lines that tell of it, at most so far apart.
_AROUND_MS = 5_000
_TRACEBACK = "Traceback (most recent call last)"
_TOLD = (RecordState.FAILED, RecordState.TIMEOUT)


class RecordApi:
    """Serves records. What a request names is looked for in its environment alone."""

    def __init__(self, recorded: Recorded, logs: LogStore, apps: AppStore, failed: FailedInputStore) -> None:
        self._reader = recorded.reader
        self._statistics = recorded.statistics
        self._lanes = recorded.lanes
        self._logs = logs
        self._apps = apps
        self._failed = failed

    @rpc("Records.List", ANY, FIELD, inside=Inside.ENVIRONMENT)
    async def list(self, request: RecordListRequest) -> RecordListResponse:
        environment = _main(request)
        query = Query(
            call_id=request.call_id and check_id(request.call_id, "fc", "call id"),
            states=frozenset(request.states),
            kinds=frozenset(request.kinds),
            container_id=request.container_id and check_id(request.container_id, "co", "container id"),
            since_ms=request.since_ms,
            until_ms=request.until_ms,
            search=request.search.lower(),
            limit=limit_of(request.limit),
            after=key_of(request.after),
        )
        found, after = await self._reader.select(environment, request.app, request.function, query)
        if not found and query.after is None:
            await check_names(self._apps, environment, request.app, request.function)
        records = [one.record() for one in found]
        await self._mark(records)
        return RecordListResponse(records=records, next=after)

    @rpc("Records.Show", ANY, ("record_id",), inside=Inside.ENVIRONMENT)
    async def show(self, request: RecordShowRequest) -> RecordShowResponse:
        record_id = request.record_id
        if not record_id.startswith("in-"):
            check_id(record_id, "fc", "id of an input (in-…) or a call")
        else:
            check_id(record_id, "in", "input id")
        limit = limit_of(request.limit)
        found, counts = await self._reader.find(record_id, limit)
        if not found:
            raise NotFound(f"nothing is kept of {record_id}: it is unknown, or its record was dropped for newer ones")
        details = [_detail(one, await self._traceback(one, number)) for number, one in enumerate(found)]
        await self._mark([one.record for one in details if one.record is not None])
        return RecordShowResponse(
            records=details,
            counts=[RecordStateCount(state=state, count=count) for state, count in counts.items()],
        )

    async def _traceback(self, found: Found, number: int) -> str:
        """Return what the log has of how an input failed; of the first ones of a call alone."""
        row = found.row
        if number >= MAX_TRACEBACKS or row.state not in _TOLD or not row.container_id:
            return ""
        # A call of this id is the input alone.
        query = LogQuery(
            found.subject.app_id,
            container_id=row.container_id,
            call_id=call_of_input(row.input_id),
            since_ms=row.ended_ms - _AROUND_MS,
            until_ms=row.ended_ms + _AROUND_MS,
            stream=Stream.STDERR,
        )
        lines = [line async for chunk in self._logs.lines(query, tail=MAX_LINES) for line in chunk]
        first = next((at for at in range(len(lines) - 1, -1, -1) if lines[at].text.startswith(_TRACEBACK)), None)
        wanted = lines[first:] if first is not None else lines[-1:]
        return "\n".join(line.text for line in wanted)[-MAX_TEXT:]

    @rpc("Records.Stats", ANY, FIELD, inside=Inside.ENVIRONMENT)
    async def stats(self, request: StatsRequest) -> StatsResponse:
        since_ms, until_ms = request.since_ms, request.until_ms
        found = await self._statistics.stats(_main(request), request.app, request.function, since_ms, until_ms)
        if not found.functions:
            await check_names(self._apps, _main(request), request.app, request.function)
        return found

    @rpc("Records.Series", ANY, FIELD, inside=Inside.ENVIRONMENT)
    async def series(self, request: SeriesRequest) -> SeriesResponse:
        found = await self._statistics.series(
            _main(request), request.app, request.function, request.since_ms, request.until_ms, request.step_ms
        )
        if not found.points:
            await check_names(self._apps, _main(request), request.app, request.function)
        return found

    @rpc("Records.Containers", ANY, FIELD)
    async def containers(self, request: ContainerHistoryRequest) -> ContainerHistoryResponse:
        if request.limit > MAX_LANES:
            raise InvalidRequest(f"limit is {request.limit}: an answer has at most {MAX_LANES} containers")
        window = Window(
            _main(request),
            request.app,
            request.function,
            request.container_id and check_id(request.container_id, "co", "container id"),
            request.since_ms,
            request.until_ms,
            request.limit or LANES,
            request.bars,
        )
        found = await self._lanes.select(window)
        if not found:
            await check_names(self._apps, _main(request), request.app, request.function)
        return ContainerHistoryResponse(containers=[_lane(lane) for lane in found])

    async def _mark(self, records: Sequence[Record]) -> None:
        """Say of inputs whether they are kept, and which are other runs of which."""
        durable = {one.input_id: one for one in records if one.kind in _DURABLE}
        if durable:
            for input_id, mark in (await self._failed.marks_of(list(durable))).items():
                one = durable[input_id]
                one.kept, one.replay_of, one.replayed_by = mark.is_kept, mark.replay_of, mark.replayed_by


def _main(request: RecordListRequest | StatsRequest | SeriesRequest | ContainerHistoryRequest) -> str:
    return request.environment or "main"


def _lane(lane: Lane) -> ContainerLane:
    subject = lane.subject
    return ContainerLane(
        container_id=lane.container_id,
        app_id=subject.app_id,
        app_name=subject.app_name,
        function_id=subject.function_id,
        function_name=subject.function_name,
        transitions=[ContainerTransition(state=one.state, at_ms=one.at_ms) for one in lane.transitions],
        bars=[
            ContainerBar(input_id=one.input_id, begin_ms=one.begin_ms, end_ms=one.end_ms, outcome=one.outcome)
            for one in lane.bars
        ],
        ended=lane.ended,
        bars_truncated=lane.bars_truncated,
        failed=lane.failed,
    )


def _detail(found: Found, traceback: str) -> RecordDetail:
    attempts = [
        RecordAttempt(
            container_id=one.container_id,
            started_ms=one.started_ms,
            ended_ms=one.ended_ms,
            outcome=one.outcome,
            error=one.error,
        )
        for one in found.attempts
    ]
    return RecordDetail(record=found.record(), attempts=attempts, traceback=traceback)
