"""SQLite: a file that only this process writes (the state directory's lock sees to that)."""

from collections.abc import Callable
from typing import Any, TypeVar

import sqlalchemy as sa

T = TypeVar("T")
Work = Callable[[sa.Connection], T]


class Sqlite:
    """A database in a file, in WAL mode, fully synced."""

    def __init__(self, url: sa.URL) -> None:
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
        with self._engine.connect() as connection:
            return work(connection)

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
