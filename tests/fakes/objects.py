"""The objects of a state directory, and of the lives that the service has there one after the other."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

from obstore.store import MemoryStore

from tests.databases import Disk
from wherry_proto.messages import DictEntry, Format, Payload
from wherry_service.ids import new_id
from wherry_service.objects.keys import Keys
from wherry_service.objects.objects import Objects
from wherry_service.objects.partition import Getter
from wherry_service.store.blobs import BlobStore
from wherry_service.store.bucket import Bucket
from wherry_service.store.bucket_blobs import OWNER, BucketBlobStore
from wherry_service.store.volumes import VolumeStore


def payload(data: bytes) -> Payload:
    return Payload(format=Format.PICKLE, data=data, size=len(data))


class World:
    """One life of the service after the other, on the same disk."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.folder = disk.folder
        self.now = 1_700_000_000.0
        self.blobs = self.open_blobs()
        self.begin()

    def open_blobs(self) -> BlobStore:
        """Return where blobs are kept."""
        return BlobStore(self.folder / "blobs")

    def begin(self) -> None:
        """Begin a life."""
        self.database = self.disk.database()
        # Blobs that nothing refers to any more go at the next turn of the event loop.
        keys, volumes = Keys(self.folder / "secret.key"), VolumeStore(self.folder / "volumes")
        self.objects = Objects(self.database, self.blobs, keys, volumes, lambda: self.now, blob_grace_s=0.0)

    def restart(self) -> None:
        """End a life and begin another: all that was in memory is gone."""
        self.database.close()
        self.now += 1.0
        self.begin()

    async def make(self, kind: str, name: str = "x", environment: str = "main") -> str:
        """Return the id of the dict or queue of that name."""
        return (await self.objects.register.open(kind, name, environment, True)).object_id

    def put_blob(self, data: bytes) -> Payload:
        """Store a large value, as a client does before it names it."""
        blob_id = new_id("bl")
        self.blobs.put(blob_id, [data])
        return Payload(format=Format.PICKLE, blob_id=blob_id, size=len(data))

    def read(self, value: Payload) -> bytes:
        return b"".join(self.blobs.read(value.blob_id)) if value.blob_id else value.data

    def blob_ids(self) -> set[str]:
        """Return the blobs that are there."""
        return {path.name for path in (self.folder / "blobs" / "payloads").iterdir()}

    # Dicts

    async def put(self, dict_id: str, key: bytes, value: Payload, skip: bool = False, ttl_s: float = 0.0) -> int:
        entries = [DictEntry(key=key, value=value)]
        return await self.objects.dicts.put(dict_id, new_id("op"), entries, skip, ttl_s)

    async def pop(self, dict_id: str, key: bytes) -> bytes | None:
        answer = await self.objects.dicts.pop(dict_id, new_id("op"), key)
        return self.read(answer.value) if answer.value is not None else None

    async def items(self, dict_id: str) -> list[tuple[bytes, bytes]]:
        """Return the entries, page by page."""
        found: list[tuple[bytes, bytes]] = []
        after = until = 0
        while True:
            page = await self.objects.dicts.page(dict_id, after, until, True)
            found += [(entry.key, self.read(entry.value or Payload())) for entry in page.entries]
            if page.is_last:
                return found
            after, until = page.after, page.until

    # Queues

    async def offer(self, queue_id: str, *values: bytes, partition: str = "", wait_s: float | None = 0.0) -> bool:
        payloads = [payload(value) for value in values]
        return await self.objects.queues.put(queue_id, new_id("op"), partition, payloads, 0.0, wait_s)

    async def lend(
        self, queue_id: str, count: int = 1, partition: str = "", wait_s: float | None = 0.0
    ) -> tuple[Getter, list[bytes]]:
        """Get items without acknowledging them."""
        getter, values = await self.objects.queues.get(queue_id, new_id("op"), partition, count, wait_s)
        return getter, [self.read(value) for value in values]

    async def take(self, queue_id: str, count: int = 1, partition: str = "", wait_s: float | None = 0.0) -> list[bytes]:
        """Get items and acknowledge them."""
        getter, values = await self.lend(queue_id, count, partition, wait_s)
        if values:
            positions = [item.position for item in getter.items]
            assert await self.objects.queues.acknowledge(queue_id, getter.lease_id, partition, positions)
        return values


class BucketWorld(World):
    """Its blobs are kept in a bucket. Each life begins on another host, with nothing but database and bucket."""

    def open_blobs(self) -> BlobStore:
        self.hosts = 0
        self.bucket = Bucket(MemoryStore(), "memory://")
        return self._next_host()

    def _next_host(self) -> BlobStore:
        self.hosts += 1
        root = self.folder / f"blobs-{self.hosts}"
        root.mkdir()
        (root / OWNER).write_text("the service")
        blobs = BucketBlobStore(root, self.bucket, cache_bytes=0)
        blobs.begin()
        return blobs

    def restart(self) -> None:
        self.blobs.close()
        self.blobs = self._next_host()
        super().restart()

    def blob_ids(self) -> set[str]:
        root = self.folder / f"blobs-{self.hosts}"
        # What the store does beside everything else is done when its one thread comes to this.
        cast("BucketBlobStore", self.blobs).settle()
        in_bucket = {key.rpartition("/")[2] for key, _ in self.bucket.list("payloads")}
        assert {path.name for path in (root / "cache" / "payloads").iterdir()} <= in_bucket
        return in_bucket | {path.name for path in (root / "payloads").iterdir()}


def run(
    disk: Disk, scenario: Callable[[World], Coroutine[Any, Any, None]], make: Callable[[Disk], World] = World
) -> None:
    world = make(disk)
    try:
        asyncio.run(scenario(world))
    finally:
        world.blobs.close()
        world.database.close()
