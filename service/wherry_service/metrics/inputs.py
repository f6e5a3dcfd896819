"""What became of inputs, as records count it: no input is counted a second time for metrics."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client.core import Metric

from wherry_proto.messages import CallKind
from wherry_service.metering import Histogram
from wherry_service.metrics.families import Row, counter, histogram
from wherry_service.metrics.labels import FORGET_AFTER_S, NAMES, Labels, Named
from wherry_service.records import tally
from wherry_service.records.functions import FunctionRecords

_BOUNDS_S = tuple(bound / 1000 for bound in tally.BOUNDS_MS)
_OUTCOMES = {
    tally.SUCCEEDED: "success",
    tally.FAILED: "exception",
    tally.TIMEOUT: "timeout",
    tally.CANCELLED: "cancelled",
    tally.LOST: "lost",
    tally.REJECTED: "rejected",
}
_KINDS = {
    CallKind.REMOTE: "remote",
    CallKind.MAP: "map",
    CallKind.GENERATOR: "generator",
    CallKind.SPAWN: "spawn",
    CallKind.SPAWN_MAP: "spawn_map",
    CallKind.WEB: "web",
    CallKind.SCHEDULE: "schedule",
}


@dataclass(frozen=True, slots=True)
class Counted:
    """What records had counted at one time: of each function, and the calls by kind."""

    counts: Mapping[Labels, tally.Counts]
    calls: Sequence[Row]


def counted(records: Iterable[FunctionRecords], named: Named) -> Counted:
    """Return what records have counted by now, by the labels of functions."""
    now_ms = time.time() * 1000
    counts: dict[Labels, tally.Counts] = {}
    calls: list[Row] = []
    for one in records:
        subject = one.subject
        labels = Labels(subject.environment, subject.app_name, subject.function_name)
        is_used = now_ms - one.last_ms < FORGET_AFTER_S * 1000
        labels = named.bounded(labels) if is_used else named.known(labels)
        tally.add(counts.setdefault(labels, tally.empty()), one.tally.counts)
        calls += [((*labels, _KINDS.get(kind, "other")), count) for kind, count in one.tally.calls.items()]
    return Counted(counts, calls)


def families(found: Counted) -> Iterator[Metric]:
    """Yield the families: of many functions they are thousands of series, for a thread to make."""
    counts = found.counts
    ended = [
        ((*labels, outcome), one[position])
        for labels, one in counts.items()
        for position, outcome in _OUTCOMES.items()
        # Also 0: without it the first failure of a function would be none.
        if one[position] or outcome in ("success", "exception")
    ]
    yield counter("wherry_calls", "Calls that were begun, by kind.", found.calls, (*NAMES, "kind"))
    yield counter("wherry_inputs", "Inputs that ended, by how.", ended, (*NAMES, "outcome"))
    again = [((*labels, "user"), one[tally.RETRIES]) for labels, one in counts.items()]
    again += [((*labels, "lost"), one[tally.LOSSES]) for labels, one in counts.items()]
    text = "Attempts after the first: by retries= (user), and since a container was lost."
    yield counter("wherry_input_retries", text, again, (*NAMES, "why"))
    cold = [(labels, one[tally.COLD_STARTS]) for labels, one in counts.items()]
    yield counter("wherry_cold_starts", "Inputs that waited for a container to start.", cold, NAMES)
    waited = [(labels, _made(tally.queue_buckets(one), one[tally.QUEUE_MS])) for labels, one in counts.items()]
    yield histogram("wherry_input_queue_seconds", "Seconds that inputs waited for a container.", waited, NAMES)
    ran = [(labels, _made(tally.run_buckets(one), one[tally.RUN_MS])) for labels, one in counts.items()]
    yield histogram("wherry_input_run_seconds", "Seconds that inputs ran.", ran, NAMES)


def _made(buckets: Iterable[int], total_ms: int) -> Histogram:
    made = Histogram(_BOUNDS_S)
    made.counts, made.total = list(buckets), total_ms / 1000
    return made
