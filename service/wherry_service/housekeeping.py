"""What the service does from time to time, whoever calls: expiry, clean-up, pruning."""

import asyncio
import ctypes
import gc
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from wherry_service.api.door import Door
from wherry_service.apps.apps import Apps
from wherry_service.apps.deployments import Deployments
from wherry_service.apps.source_use import SourceUse
from wherry_service.calls.journal import Journal
from wherry_service.engines.engine import EngineError
from wherry_service.images.prune import Pruner
from wherry_service.node.driver_volumes import DriverVolumes
from wherry_service.objects.objects import Objects
from wherry_service.sandboxes.sandboxes import Sandboxes
from wherry_service.schedules.schedules import Schedules
from wherry_service.store.away import left_for_later
from wherry_service.store.blobs import BlobStore
from wherry_service.store.calls import CallStore
from wherry_service.store.web import WebStore

log = logging.getLogger(__name__)

BLOB_SWEEP_AGE_S = 24 * 3600.0
EXPIRY_EVERY_S = 3600.0
OBJECTS_EXPIRE_EVERY_S = 60.0
FINISHED_EVERY_S = 1.0
PRUNE_EVERY_S = 3600.0
GIVE_BACK_EVERY_S = 1.0
# Inputs that have ended since the most were open, from which on memory is given back.
TRIM_AFTER = 10_000


class Heap:
    """Gives memory back to the system when many inputs have ended: the allocator keeps what it once had."""

    def __init__(self, trim: Callable[[], None] | None = None) -> None:
        self._trim = trim or _trim_of_libc()
        # Open inputs at the last look, and the most since memory was given back.
        self._before = self._most = 0

    async def look(self, num_open: int) -> None:
        """Hear how many inputs are open now; what many have left is given back as soon as no more end."""
        self._most = max(self._most, num_open)
        is_over = num_open >= self._before and self._most - num_open >= TRIM_AFTER and num_open <= self._most // 2
        self._before = num_open
        if is_over:
            self._most = num_open
            # What it keeps for new objects is spread over all its memory, and holds that fast.
            gc.collect()
            await asyncio.to_thread(self._trim)


def _trim_of_libc() -> Callable[[], None]:
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return (lambda: None) if trim is None else lambda: trim(0)


@dataclass(frozen=True)
class Housekeeping:
    """Works that go on for as long as the service does."""

    apps: Apps
    deployments: Deployments
    journal: Journal
    calls: CallStore
    web: WebStore
    blobs: BlobStore
    objects: Objects
    sandboxes: Sandboxes
    schedules: Schedules
    door: Door
    pruner: Pruner
    source_use: SourceUse
    # Of volumes by a driver of Docker's, where they are so.
    driver_volumes: DriverVolumes | None
    # Days; 0 for images: they stay.
    keep_images_days: float
    keep_sources_days: float
    heap: Heap = field(default_factory=Heap)

    def works(self) -> Sequence[Coroutine[Any, Any, None]]:
        """Return what is to run until the service ends, each as a task of its own."""
        works = [
            self._repeat(self._expire, EXPIRY_EVERY_S, at_once=True),
            self._repeat(self._expire_objects, OBJECTS_EXPIRE_EVERY_S),
            self._repeat(self.apps.stop_finished, FINISHED_EVERY_S),
            self._repeat(self._prune_images, PRUNE_EVERY_S),
            self._repeat(self._give_back, GIVE_BACK_EVERY_S),
        ]
        return works if self.driver_volumes is None else [*works, self.driver_volumes.run()]

    async def _repeat(self, work: Callable[[], Awaitable[None]], every_s: float, at_once: bool = False) -> None:
        if not at_once:
            await asyncio.sleep(every_s)
        while True:
            with left_for_later():
                await work()
            await asyncio.sleep(every_s)

    async def _give_back(self) -> None:
        await self.heap.look(self.journal.num_open)

    async def _prune_images(self) -> None:
        try:
            if self.keep_images_days:
                for pruned in await self.pruner.prune(self.keep_images_days):
                    log.info("removed image %s, which nothing used", pruned.record.image_id)
            await self.pruner.tidy()
        except EngineError as error:
            log.warning("images could not be pruned: %s", error)

    async def _expire(self) -> None:
        _, blob_ids = await self.calls.expire()
        for blob_id in (*blob_ids, *await self.web.expire()):
            self.blobs.delete(blob_id)
        await self.schedules.expire()
        await self.door.expire()
        await self.sandboxes.expire()
        used = self.apps.secret_ids() | self.sandboxes.secret_ids() | await self.deployments.store.secret_ids()
        await self.objects.secrets.sweep(used)
        # Blobs that nothing refers to: of clients that died before they named them, or of an earlier life.
        kept = (self.calls.blob_ids(), self.objects.blob_ids(), self.web.blob_ids())
        keep = self.journal.blob_ids().union(*await asyncio.gather(*kept))
        await asyncio.to_thread(self.blobs.sweep, keep, BLOB_SWEEP_AGE_S)
        await self.source_use.sweep(self.keep_sources_days)

    async def _expire_objects(self) -> None:
        with left_for_later():
            await self.objects.expire()
        await asyncio.to_thread(self.blobs.trim, self.journal.blob_ids())
