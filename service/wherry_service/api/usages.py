"""What containers use of processors and memory, as the engine says."""

import asyncio
import time
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from wherry_service.engines.engine import ContainerUsage, EngineError

# Each takes the engine some milliseconds: whoever asks again and again gets what was read this long ago.
FRESH_S = 0.5
_AT_ONCE = 8


class Measures(Protocol):
    """The engine, as far as it measures."""

    async def usage(self, engine_id: str) -> ContainerUsage: ...


class Measured(NamedTuple):
    """What a container used, and when that was, in milliseconds since 1970."""

    usage: ContainerUsage
    at_ms: int


class Usages:
    """Reads it for many containers, a few at a time, and not more often than has any use."""

    def __init__(self, engine: Measures) -> None:
        self._engine = engine
        self._known: dict[str, Measured] = {}
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._lock = asyncio.Lock()

    async def of(self, engine_ids: Iterable[str]) -> dict[str, Measured]:
        """Return it of each container that the engine can say it of; one that ends meanwhile is left out."""
        wanted = {one for one in engine_ids if one}
        async with self._lock:
            oldest = time.time() * 1000 - FRESH_S * 1000
            # What was read before is forgotten here: containers come and go.
            self._known = {one: found for one, found in self._known.items() if found.at_ms >= oldest}
            await asyncio.gather(*(self._read(one) for one in wanted - self._known.keys()))
            return {one: self._known[one] for one in wanted if one in self._known}

    async def _read(self, engine_id: str) -> None:
        async with self._slots:
            try:
                usage = await self._engine.usage(engine_id)
            except EngineError:
                return
            self._known[engine_id] = Measured(usage, int(time.time() * 1000))
