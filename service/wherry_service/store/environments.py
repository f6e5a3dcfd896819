"""Which environment an id belongs to."""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from wherry_service.ids import input_of_call
from wherry_service.store.database import Database
from wherry_service.store.schema import apps, functions, image_environments, inputs, objects


class EnvironmentStore:
    """Says which environment an id belongs to; None for an id that nobody knows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_app(self, app_id: str) -> str | None:
        return await self._only(sa.select(apps.c.environment).where(apps.c.app_id == app_id))

    async def of_function(self, function_id: str) -> str | None:
        joined = functions.join(apps, functions.c.app_id == apps.c.app_id)
        query = sa.select(apps.c.environment).select_from(joined)
        return await self._only(query.where(functions.c.function_id == function_id))

    async def of_call(self, call_id: str) -> str | None:
        """Likewise, of a durable call."""
        query = sa.select(inputs.c.function_id).where(inputs.c.call_id == call_id).limit(1)
        function_id = await self._only(query)
        if function_id is None:
            # An input of a call of many is a call of its own, too.
            own = inputs.c.input_id == input_of_call(call_id)
            function_id = await self._only(sa.select(inputs.c.function_id).where(own))
        return await self.of_function(function_id) if function_id is not None else None

    async def of_object(self, object_id: str) -> str | None:
        """Likewise, of a secret, dict, queue or volume."""
        return await self._only(sa.select(objects.c.environment).where(objects.c.object_id == object_id))

    async def of_image(self, image_id: str) -> set[str]:
        """Return the environments that have asked for an image."""
        rows = image_environments
        query = sa.select(rows.c.environment).where(rows.c.image_id == image_id)
        return set(await self._database.read(lambda connection: connection.execute(query).scalars().all()))

    async def images_of(self, environments: Iterable[str]) -> set[str]:
        """Return the images that any of these environments has asked for."""
        rows = image_environments
        query = sa.select(rows.c.image_id).where(rows.c.environment.in_(sorted(environments)))
        return set(await self._database.read(lambda connection: connection.execute(query).scalars().all()))

    async def _only(self, query: "sa.Select[Any]") -> str | None:
        found: str | None = await self._database.read(lambda connection: connection.execute(query).scalar())
        return found
