"""Queues that programs share.

An item is on disk before its put is answered, and until its getter has said that it has it. Who waits for whom is in
memory: a service that ends and comes back finds all items at their place.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from wherry_proto.messages import Payload
from wherry_service.errors import InvalidRequest, NotFound
from wherry_service.limits import MAX_INLINE
from wherry_service.objects.leftovers import Leftovers
from wherry_service.objects.partition import MAX_ITEMS, Getter, Item, Partition
from wherry_service.objects.register import ObjectRegister
from wherry_service.store.queues import QueueStore

T = TypeVar("T")

KIND = "queue"
MAX_PARTITION = 64
MAX_TTL_S = 10 * 366 * 24 * 3600.0
PAGE_ITEMS = 500
PAGE_BYTES = 4 << 20


class _Queue:
    """A queue's partitions, as far as somebody uses them."""

    def __init__(self) -> None:
        self.partitions: dict[str, Partition] = {}
        self._tidy_at = 1000

    def partition(self, name: str) -> Partition:
        """Return a partition, made where there is none; not to be kept over a wait in which nobody else does."""
        found = self.partitions.get(name)
        if found is None:
            if len(self.partitions) >= self._tidy_at:
                # Those that nobody uses any more are made again when they are needed.
                self.partitions = {key: part for key, part in self.partitions.items() if not part.is_idle}
                self._tidy_at = 2 * len(self.partitions) + 1000
            found = self.partitions[name] = Partition()
        return found


class Queues:
    """All queues of the service."""

    def __init__(
        self, store: QueueStore, register: ObjectRegister, leftovers: Leftovers, now: Callable[[], float] = time.time
    ) -> None:
        self.register = register
        self._store = store
        self._leftovers = leftovers
        self._now = now
        self._queues: dict[str, _Queue] = {}
        self._loading: dict[str, asyncio.Task[_Queue]] = {}
        self._last_position = 0
        register.on_gone.append(self._gone)

    async def put(
        self,
        queue_id: str,
        operation_id: str,
        partition: str,
        values: Sequence[Payload],
        partition_ttl_s: float,
        wait_s: float | None,
    ) -> bool:
        """Put all values or none; return False where there was no room in time. None waits without limit."""
        _check(values, partition, partition_ttl_s)
        queue = await self._queue(queue_id)
        part = await self._current(queue_id, queue, partition)
        at_once = part.admits(len(values))
        # Who asks again, after the answer was lost, waits for no room; and its blobs are taken already.
        if (not at_once or any(value.blob_id for value in values)) and await self._store.answered(operation_id):
            return True
        part = queue.partition(partition)
        if not await part.admit(operation_id, len(values), wait_s):
            return False
        # From here on to its end, whoever asked may go: an item on disk and not here would wait for the next start.
        return await _finished(self._put(queue_id, queue, operation_id, partition, part, values, partition_ttl_s))

    async def _put(
        self,
        queue_id: str,
        queue: _Queue,
        operation_id: str,
        partition: str,
        part: Partition,
        values: Sequence[Payload],
        ttl_s: float,
    ) -> bool:
        given: list[str] = []
        items: list[Item] = []
        ahead = 0
        try:
            if self._queues.get(queue_id) is not queue:
                raise NotFound(f"queue {queue_id} was deleted")
            given = await self._leftovers.own(values)
            now_ms = self._now_ms()
            expires_at_ms = now_ms + max(1, int(ttl_s * 1000)) if ttl_s else None
            rows = [(self._next_position(), value) for value in values]
            items = [Item.of(position, value) for position, value in rows]
            # Whoever waits hears of them while they are written, and has them once both that and its word are on disk.
            ahead = part.lend_ahead(items)
            fresh = await self._store.put(queue_id, operation_id, partition, rows, expires_at_ms, now_ms)
        except BaseException:
            part.retract(item.position for item in items[:ahead])
            part.withdraw(len(values) - ahead)
            raise
        if expires_at_ms is not None:
            part.expires_at_ms = expires_at_ms
        if fresh:
            part.add(items[ahead:])
        else:
            part.retract(item.position for item in items[:ahead])
            part.withdraw(len(values) - ahead)
            self._leftovers.drop(value.blob_id for value in values if value.blob_id)
        self._leftovers.drop(given)
        return True

    async def get(
        self, queue_id: str, lease_id: str, partition: str, count: int, wait_s: float | None
    ) -> tuple[Getter, list[Payload]]:
        """Wait for items and lend them; none where there were none in time. None waits without limit.

        Whoever calls this calls `give_back` when the one who asked is gone.
        """
        if not 1 <= count <= MAX_ITEMS:
            raise InvalidRequest(f"{count} items were asked for: it is a number from 1 to {MAX_ITEMS}")
        queue = await self._queue(queue_id)
        part = await self._current(queue_id, queue, partition)
        while True:
            getter = await part.get(lease_id, count, wait_s)
            try:
                if not getter.items:
                    if self._queues.get(queue_id) is not queue:
                        raise NotFound(f"queue {queue_id} was deleted")
                    return getter, []
                values = await self._values(getter.items)
            except BaseException:
                part.give_back(getter)
                raise
            if all(value is not None for value in values):
                return getter, [value for value in values if value is not None]
            # Taken from the disk by a write that seemed to have failed.
            pairs = zip(getter.items, values, strict=True)
            part.retract([item.position for item, value in pairs if value is None])
            part.give_back(getter)
            part = queue.partition(partition)

    def give_back(self, queue_id: str, partition: str, getter: Getter) -> None:
        """Put lent items back at their place, unless their getter has acknowledged them."""
        queue = self._queues.get(queue_id)
        if queue is not None:
            queue.partition(partition).give_back(getter)

    async def acknowledge(self, queue_id: str, lease_id: str, partition: str, positions: Sequence[int]) -> bool:
        """Make lent items the getter's; return False where they went back meanwhile."""
        queue = await self._queue(queue_id)
        return await _finished(self._acknowledge(queue_id, queue, lease_id, partition, positions))

    async def _acknowledge(
        self, queue_id: str, queue: _Queue, lease_id: str, partition: str, positions: Sequence[int]
    ) -> bool:
        # Of an earlier life's loan it may have been accepted, and the answer lost: then what is there now is another's.
        if not queue.partition(partition).lends(lease_id) and await self._store.answered(lease_id):
            return True
        while (claim := queue.partition(partition).claiming(lease_id)) is not None:
            # It was said before, on a connection that is gone, and is being written.
            if await asyncio.shield(claim):
                return True
        part = queue.partition(partition)
        if not part.claim(lease_id, positions):
            # Perhaps accepted while that was looked up.
            return await self._store.answered(lease_id)
        try:
            accepted, blobs = await self._store.take(queue_id, lease_id, positions, self._now_ms())
            # Else lent ahead of a put that came to nothing; what else it had goes back to its place.
            known = await self._store.values(positions) if not accepted else {}
        except BaseException:
            part.unclaim(lease_id, refused=False)
            raise
        if not accepted:
            part.retract(position for position in positions if position not in known)
            part.unclaim(lease_id, refused=True)
            return False
        part.settle(lease_id)
        self._leftovers.add(blobs)
        return True

    async def cancel(self, queue_id: str, lease_id: str) -> None:
        """End a getter's waiting, or its loan; or a putter's waiting."""
        queue = await self._queue(queue_id)
        for part in list(queue.partitions.values()):
            part.cancel(lease_id)

    async def count(self, queue_id: str, partition: str, total: bool) -> int:
        """Return how many items wait."""
        queue = await self._queue(queue_id)
        count = 0
        for name in list(queue.partitions) if total else [partition]:
            count += len((await self._current(queue_id, queue, name)).ready)
        return count

    async def counts(self, queue_ids: Sequence[str]) -> dict[str, int]:
        """Return how many items queues hold, those on loan among them."""
        return await self._store.counts(queue_ids)

    async def clear(self, queue_id: str, operation_id: str, partition: str, all_partitions: bool) -> int:
        """Delete what waits; return how many items that were."""
        queue = await self._queue(queue_id)
        if await self._store.answered(operation_id):
            return 0
        names = list(queue.partitions) if all_partitions else [partition]
        return await _finished(self._clear(queue, operation_id, names))

    async def _clear(self, queue: _Queue, operation_id: str, names: Sequence[str]) -> int:
        cleared = {name: part.clear() for name in names if (part := queue.partition(name)).ready}
        positions = [item.position for items in cleared.values() for item in items]
        if not positions:
            return 0
        try:
            blobs = await self._store.delete(positions, operation_id, self._now_ms())
        except BaseException:
            for name, items in cleared.items():
                queue.partition(name).restore(items)
            raise
        self._leftovers.add(blobs)
        return len(positions)

    async def page(self, queue_id: str, partition: str, after: int, wait_s: float | None) -> tuple[list[Payload], int]:
        """Return waiting items behind a position, and the position of the last; wait where there are none."""
        part = await self._current(queue_id, await self._queue(queue_id), partition)
        items = part.after(after, PAGE_ITEMS)
        if not items and (wait_s is None or wait_s > 0):
            await part.arrival(wait_s)
            items = part.after(after, PAGE_ITEMS)
        if not items:
            return [], after
        known = await self._store.values([item.position for item in items])
        values: list[Payload] = []
        size = 0
        for item in items:
            value = item.value or known.get(item.position)
            if value is not None:
                if values and size + len(value.data) > PAGE_BYTES:
                    break
                values.append(value)
                size += len(value.data)
            after = item.position
        return values, after

    async def expire(self) -> None:
        """Delete the partitions whose time is over."""
        for queue_id, queue in list(self._queues.items()):
            for name, part in list(queue.partitions.items()):
                if part.expires_at_ms:
                    await self._current(queue_id, queue, name)

    async def _current(self, queue_id: str, queue: _Queue, name: str) -> Partition:
        """Return a partition without what has expired."""
        part = queue.partition(name)
        while 0 < part.expires_at_ms <= self._now_ms():
            await _finished(self._expire(queue_id, queue, name))
            part = queue.partition(name)
        return part

    async def _expire(self, queue_id: str, queue: _Queue, name: str) -> None:
        """Delete what has expired, and the time with it: else what stayed on disk would be there again one day."""
        part = queue.partition(name)
        expired_at_ms, part.expires_at_ms = part.expires_at_ms, 0
        items = part.clear()
        try:
            blobs = await self._store.expire(queue_id, name, [item.position for item in items])
        except BaseException:
            part = queue.partition(name)
            part.restore(items)
            part.expires_at_ms = part.expires_at_ms or expired_at_ms
            raise
        self._leftovers.add(blobs)

    async def _values(self, items: Sequence[Item]) -> list[Payload | None]:
        """Return the values of items, None for those that are not on disk."""
        missing = [item.position for item in items if item.value is None]
        known = await self._store.values(missing) if missing else {}
        return [item.value or known.get(item.position) for item in items]

    async def _queue(self, queue_id: str) -> _Queue:
        await self.register.get(KIND, queue_id)
        queue = self._queues.get(queue_id)
        if queue is not None:
            return queue
        loading = self._loading.get(queue_id)
        if loading is None:
            loading = self._loading[queue_id] = asyncio.ensure_future(self._load(queue_id))
            loading.add_done_callback(lambda _: self._loading.pop(queue_id, None))
        return await asyncio.shield(loading)

    async def _load(self, queue_id: str) -> _Queue:
        if not self._last_position:
            # Another queue may have been loaded meanwhile, and items put into it.
            self._last_position = max(await self._store.last_position(), self._last_position)
        items, expiries = await self._store.load(queue_id)
        queue = _Queue()
        for item in items:
            part = queue.partitions.setdefault(item.partition, Partition())
            part.ready.append(Item(item.position))
        for name, expires_at_ms in expiries.items():
            queue.partitions.setdefault(name, Partition()).expires_at_ms = expires_at_ms
        self._queues[queue_id] = queue
        return queue

    def _gone(self, queue_id: str) -> None:
        queue = self._queues.pop(queue_id, None)
        for part in queue.partitions.values() if queue is not None else ():
            part.end()

    def _next_position(self) -> int:
        # Microseconds since 1970: never one that an item had before, whatever became of it.
        self._last_position = max(self._last_position + 1, int(self._now() * 1_000_000))
        return self._last_position

    def _now_ms(self) -> int:
        return int(self._now() * 1000)


async def _finished(work: Coroutine[Any, Any, T]) -> T:
    """Wait for what goes on to its end also when nobody waits any more; then nobody is told how it ended."""
    task = asyncio.ensure_future(work)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return await asyncio.shield(task)


def _check(values: Sequence[Payload], partition: str, ttl_s: float) -> None:
    if not 1 <= len(values) <= MAX_ITEMS:
        raise InvalidRequest(f"{len(values)} items were put at once: at most {MAX_ITEMS}, which is all that fit")
    if any(len(value.data) > MAX_INLINE for value in values):
        raise InvalidRequest(f"an item over {MAX_INLINE >> 20} MiB is put as a blob")
    if len(partition.encode(errors="replace")) > MAX_PARTITION:
        raise InvalidRequest(f"the name of a partition has at most {MAX_PARTITION} bytes")
    if not 0 <= ttl_s <= MAX_TTL_S:
        raise InvalidRequest(f"partition_ttl is {ttl_s:g}: it is a number of seconds from 0 to {MAX_TTL_S:g}")
