"""A fake service that has records of calls."""

from collections import Counter

from tests.fakes.service import FakeService
from wherry import exception
from wherry_proto.messages import (
    CallGraph,
    CallGraphRequest,
    CallKind,
    ContainerHistoryRequest,
    ContainerHistoryResponse,
    ContainerLane,
    FunctionInfo,
    FunctionLookupRequest,
    Percentiles,
    Record,
    RecordDetail,
    RecordListRequest,
    RecordListResponse,
    RecordShowRequest,
    RecordShowResponse,
    RecordState,
    RecordStateCount,
    RecordStats,
    SessionUp,
    StatsRequest,
    StatsResponse,
)

APP = "ap-01KB8ZQ4M3AAAAAAAAAAAAAAAA"
FUNCTION = "fu-01KB8ZQ4M3AAAAAAAAAAAAAAAA"
CONTAINER = "co-01KB8ZQ4M3AAAAAAAAAAAAAAAA"
# What the first ten letters and digits of the ids below tell.
MADE_MS = 1_764_459_516_547
SECOND = 1000


def record(name: str, state: int = RecordState.SUCCEEDED, **changed: object) -> Record:
    """Return the record of an input `in-01KB8ZQ4M3…name`, a call of its own, that waited 1 s and ran 2 s."""
    digits = "01KB8ZQ4M3" + name.ljust(16, "0")
    given: dict[str, object] = {
        "input_id": f"in-{digits}",
        "call_id": f"fc-{digits}",
        "environment": "main",
        "app_id": APP,
        "app_name": "shop",
        "function_id": FUNCTION,
        "function_name": "price",
        "kind": CallKind.SPAWN,
        "state": state,
        "queued_ms": MADE_MS,
        "started_ms": MADE_MS + SECOND,
        "ended_ms": MADE_MS + 3 * SECOND,
        "container_id": CONTAINER,
        "argument_bytes": 1200,
    }
    return Record(**{**given, **changed})  # type: ignore[arg-type]


class Recorded(FakeService):
    """Answers from `records`, the latest first, two to a page."""

    page = 2

    def __init__(self) -> None:
        super().__init__()
        self.records: list[Record] = []
        # By input, what there is beside its record.
        self.details: dict[str, RecordDetail] = {}
        self.graphs: dict[str, CallGraph] = {}
        self.lanes: list[ContainerLane] = []
        self.total = RecordStats(
            run=Percentiles(p50=0.5, p90=1, p95=2, p99=3, mean=0.7, count=10),
            queue=Percentiles(p50=0.1, p90=0.2, p95=0.3, p99=0.4, mean=0.1, count=10),
        )
        self.by_function: list[RecordStats] = []
        # Of each reading: nothing.
        self.logs = [[] for _ in range(4)]
        # Whether what is cancelled ends.
        self.obeys = True

    def _records_list(self, request: RecordListRequest) -> RecordListResponse:
        found = [one for one in self.records if self._is_meant(one, request)]
        begin = int(request.after or 0)
        end = begin + min(self.page, request.limit)
        return RecordListResponse(records=found[begin:end], next=str(end) if end < len(found) else "")

    def _is_meant(self, one: Record, request: RecordListRequest) -> bool:
        return (
            one.environment == request.environment
            and request.app in ("", one.app_id, one.app_name)
            and request.function in ("", one.function_id, one.function_name)
            and request.call_id in ("", one.call_id)
            and request.container_id in ("", one.container_id)
            and (not request.states or one.state in request.states)
            and (not request.kinds or one.kind in request.kinds)
            and request.since_ms <= one.queued_ms < (request.until_ms or 1 << 60)
            and request.search.lower() in one.error.lower()
        )

    def _records_show(self, request: RecordShowRequest) -> RecordShowResponse:
        found = [one for one in self.records if request.record_id in (one.input_id, one.call_id)]
        if not found:
            raise exception.NotFoundError(f"nothing is known of {request.record_id}")
        counts = Counter(one.state for one in found)
        return RecordShowResponse(
            records=[self.details.get(one.input_id, RecordDetail(record=one)) for one in found],
            counts=[RecordStateCount(state=state, count=count) for state, count in counts.items()],
        )

    def _records_stats(self, request: StatsRequest) -> StatsResponse:
        until_ms = request.until_ms or MADE_MS
        return StatsResponse(functions=self.by_function, total=self.total, since_ms=request.since_ms, until_ms=until_ms)

    def _records_containers(self, request: ContainerHistoryRequest) -> ContainerHistoryResponse:
        return ContainerHistoryResponse(
            containers=[one for one in self.lanes if request.container_id in ("", one.container_id)]
        )

    def _calls_graph(self, request: CallGraphRequest) -> CallGraph:
        if request.call_id not in self.graphs:
            raise exception.NotFoundError(f"there is no call graph of {request.call_id}")
        return self.graphs[request.call_id]

    def _functions_lookup(self, request: FunctionLookupRequest) -> FunctionInfo:
        return FunctionInfo(
            function_id=FUNCTION, name="price", app_id=APP, app_name="shop", environment=request.environment or "main"
        )

    def received(self, stream: object, message: SessionUp) -> None:
        """End what is cancelled."""
        super().received(stream, message)  # type: ignore[arg-type]
        for cancel in message.cancels if self.obeys else ():
            for one in self.records:
                own = f"fc-{one.input_id[3:]}"
                if cancel.call_id in (one.call_id, own) and not one.ended_ms:
                    one.state = RecordState.CANCELLED
