"""SQLite: a file that only this process writes (the state directory's lock sees to that)."""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import sqlalchemy as sa

from wherry_service.store.trouble import of_sqlite

T = TypeVar("T")
Work = Callable[[sa.Connection], T]


class Sqlite:
    """A database in a file, in WAL mode, fully synced."""

    def __init__(self, url: sa.URL) -> None:
        self._url = url
        self._engine = sa.create_engine(url)
        sa.event.listen(self._engine, "connect", _prepare)
        self._writer: sa.Connection | None = None

    def begin(self, migrate: Callable[[sa.Connection], None]) -> None:
        """Bring the tables up to date."""
        with self._engine.begin() as connection:
            migrate(connection)

    def write(self, work: Work[T]) -> T:
        """Run `work` in a transaction; return its value when that is committed."""
        # Kept from one transaction to the next: the pool costs a tenth of a commit.
        with self._told():
            connection = self._writer or self._engine.connect()
            self._writer = None
            try:
                with connection.begin():
                    value = work(connection)
            except BaseException:
                connection.close()
                raise
        self._writer = connection
        return value

    def read(self, work: Work[T]) -> T:
        """Run `work`, which only reads, and return its value."""
        with self._told(), self._engine.connect() as connection:
            return work(connection)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what the disk is to blame for into errors that say so."""
        try:
            yield
        except sa.exc.DBAPIError as error:
            told = of_sqlite(getattr(error.orig, "sqlite_errorcode", None), self._is_full)
            if told is None:
                raise
            raise told from error

    def _is_full(self) -> bool:
        folder = os.path.dirname(self._url.database or "")
        try:
            disk = os.statvfs(folder or ".")
        except OSError:
            return False
        return disk.f_bavail * disk.f_frsize < 1 << 20

    def hurry(self, within_s: float) -> None:
        """Do nothing: a file is not waited for."""

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._engine.dispose()


def _prepare(connection: Any, record: Any) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
