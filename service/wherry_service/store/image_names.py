"""Names that images have in environments, and had."""

import time

import sqlalchemy as sa

from wherry_proto.messages import ImageName
from wherry_service.store.database import Database
from wherry_service.store.schema import image_environments, image_names

# Of each name so many rows are kept; an environment has at most so many names.
KEPT = 50
MOST_NAMES = 10_000


class TooManyNames(Exception):
    """The environment has as many names as it can have."""


class ImageNames:
    """Reads and writes the `image_names` table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def publish(self, name: str, environment: str, image_id: str) -> ImageName:
        """Give an image a name, and the environment the image; raise TooManyNames."""
        made = ImageName(
            name=name, environment=environment, image_id=image_id, published_at_ms=time.time_ns() // 1_000_000
        )
        row = {
            "name": name,
            "environment": environment,
            "image_id": image_id,
            "published_at_ms": made.published_at_ms,
        }
        of_name = (image_names.c.environment == environment) & (image_names.c.name == name)

        def work(connection: sa.Connection) -> None:
            of_environment = image_names.c.environment == environment
            count = sa.select(sa.func.count(image_names.c.name.distinct())).where(of_environment, ~of_name)
            if connection.execute(count).scalar_one() >= MOST_NAMES:
                raise TooManyNames
            connection.execute(sa.insert(image_names).values(row))
            numbers = sa.select(image_names.c.number).where(of_name).order_by(image_names.c.number.desc())
            old = connection.execute(numbers.offset(KEPT)).scalars().all()
            connection.execute(sa.delete(image_names).where(image_names.c.number.in_(old)))
            asked = image_environments
            own = sa.select(asked).where(asked.c.environment == environment, asked.c.image_id == image_id)
            if connection.execute(own).first() is None:
                connection.execute(sa.insert(asked).values(image_id=image_id, environment=environment))

        await self._database.write(work)
        return made

    async def get(self, name: str, environment: str) -> ImageName | None:
        """Return what a name means now."""
        found = await self.history(name, environment, 1)
        return found[0] if found else None

    async def history(self, name: str, environment: str, limit: int = KEPT) -> list[ImageName]:
        """Return what a name has meant, the latest first."""
        query = (
            sa.select(image_names)
            .where(image_names.c.environment == environment, image_names.c.name == name)
            .order_by(image_names.c.number.desc())
            .limit(limit)
        )
        return [_row(row) for row in await self._database.read(lambda connection: connection.execute(query).all())]

    async def list(self, environment: str, prefix: str) -> list[ImageName]:
        """Return what all names mean that begin so, by name."""
        latest = sa.select(sa.func.max(image_names.c.number)).group_by(image_names.c.environment, image_names.c.name)
        query = (
            sa.select(image_names)
            .where(
                image_names.c.number.in_(latest),
                image_names.c.environment == environment,
                image_names.c.name.startswith(prefix, autoescape=True),
            )
            .order_by(image_names.c.name)
        )
        return [_row(row) for row in await self._database.read(lambda connection: connection.execute(query).all())]

    async def remove(self, name: str, environment: str) -> None:
        """Forget a name."""
        change = sa.delete(image_names).where(image_names.c.environment == environment, image_names.c.name == name)
        await self._database.write(lambda connection: connection.execute(change).rowcount)

    async def image_ids(self) -> set[str]:
        """Return the images that have a name now."""
        latest = sa.select(sa.func.max(image_names.c.number)).group_by(image_names.c.environment, image_names.c.name)
        query = sa.select(image_names.c.image_id).where(image_names.c.number.in_(latest))
        return set(await self._database.read(lambda connection: connection.execute(query).scalars().all()))


def _row(row: "sa.Row[tuple[object, ...]]") -> ImageName:
    values = row._mapping  # noqa: SLF001 - SQLAlchemy's own name for it
    return ImageName(
        name=values["name"],
        environment=values["environment"],
        image_id=values["image_id"],
        published_at_ms=values["published_at_ms"],
    )
