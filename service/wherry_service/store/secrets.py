"""Secrets on disk: their values only as the cipher gave them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from wherry_proto.messages import FunctionSpec, SandboxSpec
from wherry_service.store.database import Database
from wherry_service.store.objects import ObjectRecord, add_in
from wherry_service.store.schema import objects, secrets


@dataclass(frozen=True, slots=True)
class SecretRecord:
    """A row of `secrets`, with its row of `objects`."""

    object: ObjectRecord
    keys: tuple[str, ...]
    data: bytes
    digest: str
    updated_at_ms: int
    used_at_ms: int = 0

    @property
    def secret_id(self) -> str:
        return self.object.object_id


def secrets_named(spec: FunctionSpec | SandboxSpec) -> list[str]:
    """Return the ids of all secrets that a function or sandbox has use of: for its variables, for its buckets."""
    return [*spec.secret_ids, *(mount.secret_id for mount in spec.bucket_mounts if mount.secret_id)]


class SecretStore:
    """Reads and writes the `secrets` table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, record: SecretRecord) -> bool:
        """Write a secret; return False where one of its name is there already, which stays as it is."""

        def work(connection: sa.Connection) -> bool:
            if add_in(connection, record.object) is not record.object:
                return False
            values = {"secret_id": record.secret_id, **_values(record), "used_at_ms": 0}
            connection.execute(sa.insert(secrets), values)
            return True

        return await self._database.write(work)

    async def replace(self, records: Sequence[SecretRecord]) -> None:
        """Write other values into secrets that are there, all or none."""

        def work(connection: sa.Connection) -> None:
            for record in records:
                known = secrets.c.secret_id == record.secret_id
                connection.execute(sa.update(secrets).where(known).values(**_values(record)))

        await self._database.write(work)

    async def used(self, secret_ids: Sequence[str], at_ms: int) -> None:
        """Note when secrets were last given out."""
        statement = sa.update(secrets).where(secrets.c.secret_id.in_(secret_ids)).values(used_at_ms=at_ms)
        await self._database.write(lambda connection: connection.execute(statement).rowcount)

    async def get(self, secret_ids: Sequence[str]) -> dict[str, SecretRecord]:
        """Return those of the secrets that there are, by id."""
        found = await self._select(secrets.c.secret_id.in_(list(secret_ids)))
        return {record.secret_id: record for record in found}

    async def find(self, environment: str, name: str) -> SecretRecord | None:
        found = await self._select((objects.c.environment == environment) & (objects.c.name == name))
        return found[0] if found else None

    async def named(self, environment: str) -> list[SecretRecord]:
        """Return those of an environment that have a name, by name."""
        return await self._select((objects.c.environment == environment) & (objects.c.name != objects.c.object_id))

    async def nameless(self) -> list[SecretRecord]:
        """Return those without a name, of all environments."""
        return await self._select(objects.c.name == objects.c.object_id)

    async def all(self) -> list[SecretRecord]:
        return await self._select(sa.true())

    async def _select(self, condition: "sa.ColumnElement[bool]") -> list[SecretRecord]:
        query = (
            sa.select(secrets, objects)
            .join(objects, objects.c.object_id == secrets.c.secret_id)
            .where(condition)
            .order_by(objects.c.name)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [
            SecretRecord(
                ObjectRecord(row.object_id, row.kind, row.environment, row.name, row.created_at_ms),
                tuple(json.loads(row.keys)),
                row.data,
                row.digest,
                row.updated_at_ms,
                row.used_at_ms,
            )
            for row in rows
        ]


def _values(record: SecretRecord) -> dict[str, object]:
    return {
        "keys": json.dumps(record.keys),
        "data": record.data,
        "digest": record.digest,
        "updated_at_ms": record.updated_at_ms,
    }
