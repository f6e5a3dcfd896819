"""What spawned generators yield: on disk before the generator goes on, and read from there."""

import asyncio
from collections.abc import AsyncIterator

from wherry_proto.messages import CallValuesRequest, Yield
from wherry_service.calls.writing import until_written
from wherry_service.errors import NotFound
from wherry_service.ids import check_id
from wherry_service.node.node import NodeContainer
from wherry_service.store.blobs import BlobStore, keep_patiently
from wherry_service.store.yields import YieldStore

_AT_ONCE = 256


class Values:
    """Keeps values, and serves them to whoever asks, until the generator has ended."""

    def __init__(self, store: YieldStore, blobs: BlobStore) -> None:
        self._store = store
        self._blobs = blobs
        # By input: held while a large value is being kept.
        self._turns: dict[str, asyncio.Lock] = {}
        # By input: values that are not on disk yet.
        self._writing: dict[str, set[asyncio.Future[None]]] = {}
        # Set, and replaced, when something is new of a call that somebody follows.
        self._news: dict[str, asyncio.Event] = {}
        # How many follow each call.
        self._following: dict[str, int] = {}

    async def keep(self, value: Yield, source: NodeContainer | None) -> None:
        """Put a value on disk, as soon as that takes it; then let its generator run on."""
        writing = self._writing.setdefault(value.input_id, set())
        done = asyncio.get_running_loop().create_future()
        writing.add(done)
        try:
            await self._write(value, source)
        finally:
            done.set_result(None)
            writing.discard(done)
            if not writing:
                self._writing.pop(value.input_id, None)

    async def _write(self, value: Yield, source: NodeContainer | None) -> None:
        blob_id = value.payload.blob_id if value.payload is not None else ""
        if blob_id or value.input_id in self._turns:
            # One that is small may not overtake a large one before it: who reads goes by the index.
            async with self._turns.setdefault(value.input_id, asyncio.Lock()):
                if blob_id:
                    await keep_patiently(self._blobs, [blob_id])
        await until_written(lambda: self._store.add(value))
        if source is not None:
            source.taken([(value.input_id, value.index + 1)])
        self.changed(value.call_id)

    def is_keeping(self, input_id: str) -> bool:
        """Whether there is something that `all_kept` would wait for."""
        return input_id in self._turns or input_id in self._writing

    async def all_kept(self, input_id: str) -> None:
        """Wait until what an input has yielded is on disk: its end may follow."""
        self._turns.pop(input_id, None)
        if writing := self._writing.get(input_id):
            await asyncio.wait(set(writing))

    def changed(self, call_id: str) -> None:
        """Have those who follow the call look again."""
        news = self._news.pop(call_id, None)
        if news is not None:
            news.set()

    async def serve(self, request: CallValuesRequest) -> AsyncIterator[Yield]:
        """Stream the call's values from an index on, those that are still to come as well."""
        call_id = check_id(request.call_id, "fc", "call id")
        self._following[call_id] = self._following.get(call_id, 0) + 1
        try:
            async for value in self._follow(call_id, request.index):
                yield value
        finally:
            self._following[call_id] -= 1
            if not self._following[call_id]:
                # Nobody is there to be told.
                del self._following[call_id]
                self._news.pop(call_id, None)

    async def _follow(self, call_id: str, index: int) -> AsyncIterator[Yield]:
        while True:
            news = self._news.setdefault(call_id, asyncio.Event())
            # How it stands is asked first: what comes after the answer wakes us.
            item = await self._store.input_of(call_id)
            if item is None:
                raise NotFound(f"there is no call {call_id}, or it was forgotten long ago")
            found = await self._store.read(item.input_id, index, _AT_ONCE)
            # One whose writing failed at first comes late: what is behind it waits.
            there = [value for place, value in enumerate(found, index) if value.index == place]
            for value in there:
                value.call_id = call_id
                index = value.index + 1
                yield value
            if not there:
                if item.finished:
                    return
                await news.wait()
