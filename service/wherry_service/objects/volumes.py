"""Volumes and network file systems: named directories that containers share."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from wherry_service.errors import NotFound
from wherry_service.objects.register import PREFIXES, ObjectRegister
from wherry_service.store.objects import ObjectRecord
from wherry_service.store.volumes import VolumeStore
from wherry_service.tasks import Tasks

T = TypeVar("T")

# Copies and removals at once, and how many of them for one environment. They last as long as containers have made files
# for, and in threads that all share they would hold up everything else.
SLOW_THREADS = 8
SLOW_OF_ONE = 2


class Volumes:
    """Ties the directories to the objects that they belong to."""

    def __init__(self, store: VolumeStore, register: ObjectRegister) -> None:
        self.store = store
        self.register = register
        self._discarding = Tasks("the files of a deleted volume could not be removed")
        self._threads = ThreadPoolExecutor(SLOW_THREADS, thread_name_prefix="volumes")
        self._turns: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(SLOW_OF_ONE))
        register.on_gone.append(self._gone)

    async def get(self, volume_id: str) -> ObjectRecord:
        """Return a volume or network file system by id; raise `NotFound`."""
        kind = "nfs" if volume_id.startswith(f"{PREFIXES['nfs']}-") else "volume"
        return await self.register.get(kind, volume_id)

    async def check(self, volume_ids: Sequence[str], environment: str) -> None:
        """Raise `NotFound` unless all of these are there, in that environment."""
        for volume_id in volume_ids:
            if (await self.get(volume_id)).environment != environment:
                raise NotFound(f"volume {volume_id} does not exist: it was deleted, or never was")

    async def slowly(self, environment: str, work: Callable[[], T]) -> T:
        """Do what may take long, when it is that environment's turn."""
        turn = self._turns[environment]
        await turn.acquire()
        doing = asyncio.get_running_loop().run_in_executor(self._threads, work)

        def done(future: "asyncio.Future[T]") -> None:
            # When the thread is free again: whoever asked may not have waited for that.
            turn.release()
            if not future.cancelled():
                future.exception()

        doing.add_done_callback(done)
        return await asyncio.shield(doing)

    def _gone(self, object_id: str) -> None:
        if not object_id.startswith((f"{PREFIXES['volume']}-", f"{PREFIXES['nfs']}-")):
            return
        gone = self.store.delete(object_id)
        if gone is not None:
            self._discarding.spawn(self.slowly("", lambda: self.store.discard(gone)))
