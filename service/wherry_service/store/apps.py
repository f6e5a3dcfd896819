"""Apps and their functions on disk."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from wherry_proto import codec
from wherry_proto.messages import AppState, Deployment, FunctionSpec
from wherry_service.store.database import Database
from wherry_service.store.deployments import add_in
from wherry_service.store.schema import apps, deployments, functions


@dataclass(slots=True)
class AppRecord:
    """A row of `apps`."""

    app_id: str
    name: str
    environment: str
    state: int
    client_id: str
    created_at_ms: int
    stopped_at_ms: int = 0
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class FunctionRecord:
    """A row of `functions`."""

    function_id: str
    app_id: str
    name: str
    spec: FunctionSpec
    # Of a variant: the function it was made of, and what makes it another.
    base_id: str = ""
    bind: bytes = b""
    # Made of `bind`: equal for equal variants.
    key: bytes = b""
    # How it scales otherwise, until it is published anew: a serialized FunctionUpdateRequest.
    live: bytes = b""
    # As it was in that version of its app, `base_id` being its id there; 0: it belongs to the version that serves.
    version: int = 0


class AppStore:
    """Reads and writes the `apps` and `functions` tables."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, app: AppRecord) -> None:
        values = {
            "app_id": app.app_id,
            "name": app.name,
            "environment": app.environment,
            "state": app.state,
            "client_id": app.client_id,
            "created_at_ms": app.created_at_ms,
            "stopped_at_ms": app.stopped_at_ms,
            "tags": json.dumps(app.tags),
        }
        await self._database.write(lambda connection: connection.execute(sa.insert(apps), values).rowcount)

    async def set_state(self, app_id: str, state: int, stopped_at_ms: int) -> None:
        statement = sa.update(apps).where(apps.c.app_id == app_id).values(state=state, stopped_at_ms=stopped_at_ms)
        await self._database.write(lambda connection: connection.execute(statement).rowcount)

    async def set_tags(self, app_id: str, tags: dict[str, str]) -> None:
        """Write an app's tags in the place of those it has."""
        statement = sa.update(apps).where(apps.c.app_id == app_id).values(tags=json.dumps(tags))
        await self._database.write(lambda connection: connection.execute(statement).rowcount)

    async def publish(self, app_id: str, records: list[FunctionRecord]) -> None:
        """Make these the app's functions; others it had stay known but inactive."""
        values = [_values(record) for record in records]
        await self._database.write(lambda connection: _publish_in(connection, app_id, values))

    async def deploy(self, deployment: Deployment, records: list[FunctionRecord]) -> Deployment:
        """Add a version that serves, make these the app's functions, and let the app outlive its client, all or none.

        Return the version with its number.
        """
        app_id = deployment.app_id
        values = [_values(record) for record in records]

        def work(connection: sa.Connection) -> Deployment:
            _publish_in(connection, app_id, values)
            state = {"state": AppState.DEPLOYED, "client_id": ""}
            connection.execute(sa.update(apps).where(apps.c.app_id == app_id).values(**state))
            add_in(connection, deployment)
            return deployment

        return await self._database.write(work)

    async def set_live(self, record: FunctionRecord) -> None:
        """Write how a function scales now."""
        own = functions.c.function_id == record.function_id
        statement = sa.update(functions).where(own).values(live=record.live)
        await self._database.write(lambda connection: connection.execute(statement).rowcount)

    async def add_variant(self, record: FunctionRecord) -> None:
        """Note one more function, a variant of one that is there."""
        values = _values(record)
        await self._database.write(lambda connection: connection.execute(sa.insert(functions), values).rowcount)

    async def drop_variant(self, function_id: str) -> None:
        """Note that a variant is served no longer."""
        statement = sa.update(functions).where(functions.c.function_id == function_id).values(active=False)
        await self._database.write(lambda connection: connection.execute(statement).rowcount)

    async def running(self) -> list[tuple[AppRecord, list[FunctionRecord]]]:
        """Return the apps that have not stopped, with their active functions."""
        stopped = apps.c.state == AppState.STOPPED
        app_rows = await self._database.read(
            lambda connection: connection.execute(sa.select(apps).where(~stopped).order_by(apps.c.created_at_ms)).all()
        )
        function_rows = await self._database.read(
            lambda connection: connection.execute(sa.select(functions).where(functions.c.active)).all()
        )
        by_app: dict[str, list[FunctionRecord]] = {}
        for row in function_rows:
            by_app.setdefault(row.app_id, []).append(_function(row))
        return [(_app(row), by_app.get(row.app_id, [])) for row in app_rows]

    async def latest(self, name: str, environment: str) -> AppRecord | None:
        """Return the newest app of a name, running or not."""
        named = sa.select(apps).where(apps.c.name == name, apps.c.environment == environment)
        query = named.order_by(apps.c.created_at_ms.desc()).limit(1)
        row = await self._database.read(lambda connection: connection.execute(query).first())
        return _app(row) if row is not None else None

    async def deployed(self, name: str, environment: str) -> AppRecord | None:
        """Return the newest app of a name of which there was ever a version, running or not."""
        versions = sa.select(deployments.c.app_id)
        query = (
            sa.select(apps)
            .where(apps.c.name == name, apps.c.environment == environment, apps.c.app_id.in_(versions))
            .order_by(apps.c.created_at_ms.desc())
            .limit(1)
        )
        row = await self._database.read(lambda connection: connection.execute(query).first())
        return _app(row) if row is not None else None

    async def get(self, app_id: str) -> AppRecord | None:
        """Return an app, running or not."""
        query = sa.select(apps).where(apps.c.app_id == app_id)
        row = await self._database.read(lambda connection: connection.execute(query).first())
        return _app(row) if row is not None else None

    async def names(self, environment: str, limit: int = 1000) -> list[str]:
        """Return the names of an environment's apps, running or not, the latest first."""
        query = (
            sa.select(apps.c.name, sa.func.max(apps.c.created_at_ms))
            .where(apps.c.environment == environment)
            .group_by(apps.c.name)
            .order_by(sa.func.max(apps.c.created_at_ms).desc())
            .limit(limit)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [row.name for row in rows]

    async def function(self, function_id: str) -> FunctionRecord | None:
        """Return a function as it was last, served or not."""
        query = sa.select(functions).where(functions.c.function_id == function_id)
        row = await self._database.read(lambda connection: connection.execute(query).first())
        return _function(row) if row is not None else None

    async def functions_ever(self, app_id: str) -> list[tuple[str, str]]:
        """Return id and name of every function that an app has or had."""
        query = sa.select(functions.c.function_id, functions.c.name).where(functions.c.app_id == app_id)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [(row.function_id, row.name) for row in rows]

    async def stopped(self, environment: str, limit: int = 100) -> list[AppRecord]:
        """Return apps that have stopped, the latest first."""
        query = (
            sa.select(apps)
            .where(apps.c.state == AppState.STOPPED, apps.c.environment == environment)
            .order_by(apps.c.stopped_at_ms.desc())
            .limit(limit)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [_app(row) for row in rows]


def _publish_in(connection: sa.Connection, app_id: str, values: Sequence[dict[str, object]]) -> None:
    connection.execute(sa.update(functions).where(functions.c.app_id == app_id).values(active=False))
    for value in values:
        known = functions.c.function_id == value["function_id"]
        if connection.execute(sa.update(functions).where(known).values(**value)).rowcount == 0:
            connection.execute(sa.insert(functions), value)


def _values(record: FunctionRecord) -> dict[str, object]:
    return {
        "function_id": record.function_id,
        "app_id": record.app_id,
        "name": record.name,
        "spec": codec.serialize(record.spec),
        "active": True,
        "base_id": record.base_id,
        "bind": record.bind,
        "live": record.live,
        "version": record.version,
    }


def _function(row: "sa.Row[tuple[object, ...]]") -> FunctionRecord:
    spec = codec.deserialize(FunctionSpec, row.spec)
    record = FunctionRecord(row.function_id, row.app_id, row.name, spec, row.base_id, row.bind)
    record.live, record.version = row.live, row.version
    return record


def _app(row: "sa.Row[tuple[object, ...]]") -> AppRecord:
    return AppRecord(
        row.app_id,
        row.name,
        row.environment,
        row.state,
        row.client_id,
        row.created_at_ms,
        row.stopped_at_ms,
        json.loads(row.tags),
    )
