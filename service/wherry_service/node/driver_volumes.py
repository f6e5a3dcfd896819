"""Docker's volumes of ours, which a driver mounts: they go with the volumes that they are."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping

from wherry_service.engines.engine import Engine, EngineError
from wherry_service.engines.volume_driver import volume_id_of
from wherry_service.store.away import left_for_later

EVERY_S = 60.0

log = logging.getLogger(__name__)


class DriverVolumes:
    """Removes those of volumes that were deleted, once no container has them any more."""

    def __init__(self, engine: Engine, labels: Mapping[str, str], exists: Callable[[str], Awaitable[bool]]) -> None:
        self._engine = engine
        self._labels = labels
        self._exists = exists
        self._gone = asyncio.Event()
        # Told once.
        self._told: set[str] = set()

    def gone(self, object_id: str) -> None:
        """Hear that an object was deleted."""
        if object_id.startswith(("vo-", "sv-")):
            self._gone.set()

    async def run(self) -> None:
        """Tidy whenever a volume is gone, and from time to time."""
        while True:
            self._gone.clear()
            with left_for_later():
                await self.tidy()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVERY_S):
                    await self._gone.wait()

    async def tidy(self) -> None:
        """Remove what can be removed; the rest is tried again next time."""
        try:
            names = await self._engine.volumes(self._labels)
        except EngineError as error:
            log.warning("volumes of the engine could not be looked through: %s", error)
            return
        for name in names:
            volume_id = volume_id_of(name)
            if not volume_id or await self._exists(volume_id):
                continue
            try:
                await self._engine.remove_volume(name)
            except EngineError as error:
                if name not in self._told:
                    self._told.add(name)
                    log.warning("volume %s was deleted, and Docker's of it stays for now: %s", volume_id, error)
