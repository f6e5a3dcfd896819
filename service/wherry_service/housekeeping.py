"""What the service does from time to time, whoever calls: expiry, clean-up, pruning."""

import asyncio
import ctypes
import gc
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from wherry_service.assembly import Parts
from wherry_service.engines.engine import EngineError
from wherry_service.store.away import left_for_later

log = logging.getLogger(__name__)

BLOB_SWEEP_AGE_S = 24 * 3600.0
EXPIRY_EVERY_S = 3600.0
OBJECTS_EXPIRE_EVERY_S = 60.0
FINISHED_EVERY_S = 1.0
PRUNE_EVERY_S = 3600.0
GIVE_BACK_EVERY_S = 1.0
ROLLUP_EVERY_S = 5.0
RECORDS_EVERY_S = 1.0
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


class Housekeeping:
    """Works that go on for as long as the service does."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._heap = Heap()

    def works(self) -> Sequence[Coroutine[Any, Any, None]]:
        """Return what is to run until the service ends, each as a task of its own."""
        works = [
            self._repeat(self._expire, EXPIRY_EVERY_S, at_once=True),
            self._repeat(self._expire_objects, OBJECTS_EXPIRE_EVERY_S),
            self._repeat(self._parts.published.apps.ending.stop_finished, FINISHED_EVERY_S),
            self._repeat(self._prune_images, PRUNE_EVERY_S),
            self._repeat(self._give_back, GIVE_BACK_EVERY_S),
            self._parts.work.sampler.run(),
            self._parts.work.recorded.rollup.run(),
            self._repeat(self._parts.work.recorded.rollup.write, ROLLUP_EVERY_S),
            self._repeat(self._write_records, RECORDS_EVERY_S),
        ]
        volumes = self._parts.published.driver_volumes
        return works if volumes is None else [*works, volumes.run()]

    async def _repeat(self, work: Callable[[], Awaitable[None]], every_s: float, at_once: bool = False) -> None:
        if not at_once:
            await asyncio.sleep(every_s)
        while True:
            with left_for_later():
                await work()
            await asyncio.sleep(every_s)

    async def _give_back(self) -> None:
        await self._heap.look(self._parts.work.journal.num_open)

    async def _write_records(self) -> None:
        disk_records = self._parts.work.recorded.disk
        await disk_records.write()
        if disk_records.is_to_expire:
            await disk_records.expire(int(time.time() * 1000))

    async def _prune_images(self) -> None:
        pruner, keep_days = self._parts.published.pruner, self._parts.machine.image_settings.keep_days
        try:
            # 0: they stay.
            if keep_days:
                for pruned in await pruner.prune(keep_days, spares_snapshots=True):
                    log.info("removed image %s, which nothing used", pruned.record.image_id)
            for image_id in await pruner.expire():
                log.info("removed snapshot %s, which has expired", image_id)
            await pruner.tidy()
        except EngineError as error:
            log.warning("images could not be pruned: %s", error)

    async def _expire(self) -> None:
        blobs, work, published = self._parts.stores.blobs, self._parts.work, self._parts.published
        objects = self._parts.machine.objects
        _, blob_ids = await work.calls.expire()
        for blob_id in (*blob_ids, *await published.web.expire()):
            blobs.delete(blob_id)
        await work.schedules.expire()
        await work.failures.trim()
        await work.recorded.rollup.compact(work.recorded.records.settings.keep_days)
        await work.recorded.disk.expire(int(time.time() * 1000))
        await self._parts.entrances.door.expire()
        await work.sandboxes.expire()
        used = published.apps.register.secret_ids() | work.sandboxes.register.secret_ids()
        await objects.secrets.sweep(used | await published.deployments.store.secret_ids())
        # Blobs that nothing refers to: of clients that died before they named them, or of an earlier life.
        kept = (work.calls.blob_ids(), work.failures.store.blob_ids(), objects.blob_ids(), published.web.blob_ids())
        keep = work.journal.blob_ids().union(*await asyncio.gather(*kept))
        await asyncio.to_thread(blobs.sweep, keep, BLOB_SWEEP_AGE_S)
        await published.source_use.sweep(self._parts.basics.settings.sources_keep_days)

    async def _expire_objects(self) -> None:
        with left_for_later():
            await self._parts.machine.objects.expire()
        await asyncio.to_thread(self._parts.stores.blobs.trim, self._parts.work.journal.blob_ids())
