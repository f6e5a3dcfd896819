"""Somebody who follows an app's lines as they come."""

import asyncio

from wherry_service.logs.batch import LogBatch
from wherry_service.logs.query import Query

# What may wait for one who follows; he who takes less reads the rest from disk.
LAG_BYTES = 4 << 20


class Follower:
    """What has come and was not taken yet."""

    def __init__(self, query: Query) -> None:
        self.query = query
        self._batches: list[LogBatch] = []
        self._bytes = 0
        self._behind = False
        self._ended = False
        self._event = asyncio.Event()

    def put(self, batch: LogBatch, size: int) -> None:
        """Hear new lines."""
        if self.query.container_id not in ("", batch.container_id):
            return
        self._bytes += size
        if self._bytes > LAG_BYTES:
            self._behind = True
            self._batches.clear()
        if not self._behind:
            self._batches.append(batch)
        self._event.set()

    def end(self) -> None:
        """Hear that nothing follows."""
        self._ended = True
        self._event.set()

    async def next(self) -> list[LogBatch] | None:
        """Wait for more and return it; None when all was taken and nothing follows."""
        while not self._event.is_set():
            await self._event.wait()
        self._event.clear()
        batches, self._batches, self._bytes = self._batches, [], 0
        if batches or self._behind:
            if self._ended:
                self._event.set()
            return batches
        if self._ended:
            self._event.set()
            return None
        return []

    def take_behind(self) -> bool:
        """Return whether lines were let go since the last time this was asked: they are to be read from disk."""
        behind, self._behind = self._behind, False
        return behind
