"""A database whose every commit waits until a test lets it happen, fail, or be cut off."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

import sqlalchemy as sa

from wherry_service.store.database import Database
from wherry_service.store.schema import metadata

T = TypeVar("T")
Work = Callable[[sa.Connection], Any]


class WriteFailed(Exception):
    """What a failed write raises here."""


class GatedDatabase(Database):
    """Has the interface of `Database`, in memory. Writes are committed in their order, as the real writer does it."""

    def __init__(self) -> None:
        self._engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
        metadata.create_all(self._engine)
        self._gated: deque[tuple[Work, asyncio.Future[Any]]] = deque()

    def __len__(self) -> int:
        """How many writes wait."""
        return len(self._gated)

    async def write(self, work: Callable[[sa.Connection], T]) -> T:
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._gated.append((work, future))
        return await future

    async def read(self, work: Callable[[sa.Connection], T]) -> T:
        await asyncio.sleep(0)
        with self._engine.connect() as connection:
            return work(connection)

    def commit(self) -> None:
        """Let the first write that waits happen."""
        work, future = self._gated.popleft()
        try:
            with self._engine.begin() as connection:
                value = work(connection)
        except Exception as error:  # noqa: BLE001 - it belongs to who asked, as with the real one
            if not future.done():
                future.set_exception(error)
            return
        if not future.done():
            future.set_result(value)

    def fail(self, error: Exception | None = None) -> None:
        """Let the first write that waits fail."""
        _, future = self._gated.popleft()
        if not future.done():
            future.set_exception(error or WriteFailed("the disk is full"))

    def lose(self) -> None:
        """Drop what waits: the service was killed before it was written."""
        self._gated.clear()

    def empty(self, *tables: sa.Table) -> None:
        """Forget what is in tables."""
        with self._engine.begin() as connection:
            for table in tables:
                connection.execute(sa.delete(table))

    def rows(self, query: "sa.Select[Any]") -> list[Any]:
        """Return what a query finds now."""
        with self._engine.connect() as connection:
            return list(connection.execute(query))

    def close(self) -> None:
        self._engine.dispose()
