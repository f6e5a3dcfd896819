"""What was built, when and how it ended; the engine's own tags say what is there now."""

import time
from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from wherry_proto import codec
from wherry_proto.messages import ImageDefinition, ImageState, ImageStep
from wherry_service.store.database import Database
from wherry_service.store.schema import image_environments, images


@dataclass(slots=True)
class ImageRecord:
    """A row of `images`."""

    image_id: str
    definition: ImageDefinition
    state: int
    # Part of other images' chains only, not asked for by anyone.
    internal: bool = False
    built_at_ms: int = 0
    used_at_ms: int = 0
    seconds: float = 0.0
    error: str = ""


class ImageStore:
    """Reads and writes the `images` table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, record: ImageRecord, environment: str = "") -> None:
        """Write a row, whether it was there or not, and which environment asked for it.

        One that was asked for is never made internal again.
        """
        values = {
            "definition": codec.serialize(record.definition),
            "state": record.state,
            "internal": record.internal,
            "built_at_ms": record.built_at_ms,
            "used_at_ms": record.used_at_ms,
            "seconds": record.seconds,
            "error": record.error,
        }

        def write(connection: sa.Connection) -> None:
            known = connection.execute(sa.select(images.c.internal).where(images.c.image_id == record.image_id)).first()
            if environment:
                _belong(connection, {record.image_id}, environment)
            if known is None:
                connection.execute(sa.insert(images).values(image_id=record.image_id, **values))
                return
            changed = {**values, "internal": record.internal and known.internal}
            connection.execute(sa.update(images).where(images.c.image_id == record.image_id).values(**changed))

        await self._database.write(write)

    async def used(self, image_ids: Iterable[str], at_ms: int | None = None, environment: str = "") -> None:
        """Note that images were asked for now, and in which environment."""
        wanted = sorted(set(image_ids))
        now = at_ms if at_ms is not None else time.time_ns() // 1_000_000
        change = sa.update(images).where(images.c.image_id.in_(wanted)).values(used_at_ms=now, internal=False)

        def write(connection: sa.Connection) -> None:
            connection.execute(change)
            if environment:
                _belong(connection, set(wanted), environment)

        await self._database.write(write)

    async def set_state(self, image_id: str, state: int) -> None:
        """Change how an image stands."""
        change = sa.update(images).where(images.c.image_id == image_id).values(state=state)
        await self._database.write(lambda connection: connection.execute(change).rowcount)

    async def get(self, image_id: str) -> ImageRecord | None:
        """Return a row, or None."""
        query = sa.select(images).where(images.c.image_id == image_id)
        row = await self._database.read(lambda connection: connection.execute(query).first())
        return _record(row) if row is not None else None

    async def list(self, environment: str = "") -> list[ImageRecord]:
        """Return all rows, or those of an environment, the latest used first."""
        query = sa.select(images).order_by(images.c.used_at_ms.desc(), images.c.image_id)
        if environment:
            rows = image_environments
            own = sa.select(rows.c.image_id).where(rows.c.environment == environment)
            query = query.where(images.c.image_id.in_(own))
        found = await self._database.read(lambda connection: connection.execute(query).all())
        return [_record(row) for row in found]

    async def interrupted(self) -> int:
        """Mark the builds of an earlier life as stopped; return how many there were."""
        change = (
            sa.update(images)
            .where(images.c.state == ImageState.BUILDING)
            .values(
                state=ImageState.STOPPED, error="the service ended while it was being built; it is built when asked for"
            )
        )
        return int(await self._database.write(lambda connection: connection.execute(change).rowcount))


def _belong(connection: sa.Connection, wanted: set[str], environment: str) -> None:
    rows = image_environments
    own = sa.select(rows.c.image_id).where(rows.c.environment == environment, rows.c.image_id.in_(wanted))
    for image_id in sorted(wanted - set(connection.execute(own).scalars())):
        connection.execute(sa.insert(rows).values(image_id=image_id, environment=environment))


def _record(row: "sa.Row[tuple[object, ...]]") -> ImageRecord:
    values = row._mapping  # noqa: SLF001 - SQLAlchemy's own name for it
    definition = codec.deserialize(ImageDefinition, values["definition"])
    if not definition.steps:  # 0.1.0 wrote such rows for a base alone, where a function runs on it
        definition.steps = [ImageStep(kind="from_id", args=[values["image_id"]])]
    return ImageRecord(
        image_id=values["image_id"],
        definition=definition,
        state=values["state"],
        internal=bool(values["internal"]),
        built_at_ms=values["built_at_ms"],
        used_at_ms=values["used_at_ms"],
        seconds=values["seconds"],
        error=values["error"],
    )
