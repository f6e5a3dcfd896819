"""Volumes and network file systems: named directories that containers share."""

import asyncio
from collections.abc import Sequence

from wherry_service.errors import NotFound
from wherry_service.objects.register import PREFIXES, ObjectRegister
from wherry_service.store.objects import ObjectRecord
from wherry_service.store.volumes import VolumeStore
from wherry_service.tasks import Tasks


class Volumes:
    """Ties the directories to the objects that they belong to."""

    def __init__(self, store: VolumeStore, register: ObjectRegister) -> None:
        self.store = store
        self.register = register
        self._discarding = Tasks("the files of a deleted volume could not be removed")
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

    def _gone(self, object_id: str) -> None:
        if not object_id.startswith((f"{PREFIXES['volume']}-", f"{PREFIXES['nfs']}-")):
            return
        gone = self.store.delete(object_id)
        if gone is not None:
            self._discarding.spawn(asyncio.to_thread(self.store.discard, gone))
