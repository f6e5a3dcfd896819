"""Entries of dicts on disk."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from wherry_proto import codec
from wherry_proto.messages import DictEntry, DictValue, Payload
from wherry_service.store.answers import answer_in, begin_in, keep_in
from wherry_service.store.database import Database
from wherry_service.store.schema import dict_entries

# Bytes of values in a page, beyond the first.
PAGE_BYTES = 4 << 20
PAGE_ENTRIES = 1000

_UPSERT = sa.text(
    "insert into dict_entries (dict_id, key_hash, key, value, blob_id, expires_at_ms) "
    "values (:dict_id, :key_hash, :key, :value, :blob_id, :expires_at_ms) "
    "on conflict (dict_id, key_hash) do update "
    "set value = excluded.value, blob_id = excluded.blob_id, expires_at_ms = excluded.expires_at_ms"
)


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a put."""

    num_written: int
    # Blobs that are nobody's now: of values that were there before, or that were not taken.
    orphans: tuple[str, ...] = ()
    # It was done when it was asked for before.
    is_repeated: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """Entries in the order in which their keys came."""

    entries: list[DictEntry]
    after: int
    until: int
    is_last: bool


class DictStore:
    """Reads and writes the `dict_entries` table. Times are in milliseconds since 1970."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, dict_id: str, key: bytes, now_ms: int) -> Payload | None:
        query = sa.select(dict_entries.c.value).where(_of_key(dict_id, _hash(key)), _alive(now_ms))
        data = await self._database.read(lambda connection: connection.execute(query).scalar())
        return codec.deserialize(Payload, data) if data is not None else None

    async def answered(self, operation_id: str) -> bytes | None:
        return await self._database.read(lambda connection: answer_in(connection, operation_id))

    async def put(
        self,
        dict_id: str,
        operation_id: str,
        entries: Sequence[DictEntry],
        skip_if_exists: bool,
        expires_at_ms: int,
        now_ms: int,
    ) -> Written:
        """Write entries, each whole; of equal keys the last."""
        rows: dict[bytes, dict[str, Any]] = {}
        doubled: list[str] = []
        for entry in entries:
            value = entry.value or Payload()
            key_hash = _hash(entry.key)
            if key_hash in rows:
                doubled.append(rows[key_hash]["blob_id"])
            rows[key_hash] = {
                "dict_id": dict_id,
                "key_hash": key_hash,
                "key": entry.key,
                "value": codec.serialize(value),
                "blob_id": value.blob_id,
                "expires_at_ms": expires_at_ms,
            }

        def work(connection: sa.Connection) -> Written:
            if not begin_in(connection, operation_id, now_ms):
                return Written(int(answer_in(connection, operation_id) or 0), is_repeated=True)
            there = connection.execute(
                sa.select(dict_entries.c.key_hash, dict_entries.c.blob_id, dict_entries.c.expires_at_ms).where(
                    dict_entries.c.dict_id == dict_id, dict_entries.c.key_hash.in_(list(rows))
                )
            ).all()
            fresh = rows
            orphans = doubled
            if skip_if_exists:
                alive = {row.key_hash for row in there if not 0 < row.expires_at_ms <= now_ms}
                fresh = {key_hash: row for key_hash, row in rows.items() if key_hash not in alive}
                orphans = [*doubled, *(rows[key_hash]["blob_id"] for key_hash in alive)]
            orphans = [*orphans, *(row.blob_id for row in there if row.key_hash in fresh)]
            if fresh:
                connection.execute(_UPSERT, list(fresh.values()))
            keep_in(connection, operation_id, str(len(fresh)).encode())
            return Written(len(fresh), tuple(blob_id for blob_id in orphans if blob_id))

        return await self._database.write(work)

    async def pop(self, dict_id: str, operation_id: str, key: bytes, now_ms: int) -> DictValue:
        """Take an entry out; its blob, if it has one, stays as long as the answer is remembered."""
        known = _of_key(dict_id, _hash(key))

        def work(connection: sa.Connection) -> DictValue:
            if not begin_in(connection, operation_id, now_ms):
                return codec.deserialize(DictValue, answer_in(connection, operation_id) or b"")
            row = connection.execute(
                sa.select(dict_entries.c.value, dict_entries.c.blob_id).where(known, _alive(now_ms))
            ).first()
            value = DictValue(found=row is not None)
            if row is not None:
                value.value = codec.deserialize(Payload, row.value)
                connection.execute(sa.delete(dict_entries).where(known))
            blob_id = row.blob_id if row is not None else ""
            keep_in(connection, operation_id, codec.serialize(value), blob_id)
            return value

        return await self._database.write(work)

    async def count(self, dict_id: str, now_ms: int) -> int:
        query = sa.select(sa.func.count()).where(dict_entries.c.dict_id == dict_id, _alive(now_ms))
        return await self._database.read(lambda connection: connection.execute(query).scalar_one())

    async def counts(self, dict_ids: Sequence[str], now_ms: int) -> dict[str, int]:
        """Return how many entries dicts have."""
        query = (
            sa.select(dict_entries.c.dict_id, sa.func.count())
            .where(dict_entries.c.dict_id.in_(dict_ids), _alive(now_ms))
            .group_by(dict_entries.c.dict_id)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return {row[0]: row[1] for row in rows}

    async def clear(self, dict_id: str, operation_id: str, now_ms: int) -> tuple[int, list[str]]:
        """Delete all entries; return how many there were, and the blobs that are nobody's now."""
        own = dict_entries.c.dict_id == dict_id

        def work(connection: sa.Connection) -> tuple[int, list[str]]:
            if not begin_in(connection, operation_id, now_ms):
                return int(answer_in(connection, operation_id) or 0), []
            blobs = connection.execute(sa.select(dict_entries.c.blob_id).where(own, dict_entries.c.blob_id != ""))
            found = list(blobs.scalars())
            count = connection.execute(sa.delete(dict_entries).where(own)).rowcount
            keep_in(connection, operation_id, str(count).encode())
            return count, found

        return await self._database.write(work)

    async def page(self, dict_id: str, after: int, until: int, with_values: bool, now_ms: int) -> Page:
        """Return entries behind `after`, up to `until`; 0 stands for what is the last one now."""

        def work(connection: sa.Connection) -> Page:
            own = dict_entries.c.dict_id == dict_id
            last = until or connection.execute(sa.select(sa.func.max(dict_entries.c.position)).where(own)).scalar() or 0
            columns = [dict_entries.c.position, dict_entries.c.key]
            if with_values:
                columns.append(dict_entries.c.value)
            query = (
                sa.select(*columns)
                .where(own, dict_entries.c.position > after, dict_entries.c.position <= last, _alive(now_ms))
                .order_by(dict_entries.c.position)
                .limit(PAGE_ENTRIES)
            )
            entries: list[DictEntry] = []
            position, size = after, 0
            rows = connection.execute(query)
            for row in rows:
                value = row.value if with_values else b""
                if entries and size + len(value) > PAGE_BYTES:
                    rows.close()
                    return Page(entries, position, last, False)
                entries.append(DictEntry(key=row.key, value=codec.deserialize(Payload, value) if with_values else None))
                position, size = row.position, size + len(value) + len(row.key)
            return Page(entries, position, last, len(entries) < PAGE_ENTRIES)

        return await self._database.read(work)

    async def expire(self, now_ms: int) -> list[str]:
        """Delete entries whose time is over; return the blobs that are nobody's now."""
        over = ~_alive(now_ms)

        def work(connection: sa.Connection) -> list[str]:
            blobs = connection.execute(sa.select(dict_entries.c.blob_id).where(over, dict_entries.c.blob_id != ""))
            found = list(blobs.scalars())
            connection.execute(sa.delete(dict_entries).where(over))
            return found

        return await self._database.write(work)


def _hash(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def _of_key(dict_id: str, key_hash: bytes) -> "sa.ColumnElement[bool]":
    return (dict_entries.c.dict_id == dict_id) & (dict_entries.c.key_hash == key_hash)


def _alive(now_ms: int) -> "sa.ColumnElement[bool]":
    return (dict_entries.c.expires_at_ms == 0) | (dict_entries.c.expires_at_ms > now_ms)
