"""Items of queues on disk."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from wherry_proto import codec
from wherry_proto.messages import Payload
from wherry_service.store.answers import answer_in, begin_in
from wherry_service.store.database import Database
from wherry_service.store.schema import Text, queue_items, queue_partitions

_EXPIRY = sa.text(
    "insert into queue_partitions (queue_id, name, expires_at_ms) values (:queue_id, :name, :expires_at_ms) "
    "on conflict (queue_id, name) do update set expires_at_ms = excluded.expires_at_ms"
).bindparams(sa.bindparam("name", type_=Text()))
# Made once: what a put and a get wait for is less the disk than what is done around it.
_INSERT = sa.insert(queue_items)
_TAKE = (
    sa.delete(queue_items)
    .where(
        queue_items.c.queue_id == sa.bindparam("own_queue"),
        queue_items.c.position.in_(sa.bindparam("positions", expanding=True)),
    )
    .returning(queue_items.c.blob_id)
)


@dataclass(frozen=True, slots=True)
class StoredItem:
    """An item as it is found after a start; its value is on disk."""

    partition: str
    position: int


class _NotAll(Exception):
    """Of items that were to be deleted together, not all were there."""


class QueueStore:
    """Reads and writes the `queue_items` and `queue_partitions` tables. Times are in ms since 1970."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def last_position(self) -> int:
        query = sa.select(sa.func.max(queue_items.c.position))
        return await self._database.read(lambda connection: connection.execute(query).scalar() or 0)

    async def load(self, queue_id: str) -> tuple[list[StoredItem], dict[str, int]]:
        """Return a queue's items, the first first, and when its partitions expire."""
        items = (
            sa.select(queue_items.c.partition, queue_items.c.position)
            .where(queue_items.c.queue_id == queue_id)
            .order_by(queue_items.c.position)
        )
        expiries = sa.select(queue_partitions.c.name, queue_partitions.c.expires_at_ms).where(
            queue_partitions.c.queue_id == queue_id
        )

        def work(connection: sa.Connection) -> tuple[list[StoredItem], dict[str, int]]:
            found = [StoredItem(row.partition, row.position) for row in connection.execute(items)]
            return found, {row.name: row.expires_at_ms for row in connection.execute(expiries)}

        return await self._database.read(work)

    async def answered(self, operation_id: str) -> bool:
        return await self._database.read(lambda connection: answer_in(connection, operation_id) is not None)

    async def put(
        self,
        queue_id: str,
        operation_id: str,
        partition: str,
        items: Sequence[tuple[int, Payload]],
        expires_at_ms: int | None,
        now_ms: int,
    ) -> bool:
        """Write items; return False where that was done before. `expires_at_ms` None: the partition keeps its."""
        rows = [
            {
                "position": position,
                "queue_id": queue_id,
                "partition": partition,
                "value": codec.serialize(value),
                "blob_id": value.blob_id,
            }
            for position, value in items
        ]

        def work(connection: sa.Connection) -> bool:
            if not begin_in(connection, operation_id, now_ms):
                return False
            connection.execute(_INSERT, rows)
            if expires_at_ms is not None:
                values = {"queue_id": queue_id, "name": partition, "expires_at_ms": expires_at_ms}
                connection.execute(_EXPIRY, values)
            return True

        return await self._database.write(work)

    async def values(self, positions: Sequence[int]) -> dict[int, Payload]:
        """Return the values of items, by position."""
        query = sa.select(queue_items.c.position, queue_items.c.value).where(queue_items.c.position.in_(positions))
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return {row.position: codec.deserialize(Payload, row.value) for row in rows}

    async def take(self, queue_id: str, lease_id: str, positions: Sequence[int], now_ms: int) -> tuple[bool, list[str]]:
        """Delete items that their getter has; return whether they are its, and their blobs.

        They are, where all were there, or where the same lease took them before; otherwise nothing is deleted.
        """

        def work(connection: sa.Connection) -> tuple[bool, list[str]]:
            if not begin_in(connection, lease_id, now_ms):
                return True, []
            own = {"own_queue": queue_id, "positions": list(positions)}
            blobs = connection.execute(_TAKE, own).scalars().all()
            if len(blobs) != len(positions):
                raise _NotAll
            return True, [blob_id for blob_id in blobs if blob_id]

        try:
            return await self._database.write(work)
        except _NotAll:
            return False, []

    async def delete(self, positions: Sequence[int], operation_id: str = "", now_ms: int = 0) -> list[str]:
        """Delete items unseen; return their blobs."""
        own = queue_items.c.position.in_(positions)

        def work(connection: sa.Connection) -> list[str]:
            if operation_id:
                begin_in(connection, operation_id, now_ms)
            gone = sa.delete(queue_items).where(own).returning(queue_items.c.blob_id)
            return [blob_id for blob_id in connection.execute(gone).scalars() if blob_id]

        return await self._database.write(work)

    async def expire(self, queue_id: str, partition: str, positions: Sequence[int]) -> list[str]:
        """Delete the items of a partition that has expired, and its time; return the items' blobs."""
        values = {"queue_id": queue_id, "name": partition, "expires_at_ms": 0}

        def work(connection: sa.Connection) -> list[str]:
            connection.execute(_EXPIRY, values)
            gone = sa.delete(queue_items).where(queue_items.c.position.in_(positions)).returning(queue_items.c.blob_id)
            return [blob_id for blob_id in connection.execute(gone).scalars() if blob_id]

        return await self._database.write(work)

    async def counts(self, queue_ids: Sequence[str]) -> dict[str, int]:
        """Return how many items queues hold."""
        query = (
            sa.select(queue_items.c.queue_id, sa.func.count())
            .where(queue_items.c.queue_id.in_(queue_ids))
            .group_by(queue_items.c.queue_id)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return {row[0]: row[1] for row in rows}
