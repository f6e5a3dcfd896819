"""Environments on disk: which there are, and what is moved when one is renamed or deleted."""

from dataclasses import dataclass

import sqlalchemy as sa

from wherry_service.store.database import Database
from wherry_service.store.schema import environments, image_names, metadata, objects


@dataclass(frozen=True, slots=True)
class EnvironmentRecord:
    """A row of `environments`."""

    name: str
    created_at_ms: int


# What was done where is not done elsewhere later.
_HISTORY = ("audit",)


class EnvironmentRecords:
    """Reads and writes the `environments` table, and moves what other tables have of an environment."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[EnvironmentRecord]:
        """Return them by name."""
        query = sa.select(environments).order_by(environments.c.name)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [EnvironmentRecord(row.name, row.created_at_ms) for row in rows]

    async def add(self, record: EnvironmentRecord) -> None:
        """Write one, unless it is there."""

        def work(connection: sa.Connection) -> None:
            known = sa.select(environments.c.name).where(environments.c.name == record.name)
            if connection.execute(known).first() is None:
                values = {"name": record.name, "created_at_ms": record.created_at_ms}
                connection.execute(sa.insert(environments), values)

        await self._database.write(work)

    async def rename(self, name: str, new_name: str) -> None:
        """Give one another name, wherever it is named."""

        def work(connection: sa.Connection) -> None:
            own = sa.update(environments).where(environments.c.name == name)
            connection.execute(own.values(name=new_name))
            _move(connection, name, new_name)

        await self._database.write(work)

    async def delete(self, name: str, tombstone: str) -> None:
        """Delete one that is empty; the record of its stopped apps goes under a name that nobody can ask for."""

        def work(connection: sa.Connection) -> None:
            connection.execute(sa.delete(image_names).where(image_names.c.environment == name))
            _move(connection, name, tombstone)
            connection.execute(sa.delete(environments).where(environments.c.name == name))

        await self._database.write(work)

    async def num_objects(self) -> dict[str, int]:
        """Return how many objects with a name each environment has."""
        named = (objects.c.name != objects.c.object_id) & (objects.c.app_id == "")
        query = sa.select(objects.c.environment, sa.func.count()).where(named).group_by(objects.c.environment)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return {str(row[0]): int(row[1]) for row in rows}


def _move(connection: sa.Connection, name: str, new_name: str) -> None:
    """Change the name wherever one is, so that no table that comes later is forgotten here."""
    for table in metadata.sorted_tables:
        if "environment" in table.c and table.name not in _HISTORY:
            moved = sa.update(table).where(table.c.environment == name)
            connection.execute(moved.values(environment=new_name))
