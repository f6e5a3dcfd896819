"""The database: one writer thread that commits what has gathered, and short reads beside it."""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa

from wherry_service.metering import Histogram
from wherry_service.store.away import DatabaseAway
from wherry_service.store.schema import HEAD
from wherry_service.store.sqlite import Sqlite
from wherry_service.store.trouble import StorageFailed, StorageFull, Told

log = logging.getLogger(__name__)

T = TypeVar("T")
Work = Callable[[sa.Connection], Any]
_MIGRATIONS = Path(__file__).parent / "migrations"


class DatabaseTooNew(Exception):
    """The database was written by a newer Wherry; the message says which one this is."""


class Backend(Protocol):
    """What differs between SQLite and PostgreSQL: how connections are had, held, and had again."""

    def begin(self, migrate: Callable[[sa.Connection], None]) -> None:
        """Connect, and have the tables brought up to date."""

    def write(self, work: Callable[[sa.Connection], T]) -> T:
        """Run `work`, twice if need be, in a transaction; return its value when that is committed."""

    def read(self, work: Callable[[sa.Connection], T]) -> T:
        """Run `work`, which only reads, and return its value."""

    def hurry(self, within_s: float) -> None:
        """Wait no longer for a server that is away, from so many seconds on."""

    def close(self) -> None: ...


@dataclass(slots=True)
class _Job:
    """What is to be written, and who waits for it."""

    work: Work
    future: "asyncio.Future[Any]"
    loop: asyncio.AbstractEventLoop


class Database:
    """SQLite in WAL mode, fully synced, or PostgreSQL, by a URL.

    Everything that is written goes through `write`: what has gathered while the last transaction was
    committed goes into the next one, so that a thousand writers cost one sync.

    `holder` and `taken` are for a PostgreSQL that several services could write to (postgres.py).
    """

    def __init__(self, url: str | sa.URL, holder: str = "", taken: Callable[[], None] = lambda: None) -> None:
        self._backend = _backend(url, holder, taken)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._told = Told()
        # Seconds that transactions took to be written and committed; counted by the writer.
        self.commits = Histogram()
        self._writer = threading.Thread(target=self._write_all, name="database-writer")
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="database-reader")

    def begin(self) -> None:
        """Bring the tables up to date and start the writer; raise `DatabaseTooNew` if that can't be done."""
        try:
            self._backend.begin(_migrate)
        except BaseException:
            self._backend.close()
            raise
        self._writer.start()

    @property
    def num_waiting(self) -> int:
        """How many writes wait for the transaction after the one that runs."""
        return self._jobs.qsize()

    async def write(self, work: Callable[[sa.Connection], T]) -> T:
        """Run `work` in a transaction; return its value when that is committed.

        It may be run more than once, where a transaction came to nothing; it counts once.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put(_Job(work, future, loop))
        return await future

    async def read(self, work: Callable[[sa.Connection], T]) -> T:
        """Run `work`, which only reads, and return its value."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._backend.read, work)

    def hurry(self, within_s: float) -> None:
        """Wait no longer for a server that is away, from so many seconds on: then writes fail."""
        self._backend.hurry(within_s)

    def close(self) -> None:
        """Commit what has gathered and close."""
        if self._writer.is_alive():
            self._jobs.put(None)
            self._writer.join()
        self._readers.shutdown()
        self._backend.close()

    def _write_all(self) -> None:
        while True:
            job = self._jobs.get()
            group = [job]
            while True:
                try:
                    group.append(self._jobs.get_nowait())
                except queue.Empty:
                    break
            jobs = [item for item in group if item is not None]
            if jobs:
                self._commit(jobs)
            if len(jobs) < len(group):
                return
            # What they write is large now and then, and the next job may be long in coming.
            del job, group, jobs

    def _commit(self, jobs: list[_Job]) -> None:
        began = time.monotonic()
        try:
            values = self._backend.write(lambda connection: [job.work(connection) for job in jobs])
            self.commits.add(time.monotonic() - began)
        except DatabaseAway as error:
            for job in jobs:
                _answer(job, None, error)
            return
        except (StorageFull, StorageFailed) as error:
            # None of the others would fare better. Each is told a new error: who waits adds its own stack to it.
            self._told.tell(error)
            for job in jobs:
                _answer(job, None, type(error)(str(error)))
            return
        except Exception as error:  # noqa: BLE001 - one bad job must not take the others with it, nor end the writer
            if len(jobs) > 1:
                for job in jobs:
                    self._commit([job])
                return
            _answer(jobs[0], None, error)
            return
        for job, value in zip(jobs, values, strict=True):
            _answer(job, value, None)


def _backend(url: str | sa.URL, holder: str, taken: Callable[[], None]) -> Backend:
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return Sqlite(parsed)
    # Loaded only where it is needed: with the driver it costs a tenth of a second.
    from wherry_service.store.postgres import Postgres  # noqa: PLC0415 - start-up cost: 10 ms, and its driver a tenth of a second

    return Postgres(parsed.set(drivername="postgresql+psycopg"), holder, taken)


def _migrate(connection: sa.Connection) -> None:
    known = sa.inspect(connection).has_table("alembic_version")
    current = connection.execute(sa.text("select version_num from alembic_version")).scalar() if known else None
    if current == HEAD:
        return
    if current is not None and current > HEAD:
        raise DatabaseTooNew(
            f"the database is at revision {current}, this Wherry knows {HEAD}: it was used by a newer Wherry; "
            "install that version or point the service at another state directory or database"
        )
    # Loaded only when there is something to migrate: it costs a tenth of the service's start.
    from alembic import command  # noqa: PLC0415 - start-up cost: 200 ms and 11 MiB, only for another revision
    from alembic.config import Config  # noqa: PLC0415 - start-up cost: as above

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    log.info("database brought from revision %s to %s", current or "none", HEAD)


def _answer(job: _Job, value: Any, error: Exception | None) -> None:
    def answer() -> None:
        if job.future.done():
            return
        if error is not None:
            job.future.set_exception(error)
        else:
            job.future.set_result(value)

    job.loop.call_soon_threadsafe(answer)
