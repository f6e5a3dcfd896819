"""What one container wrote into buckets is there before anybody hears of the end that it is part of."""

import asyncio
import time
from collections.abc import Callable, Sequence

from wherry_service.logs.batch import LogRow
from wherry_service.node.buckets import Buckets


class BucketWrites:
    """Waits for a container's buckets. `told` hears what could not be written, as lines of its standard error."""

    def __init__(self, buckets: Buckets, container_id: str, told: Callable[[Sequence[LogRow]], None]) -> None:
        self._buckets = buckets
        self._container_id = container_id
        self._told = told
        # Ends are told in the order in which they came.
        self._turn = asyncio.Lock()

    @property
    def are_possible(self) -> bool:
        """Whether it has buckets at all that can be written."""
        return self._buckets.has(self._container_id)

    async def then(self, tell: Callable[[], None]) -> None:
        """Wait until what was written so far is in the buckets, and tell."""
        async with self._turn:
            for text in await self._buckets.flush(self._container_id):
                self._told([(2, "", int(time.time() * 1000), text, False)])
            tell()
