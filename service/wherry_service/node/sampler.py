"""What containers use of processors and memory over time: a look from time to time, the last hour in memory."""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from wherry_service.engines.engine import ContainerUsage, EngineError
from wherry_service.ids import time_of

# Points of one container: an hour, at a look each 10 s.
MAX_POINTS = 360
# Containers that are looked at, and that are remembered after their end.
MAX_CONTAINERS = 2000
MAX_ENDED = 200
_AT_ONCE = 4
# Looking takes at most this part of the time, however many there are.
_BUSY_PART = 0.2


class Measures(Protocol):
    """The engine, as far as it measures."""

    async def usage(self, engine_id: str) -> ContainerUsage: ...


class Point(NamedTuple):
    """What a container has used, in nanoseconds of processor time since its start, and bytes of memory now."""

    at_ms: int
    cpu_ns: int
    memory_bytes: int


OnUsed = Callable[[str, float], None]
"""Called with a function's id and the seconds of processor time that a container of it has used since the last look."""


class Sampler:
    """Looks at all containers each `every_s` seconds; 0: never."""

    def __init__(
        self,
        engine: Measures,
        every_s: float,
        running: Callable[[], Iterable[tuple[str, str]]],
        engine_id_of: Callable[[str], str],
    ) -> None:
        """`running` gives containers' and their functions' ids; `engine_id_of` a container's, "" while it has none."""
        self._engine = engine
        self._engine_id_of = engine_id_of
        self._began_ms = int(time.time() * 1000)
        self._every_s = every_s
        self._running = running
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._points: dict[str, deque[Point]] = {}
        # In the order in which they ended.
        self._ended: dict[str, None] = {}
        self.on_used: list[OnUsed] = []

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while self._every_s:
            began = time.monotonic()
            await self.look()
            took = time.monotonic() - began
            await asyncio.sleep(max(self._every_s - took, took * (1 / _BUSY_PART - 1)))

    async def look(self) -> None:
        """Look at all that run; forget those that ended long ago."""
        watched = dict(itertools.islice(self._running(), MAX_CONTAINERS))
        await asyncio.gather(*(self._look_at(*one) for one in watched.items()))
        here = watched.keys()
        for container_id in self._points.keys() - here - self._ended.keys():
            self._ended[container_id] = None
        while len(self._ended) > MAX_ENDED:
            gone = next(iter(self._ended))
            del self._ended[gone]
            self._points.pop(gone, None)

    async def _look_at(self, container_id: str, function_id: str) -> None:
        async with self._slots:
            engine_id = self._engine_id_of(container_id)
            if not engine_id:
                return
            try:
                usage = await self._engine.usage(engine_id)
            except EngineError:
                return
        points = self._points.setdefault(container_id, deque(maxlen=MAX_POINTS))
        self._ended.pop(container_id, None)
        # What an older container used before this life of the service is not counted again.
        is_old = time_of(container_id) < self._began_ms
        before = points[-1].cpu_ns if points else usage.cpu_ns if is_old else 0
        points.append(Point(int(time.time() * 1000), *usage))
        if usage.cpu_ns > before:
            for hear in self.on_used:
                hear(function_id, (usage.cpu_ns - before) / 1e9)

    def points(self, container_id: str) -> list[Point]:
        """Return what a container has used, the oldest first; one that ended lately is known too."""
        return list(self._points.get(container_id, ()))

    def latest(self, container_id: str) -> tuple[Point, float] | None:
        """Return the latest look at a container, and how many processors it kept busy before that; None if unknown."""
        points = self._points.get(container_id)
        if not points or container_id in self._ended:
            return None
        if len(points) < 2:
            return points[-1], 0.0
        before, last = points[-2], points[-1]
        passed_ms = last.at_ms - before.at_ms
        return last, max(0, last.cpu_ns - before.cpu_ns) / 1e6 / passed_ms if passed_ms > 0 else 0.0
