"""Containers over time: their states, and which inputs they had when."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from wherry_service.records.reader import OpenInputs
from wherry_service.records.records import CallRecords
from wherry_service.records.rows import PlainRow, Subject

# Containers that have ended, the latest.
MAX_LANES = 1000
DEFAULT_LIMIT = 200
# Bars in one answer.
MAX_BARS = 20_000
MAX_TEXT = 200


class Transition(NamedTuple):
    """A state of a container, and when it began, in milliseconds since 1970."""

    state: str
    at_ms: int


class Seen(NamedTuple):
    """A container, and its states in order."""

    container_id: str
    function_id: str
    transitions: Sequence[Transition]


class Bar(NamedTuple):
    """An input in a container; `end_ms` is 0 as long as it runs."""

    begin_ms: int
    end_ms: int
    input_id: str
    # A RecordState.
    outcome: int


class Lane(NamedTuple):
    """A container with what it did."""

    subject: Subject
    container_id: str
    transitions: Sequence[Transition]
    # How it ended; "" while it is there.
    ended: str
    bars: Sequence[Bar] = ()
    bars_truncated: bool = False
    # Not because it was told to.
    failed: bool = False

    def was_there(self, since_ms: int, until_ms: int) -> bool:
        """Whether it was there at some time in between; 0: no limit."""
        begin_ms = self.transitions[0].at_ms if self.transitions else 0
        end_ms = self.transitions[-1].at_ms if self.ended and self.transitions else 0
        return not (until_ms and begin_ms >= until_ms) and not (since_ms and self.ended and end_ms < since_ms)


# large: a field for each way to ask
class Window(NamedTuple):
    """Which containers are asked for."""

    environment: str
    app: str = ""
    function: str = ""
    container_id: str = ""
    since_ms: int = 0
    until_ms: int = 0
    limit: int = DEFAULT_LIMIT
    bars: int = 0


class Lanes:
    """Containers that are there, and the latest that have ended."""

    def __init__(
        self,
        records: CallRecords,
        take_open: Callable[[], OpenInputs],
        live: Callable[[], Iterable[Seen]],
    ) -> None:
        self._records = records
        self._take_open = take_open
        self._live = live
        self._ended: deque[Lane] = deque(maxlen=MAX_LANES)

    def __len__(self) -> int:
        return len(self._ended)

    def ended(self, seen: Seen, how: str, failed: bool) -> None:
        """Keep a container that has ended; `failed`: not because it was told to."""
        self._ended.append(self._lane(seen, how[:MAX_TEXT] or "ended")._replace(failed=failed))

    async def select(self, window: Window) -> list[Lane]:
        """Return containers, the latest first."""
        lanes = [*(self._lane(seen, "") for seen in self._live()), *self._ended]
        found = [lane for lane in lanes if _is_meant(lane, window)]
        found.sort(key=lambda lane: lane.container_id, reverse=True)
        found = found[: window.limit]
        if not window.bars or not found:
            return found
        opened = self._take_open()
        functions = {lane.subject.function_id for lane in found}
        rows = [list(one.ended) for one in self._records if one.subject.function_id in functions]
        return await asyncio.to_thread(_with_bars, found, window, rows, opened)

    def _lane(self, seen: Seen, how: str) -> Lane:
        return Lane(self._records.function(seen.function_id).subject, seen.container_id, seen.transitions, how)


def _is_meant(lane: Lane, window: Window) -> bool:
    return (
        lane.subject.is_meant(window.environment, window.app, window.function)
        and window.container_id in ("", lane.container_id)
        and lane.was_there(window.since_ms, window.until_ms)
    )


def _with_bars(
    lanes: Sequence[Lane], window: Window, ended: Iterable[Iterable[PlainRow]], opened: OpenInputs
) -> list[Lane]:
    most = max(1, min(window.bars, MAX_BARS // len(lanes)))
    bars: dict[str, list[Bar]] = {lane.container_id: [] for lane in lanes}
    since_ms, until_ms = window.since_ms, window.until_ms or time.time_ns() // 1_000_000 + 1
    for rows in ended:
        for row in rows:
            if row[7] in bars and row[5] and row[6] >= since_ms and row[5] < until_ms:
                bars[row[7]].append(Bar(row[5], row[6], row[1], row[12]))
    for _, row in opened.rows():
        if row[7] in bars and row[5] and row[5] < until_ms:
            bars[row[7]].append(Bar(row[5], 0, row[1], row[12]))
    found: list[Lane] = []
    for lane in lanes:
        own = sorted(bars[lane.container_id])
        found.append(lane._replace(bars=own[-most:], bars_truncated=len(own) > most))
    return found
