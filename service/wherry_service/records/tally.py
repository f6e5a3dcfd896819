"""Counts of one function's inputs: how they ended, and how long they waited and ran, in buckets of fixed bounds.

They are whole numbers in one list, which can be added and subtracted: of a minute, of an hour, of all.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from wherry_proto.messages import OutcomeCounts, Percentiles, RecordState
from wherry_service.records.rows import PlainRow

# Milliseconds: a bucket has what took no longer than its bound, the last one everything else.
BOUNDS_MS = (
    1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 120_000, 300_000, 600_000,
    1_800_000, 3_600_000, 10_800_000, 43_200_000, 86_400_000,
)  # fmt: skip
BUCKETS = len(BOUNDS_MS) + 1

# Positions in the list.
SUCCEEDED, FAILED, TIMEOUT, CANCELLED, LOST, REJECTED, RETRIES, LOSSES, COLD_STARTS, QUEUE_MS, RUN_MS = range(11)
QUEUE = 11
RUN = QUEUE + BUCKETS
LENGTH = RUN + BUCKETS
_OF_STATE = {
    RecordState.SUCCEEDED: SUCCEEDED,
    RecordState.FAILED: FAILED,
    RecordState.TIMEOUT: TIMEOUT,
    RecordState.CANCELLED: CANCELLED,
    RecordState.LOST: LOST,
    RecordState.REJECTED: REJECTED,
}

Counts = list[int]


class Tally:
    """What is counted of one function since the service started."""

    __slots__ = ("calls", "counts")

    def __init__(self) -> None:
        self.counts: Counts = [0] * LENGTH
        # Calls that were begun, by CallKind; of a web endpoint, requests.
        self.calls: dict[int, int] = {}

    def succeeded(self, count: int, first_queue_ms: int, last_queue_ms: int, run_ms: int) -> None:
        """Count inputs that a container has run one after the other; each of them took as long."""
        counts = self.counts
        counts[SUCCEEDED] += count
        counts[RUN_MS] += count * run_ms
        counts[RUN + bisect_left(BOUNDS_MS, run_ms)] += count
        if first_queue_ms == last_queue_ms:
            counts[QUEUE_MS] += count * first_queue_ms
            counts[QUEUE + bisect_left(BOUNDS_MS, first_queue_ms)] += count
            return
        half = count // 2
        counts[QUEUE_MS] += (count - half) * first_queue_ms + half * last_queue_ms
        counts[QUEUE + bisect_left(BOUNDS_MS, first_queue_ms)] += count - half
        counts[QUEUE + bisect_left(BOUNDS_MS, last_queue_ms)] += half

    def ended(self, rows: Iterable[PlainRow]) -> None:
        """Count inputs that ended, each by itself."""
        counts = self.counts
        for row in rows:
            queued_ms, started_ms, ended_ms = row[0], row[5], row[6]
            counts[_OF_STATE.get(row[12], FAILED)] += 1
            # Of one that never ran nobody knows how long it would have waited.
            if started_ms:
                queue_ms, run_ms = max(0, started_ms - queued_ms), max(0, ended_ms - started_ms)
                counts[QUEUE + bisect_left(BOUNDS_MS, queue_ms)] += 1
                counts[RUN + bisect_left(BOUNDS_MS, run_ms)] += 1
                counts[QUEUE_MS] += queue_ms
                counts[RUN_MS] += run_ms

    def count(self, position: int) -> None:
        """Count one of what stands at a position."""
        self.counts[position] += 1

    def called(self, kind: int) -> None:
        """Count a call."""
        self.calls[kind] = self.calls.get(kind, 0) + 1


class Gauges(NamedTuple):
    """How much there was of each at one time, at most."""

    # Inputs that wait; that containers have; containers.
    backlog: int = 0
    running: int = 0
    containers: int = 0

    def most(self, other: "Gauges") -> "Gauges":
        """Return the greater of each."""
        return Gauges(*map(max, self, other))

    def and_also(self, other: "Gauges") -> "Gauges":
        """Return the sum of each: of two functions at one time."""
        return Gauges(*(one + two for one, two in zip(self, other, strict=True)))


def empty() -> Counts:
    """Return counts of nothing."""
    return [0] * LENGTH


def add(into: Counts, counts: Sequence[int]) -> None:
    """Add counts to others."""
    for position, count in enumerate(counts):
        if count:
            into[position] += count


def less(counts: Sequence[int], before: Sequence[int]) -> Counts:
    """Return what was counted since."""
    return [count - earlier for count, earlier in zip(counts, before, strict=True)]


def text_of(counts: Sequence[int]) -> str:
    """Return counts as they are on disk."""
    return ",".join(str(count) if count else "" for count in counts).rstrip(",")


def read(text: str) -> Counts:
    """Return counts of such a text."""
    counts = [int(part) if part else 0 for part in text.split(",")]
    return (counts + [0] * (LENGTH - len(counts)))[:LENGTH]


def outcomes(counts: Sequence[int]) -> OutcomeCounts:
    """Return how many ended how."""
    return OutcomeCounts(
        succeeded=counts[SUCCEEDED],
        failed=counts[FAILED],
        timeout=counts[TIMEOUT],
        cancelled=counts[CANCELLED],
        lost=counts[LOST],
        rejected=counts[REJECTED],
        retries=counts[RETRIES],
        losses=counts[LOSSES],
    )


def queue_buckets(counts: Sequence[int]) -> Sequence[int]:
    """Return how many waited how long, by the bounds."""
    return counts[QUEUE:RUN]


def run_buckets(counts: Sequence[int]) -> Sequence[int]:
    """Return how many ran how long, by the bounds."""
    return counts[RUN:LENGTH]


def percentiles(buckets: Sequence[int], total_ms: int) -> Percentiles:
    """Return percentiles of times, in seconds."""
    count = sum(buckets)
    return Percentiles(
        p50=percentile(buckets, 0.50),
        p90=percentile(buckets, 0.90),
        p95=percentile(buckets, 0.95),
        p99=percentile(buckets, 0.99),
        mean=total_ms / count / 1000 if count else 0.0,
        count=count,
    )


def percentile(buckets: Sequence[int], part: float) -> float:
    """Return the seconds that this part of all took at most: within its bucket it is interpolated; 0 for none."""
    wanted = sum(buckets) * part
    if not wanted:
        return 0.0
    below = 0
    for position, count in enumerate(buckets):
        if count and below + count >= wanted:
            low = BOUNDS_MS[position - 1] if position else 0
            high = BOUNDS_MS[position] if position < len(BOUNDS_MS) else low
            return (low + (high - low) * (wanted - below) / count) / 1000
        below += count
    return BOUNDS_MS[-1] / 1000
