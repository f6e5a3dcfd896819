"""Dicts that programs share."""

import time
from collections.abc import Callable, Sequence

from wherry_proto.messages import DictEntry, DictValue, Payload
from wherry_service.errors import InvalidRequest
from wherry_service.limits import MAX_INLINE
from wherry_service.objects.leftovers import Leftovers
from wherry_service.objects.register import ObjectRegister
from wherry_service.store.dicts import DictStore, Page

KIND = "dict"
MAX_KEY = 64 << 10
MAX_TTL_S = 10 * 366 * 24 * 3600.0


class Dicts:
    """All dicts of the service. Every change is on disk before it is answered."""

    def __init__(
        self, store: DictStore, register: ObjectRegister, leftovers: Leftovers, now: Callable[[], float] = time.time
    ) -> None:
        self.register = register
        self._store = store
        self._leftovers = leftovers
        self._now = now

    async def get(self, dict_id: str, key: bytes) -> Payload | None:
        """Return the value of a key, None where there is none."""
        await self.register.get(KIND, dict_id)
        return await self._store.get(dict_id, key, self._now_ms())

    async def put(
        self, dict_id: str, operation_id: str, entries: Sequence[DictEntry], skip_if_exists: bool, ttl_s: float
    ) -> int:
        """Write entries, each whole; return how many were written. Large values become the dict's own."""
        await self.register.get(KIND, dict_id)
        for entry in entries:
            _check(entry)
        if not 0 <= ttl_s <= MAX_TTL_S:
            raise InvalidRequest(f"ttl is {ttl_s:g}: it is a number of seconds from 0 to {MAX_TTL_S:g}")
        now_ms = self._now_ms()
        expires_at_ms = now_ms + max(1, int(ttl_s * 1000)) if ttl_s else 0
        given: list[str] = []
        if any(entry.value is not None and entry.value.blob_id for entry in entries):
            # Who asks again, after the answer was lost, has given its blobs already.
            if (known := await self._store.answered(operation_id)) is not None:
                return int(known)
            given = await self._leftovers.own(entry.value for entry in entries)
        written = await self._store.put(dict_id, operation_id, entries, skip_if_exists, expires_at_ms, now_ms)
        if written.is_repeated:
            self._leftovers.drop(entry.value.blob_id for entry in entries if entry.value and entry.value.blob_id)
        self._leftovers.drop(given)
        self._leftovers.add(written.orphans)
        return written.num_written

    async def pop(self, dict_id: str, operation_id: str, key: bytes) -> DictValue:
        """Take an entry out and return its value."""
        await self.register.get(KIND, dict_id)
        return await self._store.pop(dict_id, operation_id, key, self._now_ms())

    async def count(self, dict_id: str) -> int:
        await self.register.get(KIND, dict_id)
        return await self._store.count(dict_id, self._now_ms())

    async def clear(self, dict_id: str, operation_id: str) -> int:
        """Delete all entries; return how many there were."""
        await self.register.get(KIND, dict_id)
        count, orphans = await self._store.clear(dict_id, operation_id, self._now_ms())
        self._leftovers.add(orphans)
        return count

    async def page(self, dict_id: str, after: int, until: int, with_values: bool) -> Page:
        await self.register.get(KIND, dict_id)
        return await self._store.page(dict_id, after, until, with_values, self._now_ms())

    async def counts(self, dict_ids: Sequence[str]) -> dict[str, int]:
        """Return how many entries dicts have."""
        return await self._store.counts(dict_ids, self._now_ms())

    async def expire(self) -> None:
        """Delete entries whose time is over."""
        self._leftovers.add(await self._store.expire(self._now_ms()))

    def _now_ms(self) -> int:
        return int(self._now() * 1000)


def _check(entry: DictEntry) -> None:
    if not entry.key or len(entry.key) > MAX_KEY:
        raise InvalidRequest(
            f"a key has {len(entry.key)} bytes when pickled: at most {MAX_KEY >> 10} KiB; keep large data in the value"
        )
    if entry.value is None or len(entry.value.data) > MAX_INLINE:
        raise InvalidRequest(f"a value over {MAX_INLINE >> 20} MiB is put as a blob")
