"""Blobs: large payloads and source files, in chunks or handed over as files."""

import asyncio
from collections.abc import AsyncIterator

from wherry_proto.messages import (
    BlobAdoptRequest,
    BlobChunk,
    BlobGetRequest,
    BlobInfo,
    BlobLocation,
    BlobMissingRequest,
    BlobMissingResponse,
    SourceInfo,
    SourceTree,
)
from wherry_service.api.rpc import rpc
from wherry_service.api.rules import ADMIN, ANY, DEPLOY, Inside, Where
from wherry_service.errors import InvalidRequest
from wherry_service.store.blobs import BlobStore
from wherry_service.store.sources import SourceStore


class BlobApi:
    """Serves blobs and source trees."""

    def __init__(self, blobs: BlobStore, sources: SourceStore) -> None:
        self._blobs = blobs
        self._sources = sources

    @rpc("Blobs.Missing", DEPLOY, Where.ANYWHERE)
    async def missing(self, request: BlobMissingRequest) -> BlobMissingResponse:
        return BlobMissingResponse(blob_ids=await asyncio.to_thread(self._blobs.missing, request.blob_ids))

    @rpc("Blobs.Put", ANY, Where.ANYWHERE, inside=Inside.ENVIRONMENT)
    async def put(self, chunks: AsyncIterator[BlobChunk]) -> BlobInfo:
        first = await anext(aiter(chunks), None)
        if first is None:
            raise InvalidRequest("a blob begins with a chunk that names it")
        with self._blobs.writer(first.blob_id) as writer:
            await asyncio.to_thread(writer.write, first.data)
            async for chunk in chunks:
                await asyncio.to_thread(writer.write, chunk.data)
            return BlobInfo(blob_id=first.blob_id, size=await asyncio.to_thread(writer.commit))

    # The id of a payload is 80 random bits, told only to those it is for.
    @rpc("Blobs.Get", ANY, Where.ANYWHERE, inside=Inside.ENVIRONMENT)
    async def get(self, request: BlobGetRequest) -> AsyncIterator[BlobChunk]:
        chunks = self._blobs.read(request.blob_id)
        while (data := await asyncio.to_thread(next, chunks, None)) is not None:
            yield BlobChunk(blob_id=request.blob_id, data=data)

    @rpc("Blobs.Adopt", ADMIN, Where.NOWHERE)
    async def adopt(self, request: BlobAdoptRequest) -> BlobInfo:
        # A rename: not worth a thread.
        return BlobInfo(blob_id=request.blob_id, size=self._blobs.adopt(request.blob_id, request.file_name))

    @rpc("Blobs.Locate", ADMIN, Where.NOWHERE)
    async def locate(self, request: BlobGetRequest) -> BlobLocation:
        path = await asyncio.to_thread(self._blobs.fetch, request.blob_id)
        return BlobLocation(path=str(path), size=path.stat().st_size)

    @rpc("Blobs.PutSource", DEPLOY, Where.ANYWHERE)
    async def put_source(self, request: SourceTree) -> SourceInfo:
        return SourceInfo(source_id=await asyncio.to_thread(self._sources.put, request.files))
