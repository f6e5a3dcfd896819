"""PostgreSQL: a server that can go away at any moment, and a database that only one service works on.

A write whose connection is lost is done again on another one, unless it turns out to have been committed: then only
the answer was lost. Which of the two it was, the table `tenure` tells. Its one row has the number of the last
transaction of the service that works on the database, counted up by each transaction, in it. The row also has which
service that is, so that one which was cut off, and replaced by another meanwhile, can't write any more. The lock, held
by the connection that writes, keeps the other from starting while this one is there.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import sqlalchemy as sa
import tenacity

from wherry_service.errors import Unready
from wherry_service.store.away import DatabaseAway, DatabaseTaken
from wherry_service.store.schema import tenure
from wherry_service.store.trouble import of_postgres

log = logging.getLogger(__name__)

T = TypeVar("T")
Work = Callable[[sa.Connection], T]

# Seconds for which a start waits for the server, and for the lock: the connection of a service that was killed on
# another machine ends when the server misses its answers (below).
START_PATIENCE_S = 60.0
LOCK_PATIENCE_S = 10.0
# Seconds after which whoever reads is told that there is no answer. What is to be written waits as long as it takes.
READ_PATIENCE_S = 60.0
MAX_PAUSE_S = 1.0
# One number for every Wherry: of services on one database, one holds it.
LOCK = int.from_bytes(b"wherry!", "big")
# Of libpq, in seconds, but for the last, in ms. Both sides notice within a minute that the other's machine is gone.
_CLIENT = {
    "connect_timeout": 5,
    "keepalives_idle": 20,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 45_000,
}
_SERVER = "-c tcp_keepalives_idle=20 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3"
# The server ends, is ending or begins; or it is one that only reads, as after a failover.
_AWAY_STATES = ("57P01", "57P02", "57P03", "25006")


class _NoConnection(Exception):
    """The server could not be reached."""


class _Locked(Exception):
    """Another connection holds the lock."""


class Postgres:
    """A database of a PostgreSQL server.

    `holder` says which service this is, to another one that finds the database taken. `taken` is called, once, when
    another service has taken the database meanwhile: nothing can be written any more.
    """

    def __init__(self, url: sa.URL, holder: str, taken: Callable[[], None]) -> None:
        options: dict[str, Any] = {name: value for name, value in _CLIENT.items() if name not in url.query}
        if "options" not in url.query:
            options["options"] = _SERVER
        # One connection writes, as many as there are readers read.
        self._engine = sa.create_engine(url, connect_args=options, pool_size=3)
        # A single statement needs no transaction around it: two messages less.
        self._reading = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._holder = holder
        self._taken = taken
        self._outage = _Outage()
        self._connection: sa.Connection | None = None
        self._epoch: int | None = None
        # Of the last transaction that is known to be committed.
        self._number = 0

    def begin(self, migrate: Callable[[sa.Connection], None]) -> None:
        """Take the database and bring its tables up to date.

        Raises `DatabaseTaken` while another service has it, `DatabaseAway` where the server does not answer.
        """
        self._outage.waited_out(self._connected, START_PATIENCE_S)
        connection = self._connected()
        encoding = connection.execute(sa.text("show server_encoding")).scalar_one()
        connection.rollback()
        if encoding != "UTF8":
            raise Unready(
                f"the database has the encoding {encoding}, in which not every name can be written: create it with "
                "ENCODING 'UTF8' TEMPLATE template0"
            )
        try:
            with connection.begin():
                migrate(connection)
            with connection.begin():
                values = {"epoch": tenure.c.epoch + 1, "number": 0, "holder": self._holder}
                self._epoch = connection.execute(
                    sa.update(tenure).values(values).returning(tenure.c.epoch)
                ).scalar_one()
        except sa.exc.DBAPIError as error:
            if not _is_away(error):
                raise
            raise DatabaseAway(
                f"the database went away while its tables were brought up to date: {_short(error)}"
            ) from error

    def write(self, work: Work[T]) -> T:
        """Run `work` in a transaction; return its value when that is committed.

        Waits for as long as the server is away. `work` is run again where a transaction came to nothing.
        """
        values: list[T] = []

        def transact() -> None:
            try:
                with self._connected().begin() as transaction:
                    connection = transaction.connection
                    # First, so that it waits for an earlier try that the server is still at.
                    if self._is_next(connection):
                        values[:] = [work(connection)]
            except sa.exc.DBAPIError as error:
                if _is_away(error):
                    self._drop()
                elif (told := of_postgres(getattr(error.orig, "sqlstate", None))) is not None:
                    raise told from error
                raise

        self._outage.waited_out(transact)
        self._number += 1
        return values[0]

    def read(self, work: Work[T]) -> T:
        """Run `work`, which only reads, and return its value; raise `DatabaseAway` after long without answer."""

        def query() -> T:
            with _reached(self._reading) as connection:
                return work(connection)

        return self._outage.waited_out(query, READ_PATIENCE_S)

    def hurry(self, within_s: float) -> None:
        """Wait no longer for a server that is away, from so many seconds on."""
        self._outage.hurry(within_s)

    def close(self) -> None:
        self._drop()
        self._engine.dispose()

    def _is_next(self, connection: sa.Connection) -> bool:
        """Count up; return False where this number was committed already, and only the answer was lost."""
        own = (tenure.c.epoch == self._epoch) & (tenure.c.number == self._number)
        if connection.execute(sa.update(tenure).where(own).values(number=self._number + 1)).rowcount == 1:
            return True
        row = connection.execute(sa.select(tenure)).one()
        if row.epoch == self._epoch:
            return False
        log.critical(
            "another service has taken the database meanwhile (%s): nothing can be written any more", row.holder
        )
        self._taken()
        raise _taken_by(row.holder)

    def _connected(self) -> sa.Connection:
        """Return the connection that writes, and holds the lock."""
        if self._connection is not None and not self._connection.invalidated:
            return self._connection
        self._drop()
        connection = _reached(self._engine)
        try:
            self._lock(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _lock(self, connection: sa.Connection) -> None:
        deadline = time.monotonic() + LOCK_PATIENCE_S
        while not connection.execute(sa.select(sa.func.pg_try_advisory_lock(LOCK))).scalar_one():
            connection.rollback()
            if self._epoch is not None:
                # It may be this service's own connection, which the server believes in still; if not, `tenure` tells.
                raise _Locked("another connection holds its lock")
            if time.monotonic() > deadline:
                raise _taken_by(_holder(connection))
            time.sleep(0.1)
        connection.rollback()

    def _drop(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sa.exc.SQLAlchemyError):
                # Not into the pool: the lock would stay with it.
                self._connection.invalidate()
            with contextlib.suppress(sa.exc.SQLAlchemyError):
                self._connection.close()
        self._connection = None


class _Outage:
    """Waits until the server is back. That it is away is logged once, whoever notices, and that it is back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: float | None = None
        self._deadline = float("inf")

    def hurry(self, within_s: float) -> None:
        self._deadline = min(self._deadline, time.monotonic() + within_s)

    def waited_out(self, work: Callable[[], T], patience_s: float = float("inf")) -> T:
        """Do `work`, again and again while the server is away; raise `DatabaseAway` after so many seconds of that."""

        def is_over(state: tenacity.RetryCallState) -> bool:
            now = time.monotonic()
            return now - state.start_time >= patience_s or now >= self._deadline

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_is_away),
            wait=tenacity.wait_random_exponential(0.05, MAX_PAUSE_S),
            stop=is_over,
            before_sleep=self._note,
        )
        try:
            value = retrying(work)
        except tenacity.RetryError as error:
            cause = error.last_attempt.exception()
            raise DatabaseAway(f"the database does not answer: {_short(cause)}") from cause
        if self._since is not None:
            self._end()
        return value

    def _note(self, state: tenacity.RetryCallState) -> None:
        with self._lock:
            if self._since is None and state.outcome is not None:
                self._since = time.monotonic()
                log.warning("the database is away, and waited for: %s", _short(state.outcome.exception()))

    def _end(self) -> None:
        with self._lock:
            if self._since is not None:
                log.info("the database is back after %.1f s", time.monotonic() - self._since)
                self._since = None


def _reached(engine: sa.Engine) -> sa.Connection:
    try:
        return engine.connect()
    except sa.exc.OperationalError as error:
        raise _NoConnection(_short(error)) from error


def _is_away(error: BaseException | None) -> bool:
    """Return whether it failed for want of a server, and can be done again elsewhere or later."""
    if isinstance(error, _NoConnection | _Locked):
        return True
    if not isinstance(error, sa.exc.DBAPIError):
        return False
    state: Any = getattr(error.orig, "sqlstate", None)
    return error.connection_invalidated or state in _AWAY_STATES


def _holder(connection: sa.Connection) -> str:
    """Return who has the database, as far as that can be told."""
    try:
        return str(connection.execute(sa.select(tenure.c.holder)).scalar_one())
    except sa.exc.DBAPIError:
        return "one that is just beginning"


def _taken_by(holder: str) -> DatabaseTaken:
    return DatabaseTaken(
        f"another service works on this database ({holder}): stop that one, or give this one a database of its own "
        "(database.url)"
    )


def _short(error: BaseException | None) -> str:
    cause = getattr(error, "orig", None) or error
    return " ".join(str(cause).split())
