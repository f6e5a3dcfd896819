"""Named objects on disk: what each is called and whose it is."""

from dataclasses import dataclass

import sqlalchemy as sa

from wherry_service.store.database import Database
from wherry_service.store.schema import answers, dict_entries, objects, queue_items, queue_partitions, secrets


@dataclass(frozen=True, slots=True)
class ObjectRecord:
    """A row of `objects`."""

    object_id: str
    kind: str
    environment: str
    name: str
    created_at_ms: int
    # Of one that an app has as its own: the app.
    app_id: str = ""
    # Of one that goes with the client that made it: the client.
    client_id: str = ""

    @property
    def is_named(self) -> bool:
        """Whether it has a name of its own, and so outlives those who use it."""
        return self.name != self.object_id and not self.app_id


class ObjectStore:
    """Reads and writes the `objects` table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, record: ObjectRecord) -> ObjectRecord:
        """Write an object, unless one of its name is there; return the one that is there then."""

        def work(connection: sa.Connection) -> ObjectRecord:
            return add_in(connection, record)

        return await self._database.write(work)

    async def get(self, object_id: str) -> ObjectRecord | None:
        query = sa.select(objects).where(objects.c.object_id == object_id)
        row = await self._database.read(lambda connection: connection.execute(query).first())
        return _record(row) if row is not None else None

    async def find(self, kind: str, environment: str, name: str, app_id: str = "") -> ObjectRecord | None:
        query = sa.select(objects).where(
            objects.c.kind == kind,
            objects.c.environment == environment,
            objects.c.app_id == app_id,
            objects.c.name == name,
        )
        row = await self._database.read(lambda connection: connection.execute(query).first())
        return _record(row) if row is not None else None

    async def named(self, kind: str, environment: str) -> list[ObjectRecord]:
        """Return those of an environment that have a name, by name."""
        query = (
            sa.select(objects)
            .where(
                objects.c.kind == kind,
                objects.c.environment == environment,
                objects.c.app_id == "",
                objects.c.name != objects.c.object_id,
            )
            .order_by(objects.c.name)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [_record(row) for row in rows]

    async def all_in(self, environment: str) -> list[ObjectRecord]:
        """Return all of an environment, with a name and without."""
        query = sa.select(objects).where(objects.c.environment == environment)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [_record(row) for row in rows]

    async def owned(self) -> list[ObjectRecord]:
        """Return those that go with an app or a client."""
        query = sa.select(objects).where((objects.c.app_id != "") | (objects.c.client_id != ""))
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [_record(row) for row in rows]

    async def delete(self, object_id: str) -> tuple[bool, list[str]]:
        """Delete an object with all it holds; return whether it was there, and the blobs that are nobody's now."""

        def work(connection: sa.Connection) -> tuple[bool, list[str]]:
            entries = sa.select(dict_entries.c.blob_id).where(dict_entries.c.dict_id == object_id)
            items = sa.select(queue_items.c.blob_id).where(queue_items.c.queue_id == object_id)
            blobs = [*connection.execute(entries).scalars(), *connection.execute(items).scalars()]
            connection.execute(sa.delete(dict_entries).where(dict_entries.c.dict_id == object_id))
            connection.execute(sa.delete(queue_items).where(queue_items.c.queue_id == object_id))
            connection.execute(sa.delete(queue_partitions).where(queue_partitions.c.queue_id == object_id))
            connection.execute(sa.delete(secrets).where(secrets.c.secret_id == object_id))
            found = connection.execute(sa.delete(objects).where(objects.c.object_id == object_id)).rowcount
            return found > 0, [blob_id for blob_id in blobs if blob_id]

        return await self._database.write(work)

    async def rename(self, record: ObjectRecord, name: str) -> bool:
        """Give an object another name, unless one of its kind has that; return whether it has it now."""

        def work(connection: sa.Connection) -> bool:
            same = sa.select(objects.c.object_id).where(
                objects.c.kind == record.kind,
                objects.c.environment == record.environment,
                objects.c.app_id == record.app_id,
                objects.c.name == name,
            )
            if connection.execute(same).first() is not None:
                return False
            one = sa.update(objects).where(objects.c.object_id == record.object_id)
            return connection.execute(one.values(name=name)).rowcount > 0

        return await self._database.write(work)

    async def blob_ids(self) -> set[str]:
        """Return the blobs that entries, items and answers hold."""
        query = sa.union(
            *(sa.select(table.c.blob_id).where(table.c.blob_id != "") for table in (dict_entries, queue_items, answers))
        )
        return set(await self._database.read(lambda connection: connection.execute(query).scalars().all()))


def add_in(connection: sa.Connection, record: ObjectRecord) -> ObjectRecord:
    """Write an object within a transaction, unless one of its name is there; return the one that is there then."""
    query = sa.select(objects).where(
        objects.c.kind == record.kind,
        objects.c.environment == record.environment,
        objects.c.app_id == record.app_id,
        objects.c.name == record.name,
    )
    row = connection.execute(query).first()
    if row is not None:
        return _record(row)
    connection.execute(
        sa.insert(objects),
        {
            "object_id": record.object_id,
            "kind": record.kind,
            "environment": record.environment,
            "app_id": record.app_id,
            "client_id": record.client_id,
            "name": record.name,
            "created_at_ms": record.created_at_ms,
        },
    )
    return record


def _record(row: "sa.Row[tuple[object, ...]]") -> ObjectRecord:
    return ObjectRecord(
        row.object_id, row.kind, row.environment, row.name, row.created_at_ms, row.app_id, row.client_id
    )
