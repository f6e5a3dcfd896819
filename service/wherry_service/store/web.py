"""Answers of web endpoints that are fetched later: kept as long as the results of calls."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from wherry_service.store.calls import KEEP_RESULTS_S
from wherry_service.store.database import Database
from wherry_service.store.schema import web_results


@dataclass(frozen=True, slots=True)
class WebResult:
    """A response: its body is in a blob, its headers are JSON pairs."""

    call_id: str
    function_id: str
    status: int
    headers: str
    blob_id: str
    size: int


class WebStore:
    """Reads and writes the `web_results` table."""

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now = now

    async def add(self, result: WebResult) -> None:
        row = {
            "call_id": result.call_id,
            "function_id": result.function_id,
            "status": result.status,
            "headers": result.headers,
            "blob_id": result.blob_id,
            "size": result.size,
            "finished_at_ms": int(self._now() * 1000),
        }
        await self._database.write(lambda connection: connection.execute(sa.insert(web_results), row))

    async def find(self, call_id: str) -> WebResult | None:
        """Return the answer to that request, None if there is none, or none any more."""
        query = sa.select(web_results).where(web_results.c.call_id == call_id)
        row = await self._database.read(lambda connection: connection.execute(query).first())
        if row is None:
            return None
        return WebResult(row.call_id, row.function_id, row.status, row.headers, row.blob_id, row.size)

    async def blob_ids(self) -> set[str]:
        """Return the blobs that answers are in."""
        query = sa.select(web_results.c.blob_id)
        return {row.blob_id for row in await self._database.read(lambda connection: connection.execute(query).all())}

    async def expire(self) -> list[str]:
        """Forget old answers; return their blobs."""
        old = web_results.c.finished_at_ms < int((self._now() - KEEP_RESULTS_S) * 1000)

        def work(connection: sa.Connection) -> list[str]:
            blob_ids = [row.blob_id for row in connection.execute(sa.select(web_results.c.blob_id).where(old))]
            connection.execute(sa.delete(web_results).where(old))
            return blob_ids

        return await self._database.write(work)
