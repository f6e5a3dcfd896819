"""Server: what takes room on this machine, and making some."""

import asyncio
import os
from pathlib import Path

from wherry_proto.messages import (
    DiskPart,
    DiskSpace,
    ServerDisk,
    ServerDiskRequest,
    ServerPruneCacheRequest,
    ServerPruneCacheResponse,
)
from wherry_service.api.rpc import rpc
from wherry_service.api.rules import ADMIN, Where
from wherry_service.engines.engine import Engine, EngineError
from wherry_service.store import kept


class DiskApi:
    """Looks at the state directory and asks the engine."""

    def __init__(self, state_dir: Path, volumes_dir: Path | None, engine: Engine) -> None:
        """`volumes_dir`: where volumes are, if not in the state directory."""
        self._state_dir = state_dir
        self._volumes_dir = volumes_dir
        self._engine = engine

    @rpc("Server.Disk", ADMIN, Where.EVERYWHERE)
    async def disk(self, request: ServerDiskRequest) -> ServerDisk:
        measured = asyncio.ensure_future(asyncio.to_thread(kept.sizes, self._state_dir, self._volumes_dir))
        told = ServerDisk()
        directory = ""
        try:
            engine = await self._engine.disk()
        except EngineError as error:
            told.engine_error = str(error)
        else:
            directory = engine.directory
            told.num_images, told.images_bytes = engine.num_images, engine.images_bytes
            told.cache_bytes, told.cache_unused_bytes = engine.cache_bytes, engine.cache_unused_bytes
        told.disks = await asyncio.to_thread(disks, self._state_dir, directory)
        told.parts = [
            DiskPart(name=one.name, bytes=one.num_bytes, files=one.num_files, complete=one.complete)
            for one in await measured
        ]
        return told

    @rpc("Server.PruneCache", ADMIN, Where.EVERYWHERE, audited=True)
    async def prune_cache(self, request: ServerPruneCacheRequest) -> ServerPruneCacheResponse:
        if request.dry_run:
            return ServerPruneCacheResponse(freed_bytes=(await self._engine.disk()).cache_unused_bytes)
        return ServerPruneCacheResponse(freed_bytes=await self._engine.prune_cache())


def disks(*directories: str | Path) -> list[DiskSpace]:
    """Return the disks that these directories are on, each once; "", and what can't be seen from here, is left out."""
    found: dict[int, DiskSpace] = {}
    for path in filter(None, map(str, directories)):
        try:
            device = os.stat(path).st_dev
        except OSError:
            continue
        free, total = kept.free_bytes(Path(path))
        if total:
            found.setdefault(device, DiskSpace(path=path, free_bytes=free, total_bytes=total))
    return list(found.values())
