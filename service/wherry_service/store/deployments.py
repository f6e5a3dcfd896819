"""Versions of deployed apps on disk."""

from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from wherry_proto import codec
from wherry_proto.messages import Deployment, DeploymentState, FunctionSpec
from wherry_service.store.database import Database
from wherry_service.store.schema import deployments
from wherry_service.store.secrets import secrets_named

# Versions of an app that are kept: any of them can be rolled back to.
KEEP_VERSIONS = 100
# Of these the images are kept too; those of older ones are built again when they are needed.
KEEP_IMAGES_OF = 5


class DeploymentStore:
    """Reads and writes the `deployments` table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_failed(self, deployment: Deployment) -> None:
        """Note a version that did not start."""
        await self._database.write(lambda connection: add_in(connection, deployment))

    async def list(self, app_id: str) -> list[Deployment]:
        """Return an app's versions, the latest first."""
        query = sa.select(deployments).where(deployments.c.app_id == app_id).order_by(deployments.c.version.desc())
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [_deployment(row) for row in rows]

    async def get(self, app_id: str, version: int) -> Deployment | None:
        """Return one version of an app, whatever became of it."""
        own = sa.and_(deployments.c.app_id == app_id, deployments.c.version == version)
        row = await self._database.read(
            lambda connection: connection.execute(sa.select(deployments).where(own)).first()
        )
        return _deployment(row) if row is not None else None

    async def live(self) -> dict[str, Deployment]:
        """Return the version that serves of each deployed app, by the app's id; also of those that have stopped."""
        query = sa.select(deployments).where(deployments.c.state == DeploymentState.LIVE)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return {row.app_id: _deployment(row) for row in rows}

    async def secret_ids(self) -> set[str]:
        """Return the secrets that any version uses, so that it can be rolled back to."""
        rows = await self._database.read(
            lambda connection: connection.execute(sa.select(deployments.c.secret_ids).distinct()).all()
        )
        return {one for row in rows for one in row.secret_ids.split(",") if one}

    async def specs(self) -> Sequence[FunctionSpec]:
        """Return the functions of all versions, of which any can be rolled back to."""
        query = sa.select(deployments.c.record)

        def work(connection: sa.Connection) -> Sequence[FunctionSpec]:
            found = (codec.deserialize(Deployment, record) for record in connection.execute(query).scalars())
            return [function.spec for one in found for function in one.functions if function.spec is not None]

        return await self._database.read(work)

    async def image_ids(self) -> set[str]:
        """Return the images of the latest versions of each app."""
        latest = sa.select(deployments.c.app_id, sa.func.max(deployments.c.version).label("version"))
        latest_of = latest.group_by(deployments.c.app_id).subquery()
        query = sa.select(deployments.c.image_ids).where(
            deployments.c.app_id == latest_of.c.app_id, deployments.c.version > latest_of.c.version - KEEP_IMAGES_OF
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return {one for row in rows for one in row.image_ids.split(",") if one}


def add_in(connection: sa.Connection, deployment: Deployment) -> int:
    """Add a version within a transaction, and return its number: the next one of its app.

    One that is live takes the place of the one that was.
    """
    own = deployments.c.app_id == deployment.app_id
    latest = connection.execute(sa.select(sa.func.max(deployments.c.version)).where(own)).scalar()
    deployment.version = (latest or 0) + 1
    if deployment.state == DeploymentState.LIVE:
        served = sa.and_(own, deployments.c.state == DeploymentState.LIVE)
        connection.execute(sa.update(deployments).where(served).values(state=DeploymentState.SUPERSEDED))
    specs = [function.spec for function in deployment.functions if function.spec is not None]
    values = {
        "deployment_id": deployment.deployment_id,
        "app_id": deployment.app_id,
        "version": deployment.version,
        "state": deployment.state,
        "created_at_ms": deployment.created_at_ms,
        "record": codec.serialize(deployment),
        "secret_ids": _joined(one for spec in specs for one in secrets_named(spec)),
        "image_ids": _joined(spec.image_id for spec in specs),
    }
    connection.execute(sa.insert(deployments), values)
    old = sa.and_(own, deployments.c.version <= deployment.version - KEEP_VERSIONS)
    connection.execute(sa.delete(deployments).where(old, deployments.c.state != DeploymentState.LIVE))
    return deployment.version


def _joined(ids: Iterable[str]) -> str:
    return ",".join(sorted(set(ids)))


def _deployment(row: "sa.Row[tuple[object, ...]]") -> Deployment:
    found: Deployment = codec.deserialize(Deployment, row.record)
    # The record is as it was written; what became of it since is in its own column.
    found.state = row.state
    return found
