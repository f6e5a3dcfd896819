"""What durable generators have yielded, kept as long as their results."""

from dataclasses import dataclass

import sqlalchemy as sa

from wherry_proto import codec
from wherry_proto.messages import Payload, Yield
from wherry_service.store.database import Database
from wherry_service.store.schema import inputs, yields


@dataclass(frozen=True, slots=True)
class StoredInput:
    """The one input of a durable generator call."""

    input_id: str
    finished: bool


class YieldStore:
    """Reads and writes the `yields` table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, value: Yield) -> None:
        """Write a value; one that is there already, from an earlier run of the input, stays."""
        assert value.payload is not None
        row = {"input_id": value.input_id, "position": value.index, "payload": codec.serialize(value.payload)}

        def work(connection: sa.Connection) -> None:
            known = (yields.c.input_id == value.input_id) & (yields.c.position == value.index)
            if connection.execute(sa.select(yields.c.position).where(known)).first() is None:
                connection.execute(sa.insert(yields), row)

        await self._database.write(work)

    async def input_of(self, call_id: str) -> StoredInput | None:
        """Return the call's first input, None if there is no such call."""
        query = sa.select(inputs.c.input_id, inputs.c.finished_at_ms).where(inputs.c.call_id == call_id)
        row = await self._database.read(lambda connection: connection.execute(query.limit(1)).first())
        return StoredInput(row.input_id, bool(row.finished_at_ms)) if row is not None else None

    async def read(self, input_id: str, index: int, limit: int) -> list[Yield]:
        """Return values from that index on, at most so many."""
        query = (
            sa.select(yields.c.position, yields.c.payload)
            .where(yields.c.input_id == input_id, yields.c.position >= index)
            .order_by(yields.c.position)
            .limit(limit)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [
            Yield(input_id=input_id, index=row.position, payload=codec.deserialize(Payload, row.payload))
            for row in rows
        ]
