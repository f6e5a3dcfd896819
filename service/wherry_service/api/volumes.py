"""Volumes: their files, in chunks and pages."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

from wherry_proto.messages import (
    VolumeCheckRequest,
    VolumeCheckResponse,
    VolumeChunk,
    VolumeCopyRequest,
    VolumeData,
    VolumeEntries,
    VolumeEntriesRequest,
    VolumeReadRequest,
    VolumeRemoveRequest,
    VolumeWritten,
)
from wherry_service.api.rpc import rpc
from wherry_service.api.rules import INVOKE, Inside
from wherry_service.errors import Exhausted, InvalidRequest
from wherry_service.objects.volumes import Volumes

MAX_PATHS = 10_000
# Listings of one environment at once: each holds directories open, as deep as they are in each other.
MAX_LISTINGS = 64
# Bytes of a stream that one turn in a thread reads or writes.
_TURN = 1 << 20
# Chunks that may have come and wait to be written.
_WAITING = 16


class VolumeApi:
    """Serves the files of volumes and network file systems."""

    def __init__(self, volumes: Volumes) -> None:
        self._volumes = volumes
        self._store = volumes.store
        # How many listings go on, by environment.
        self._listing: Counter[str] = Counter()

    @rpc("Volumes.Entries", INVOKE, ("volume_id",), inside=Inside.ENVIRONMENT)
    async def entries(self, request: VolumeEntriesRequest) -> AsyncIterator[VolumeEntries]:
        environment = (await self._volumes.get(request.volume_id)).environment
        if self._listing[environment] >= MAX_LISTINGS:
            raise Exhausted(
                f"{MAX_LISTINGS} directories of volumes are being listed in environment {environment}: try again when "
                "one of them is done"
            )
        self._listing[environment] += 1
        pages = self._store.entries(request.volume_id, request.path, request.recursive)
        try:
            while (page := await asyncio.to_thread(next, pages, None)) is not None:
                yield VolumeEntries(entries=page)
        finally:
            self._listing[environment] -= 1
            _close(pages)

    @rpc("Volumes.Check", INVOKE, ("volume_id",), inside=Inside.ENVIRONMENT)
    async def check(self, request: VolumeCheckRequest) -> VolumeCheckResponse:
        await self._volumes.get(request.volume_id)
        _few(len(request.uploads))

        def check() -> VolumeCheckResponse:
            found = [self._store.check(request.volume_id, one.path, one.key) for one in request.uploads]
            return VolumeCheckResponse(exist=[row[0] for row in found], offsets=[row[1] for row in found])

        return await asyncio.to_thread(check)

    @rpc("Volumes.Write", INVOKE, ("volume_id",), inside=Inside.ENVIRONMENT)
    async def write(self, chunks: AsyncIterator[VolumeChunk]) -> VolumeWritten:
        count = 0
        known: set[str] = set()
        async for group in _gathered(chunks):
            for volume_id in {chunk.volume_id for chunk in group} - known:
                await self._volumes.get(volume_id)
                known.add(volume_id)
            count += await asyncio.to_thread(self._write_all, group)
        return VolumeWritten(num_files=count)

    def _write_all(self, group: list[VolumeChunk]) -> int:
        return sum(self._store.write(chunk) for chunk in group)

    @rpc("Volumes.Read", INVOKE, ("volume_id",), inside=Inside.ENVIRONMENT)
    async def read(self, request: VolumeReadRequest) -> AsyncIterator[VolumeData]:
        await self._volumes.get(request.volume_id)
        _few(len(request.paths))
        rows = self._rows(request)
        try:
            while batch := await asyncio.to_thread(_some, rows):
                for row in batch:
                    yield row
        finally:
            _close(rows)

    def _rows(self, request: VolumeReadRequest) -> Iterator[VolumeData]:
        for index, path in enumerate(request.paths):
            last = b""
            for data in self._store.read(request.volume_id, path):
                if last:
                    yield VolumeData(index=index, data=last)
                last = data
            yield VolumeData(index=index, data=last, is_last=True)

    @rpc("Volumes.Remove", INVOKE, ("volume_id",), inside=Inside.ENVIRONMENT)
    async def remove(self, request: VolumeRemoveRequest) -> VolumeWritten:
        volume = await self._volumes.get(request.volume_id)
        remove = self._store.remove
        await self._volumes.slowly(
            volume.environment, lambda: remove(request.volume_id, request.path, request.recursive)
        )
        return VolumeWritten(num_files=1)

    @rpc("Volumes.Copy", INVOKE, ("volume_id",), inside=Inside.ENVIRONMENT)
    async def copy(self, request: VolumeCopyRequest) -> VolumeWritten:
        volume = await self._volumes.get(request.volume_id)
        _few(len(request.sources))
        copy = self._store.copy
        count = await self._volumes.slowly(
            volume.environment,
            lambda: copy(request.volume_id, request.sources, request.destination, request.recursive),
        )
        return VolumeWritten(num_files=count)


async def _gathered(chunks: AsyncIterator[VolumeChunk]) -> AsyncIterator[list[VolumeChunk]]:
    """Yield what has come while the last was written: a turn in a thread costs more than a small file."""
    # None: the last has come. An error stands where it came.
    waiting: asyncio.Queue[VolumeChunk | Exception | None] = asyncio.Queue(_WAITING)

    async def listen() -> None:
        try:
            async for chunk in chunks:
                await waiting.put(chunk)
            await waiting.put(None)
        except Exception as error:  # noqa: BLE001 - it is raised below, by the one who asked
            await waiting.put(error)

    listening = asyncio.ensure_future(listen())
    try:
        item = await waiting.get()
        while isinstance(item, VolumeChunk):
            group: list[VolumeChunk] = []
            size = 0
            while isinstance(item, VolumeChunk):
                group.append(item)
                size += len(item.data)
                if size >= _TURN or waiting.empty():
                    break
                item = waiting.get_nowait()
            yield group
            if isinstance(item, VolumeChunk):
                item = await waiting.get()
        if item is not None:
            raise item
    finally:
        listening.cancel()


def _some(rows: Iterator[VolumeData]) -> list[VolumeData]:
    """Take what is together about a chunk."""
    found: list[VolumeData] = []
    size = 0
    for row in rows:
        found.append(row)
        size += len(row.data)
        if size >= _TURN or len(found) >= 256:
            break
    return found


def _close(rows: Any) -> None:
    rows.close()


def _few(count: int) -> None:
    if not 0 < count <= MAX_PATHS:
        raise InvalidRequest(f"a request names 1 to {MAX_PATHS} paths, got {count}")
