"""Sandboxes on disk: the running ones, and for a while those that have ended."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import sqlalchemy as sa

from wherry_proto import codec
from wherry_proto.messages import SandboxSpec, SandboxState
from wherry_service.store.database import Database
from wherry_service.store.schema import sandboxes


@dataclass(slots=True)
class SandboxRecord:
    """A row of `sandboxes`."""

    sandbox_id: str
    app_id: str
    app_name: str
    environment: str
    name: str
    tags: Mapping[str, str]
    spec: SandboxSpec
    created_at_ms: int
    state: int = SandboxState.RUNNING
    returncode: int = 0
    # How it ended, as the end of a sentence.
    reason: str = ""
    ended_at_ms: int = 0
    # Its ports, and the host's ports that lead there.
    tunnels: Mapping[int, int] = field(default_factory=dict)
    # Whether its container was started; until then nobody was told that there is one.
    begun: bool = True


class SandboxStore:
    """Reads and writes the `sandboxes` table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, record: SandboxRecord) -> None:
        values = {
            "sandbox_id": record.sandbox_id,
            "app_id": record.app_id,
            "app_name": record.app_name,
            "environment": record.environment,
            "name": record.name,
            "tags": json.dumps(dict(record.tags)),
            "spec": codec.serialize(record.spec),
            "state": _state(record),
            "returncode": record.returncode,
            "reason": record.reason,
            "created_at_ms": record.created_at_ms,
            "ended_at_ms": record.ended_at_ms,
            "tunnels": json.dumps(dict(record.tunnels)),
        }
        await self._database.write(lambda connection: connection.execute(sa.insert(sandboxes), values).rowcount)

    async def change(self, record: SandboxRecord) -> None:
        """Write what of a record may change."""
        values = {
            "tags": json.dumps(dict(record.tags)),
            "spec": codec.serialize(record.spec),
            "state": _state(record),
            "returncode": record.returncode,
            "reason": record.reason,
            "ended_at_ms": record.ended_at_ms,
            "tunnels": json.dumps(dict(record.tunnels)),
        }
        statement = sa.update(sandboxes).where(sandboxes.c.sandbox_id == record.sandbox_id).values(values)
        await self._database.write(lambda connection: connection.execute(statement).rowcount)

    async def remove(self, sandbox_id: str) -> None:
        """Forget one that never ran."""
        statement = sa.delete(sandboxes).where(sandboxes.c.sandbox_id == sandbox_id)
        await self._database.write(lambda connection: connection.execute(statement).rowcount)

    async def get(self, sandbox_id: str) -> SandboxRecord | None:
        query = sa.select(sandboxes).where(sandboxes.c.sandbox_id == sandbox_id)
        row = await self._database.read(lambda connection: connection.execute(query).first())
        return _record(row) if row is not None else None

    async def running(self) -> list[SandboxRecord]:
        query = sa.select(sandboxes).where(sandboxes.c.ended_at_ms == 0)
        return [_record(row) for row in await self._database.read(lambda c: c.execute(query).all())]

    async def ended(self, environment: str, limit: int = 100) -> list[SandboxRecord]:
        """Return those of an environment that have ended, the latest first."""
        query = (
            sa.select(sandboxes)
            .where(sandboxes.c.ended_at_ms > 0, sandboxes.c.environment == environment)
            .order_by(sandboxes.c.ended_at_ms.desc())
            .limit(limit)
        )
        return [_record(row) for row in await self._database.read(lambda c: c.execute(query).all())]

    async def latest(self, name: str, app_name: str, environment: str) -> SandboxRecord | None:
        """Return the one of that name that ended last, None if there is none."""
        own = sandboxes.c
        query = (
            sa.select(sandboxes)
            .where(own.ended_at_ms > 0, own.environment == environment, own.name == name, own.app_name == app_name)
            .order_by(own.ended_at_ms.desc())
            .limit(1)
        )
        row = await self._database.read(lambda c: c.execute(query).first())
        return _record(row) if row is not None else None

    async def expire(self, before_ms: int) -> list[str]:
        """Forget those that ended before; return their ids."""
        old = sa.and_(sandboxes.c.ended_at_ms > 0, sandboxes.c.ended_at_ms < before_ms)

        def work(connection: sa.Connection) -> list[str]:
            ids = list(connection.execute(sa.select(sandboxes.c.sandbox_id).where(old)).scalars())
            connection.execute(sa.delete(sandboxes).where(old))
            return ids

        return await self._database.write(work)


def _state(record: SandboxRecord) -> int:
    return record.state if record.begun else SandboxState.UNSPECIFIED


def _record(row: "sa.Row[tuple[object, ...]]") -> SandboxRecord:
    return SandboxRecord(
        sandbox_id=row.sandbox_id,
        app_id=row.app_id,
        app_name=row.app_name,
        environment=row.environment,
        name=row.name,
        tags=json.loads(row.tags),
        spec=codec.deserialize(SandboxSpec, row.spec),
        created_at_ms=row.created_at_ms,
        state=row.state or SandboxState.RUNNING,
        begun=row.state != SandboxState.UNSPECIFIED,
        returncode=row.returncode,
        reason=row.reason,
        ended_at_ms=row.ended_at_ms,
        tunnels={int(port): host_port for port, host_port in json.loads(row.tunnels).items()},
    )
