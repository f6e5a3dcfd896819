"""Measuring: medians, percentiles, and two things in turn so that a drifting machine hits both."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Sample:
    """Times of one thing, in seconds."""

    times: tuple[float, ...]

    @property
    def p50(self) -> float:
        return statistics.median(self.times)

    @property
    def p99(self) -> float:
        ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]

    def row(self) -> dict[str, float | int]:
        """Return it for JSON."""
        return {"count": len(self.times), "p50_s": self.p50, "p99_s": self.p99, "min_s": min(self.times)}


def timed(work: Callable[[], Any]) -> float:
    """Return the seconds that `work` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def in_turn(works: Sequence[Callable[[], Any]], rounds: int, block: int = 1, warmup: int = 1) -> list[Sample]:
    """Time each work `rounds` times `block`, block by block in turn; warm-up rounds are not counted."""
    times: list[list[float]] = [[] for _ in works]
    for round_ in range(-warmup, rounds):
        for index, work in enumerate(works):
            found = [timed(work) for _ in range(block)]
            if round_ >= 0:
                times[index] += found
    return [Sample(tuple(found)) for found in times]
