"""Databases for tests: SQLite's files, and a PostgreSQL server of the tests' own."""

import functools
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa

from tests.waiting import wait_until
from wherry_service.store.database import Database
from wherry_service.store.schema import metadata

KINDS = ("sqlite", "postgresql")

_EMPTY = ";".join(f"delete from {table.name}" for table in reversed(metadata.sorted_tables) if table.name != "tenure")


@dataclass(frozen=True, slots=True)
class Disk:
    """What a service keeps things on: a directory, and a database with all tables."""

    folder: Path
    url: str

    def database(self) -> Database:
        """Open the database, as one life of the service does."""
        database = Database(self.url)
        database.begin()
        return database


class Postgres:
    """A PostgreSQL server that listens on a Unix socket, for as long as the tests run."""

    def __init__(self) -> None:
        # PostgreSQL refuses to run as root, and a directory of pytest's is closed to others.
        self.folder = Path(tempfile.mkdtemp(prefix="wherry-pg-"))
        self._user = "nobody" if os.geteuid() == 0 else None
        if self._user is not None:
            account = pwd.getpwnam(self._user)
            os.chown(self.folder, account.pw_uid, account.pw_gid)
        self._template = ""
        self._numbers = itertools.count(1)
        self._server: subprocess.Popen[bytes] | None = None
        self._run("initdb", "--pgdata=data", "--username=wherry", "--auth=trust", "--encoding=UTF8", "--no-sync",
                  "--no-instructions", "--locale=C.UTF-8")  # fmt: skip
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = [f"-k{self.folder}", "-clisten_addresses=", "-cfsync=off", "-cmax_connections=50"]
        with open(self.folder / "log", "ab") as log:
            self._server = subprocess.Popen(
                [_program("postgres"), "-D", str(self.folder / "data"), *options],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, user=self._user, group=self._group(),
                extra_groups=[] if self._user else None,
            )  # fmt: skip
        wait_until(self._answers, "PostgreSQL answers")

    def stop(self, number: int = signal.SIGINT) -> None:
        """End it: at once by SIGINT, as by a crash by SIGQUIT."""
        assert self._server is not None
        self._server.send_signal(number)
        self._server.wait(30)

    def close(self) -> None:
        """End it, and leave nothing."""
        if self._server is not None and self._server.poll() is None:
            self.stop()
        shutil.rmtree(self.folder)

    def create(self, template: str = "template0") -> str:
        """Make a database, empty or like another; return its name."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"create database {name} template {template}")
        return name

    def template(self) -> str:
        """Return the name of a database with all tables, to make others like it."""
        if not self._template:
            self._template = self.create()
            _migrate(self.url(self._template))
        return self._template

    def execute(self, statement: str, name: str = "postgres") -> list[tuple[object, ...]]:
        """Run a statement as the server's owner; return its rows."""
        engine = sa.create_engine(self.url(name), poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            result = connection.execute(sa.text(statement))
            return [tuple(row) for row in result] if result.returns_rows else []

    def url(self, name: str) -> str:
        return f"postgresql+psycopg://wherry@/{name}?host={self.folder}"

    def _answers(self) -> bool:
        try:
            self.execute("select 1")
        except sa.exc.OperationalError:
            assert self._server is not None
            assert self._server.poll() is None, (self.folder / "log").read_text()
            return False
        return True

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [_program(program), *arguments], check=True, cwd=self.folder, stdout=subprocess.DEVNULL, user=self._user,
            group=self._group(), extra_groups=[] if self._user else None,
        )  # fmt: skip

    def _group(self) -> int | None:
        return pwd.getpwnam(self._user).pw_gid if self._user is not None else None


class Disks(Protocol):
    """Makes databases of one kind, gone at the end of the block."""

    def fresh(self, folder: Path) -> AbstractContextManager[Disk]:
        """Make one with all tables."""

    def bare(self, folder: Path) -> AbstractContextManager[Disk]:
        """Make one without any."""


class SqliteDisks:
    """Files."""

    @staticmethod
    def within(folder: Path) -> Disk:
        """Make one in a new directory."""
        folder.mkdir()
        (folder / "test.db").write_bytes(_sqlite_bytes())
        return Disk(folder, _sqlite_url(folder))

    @contextmanager
    def fresh(self, folder: Path) -> Iterator[Disk]:
        (folder / "test.db").write_bytes(_sqlite_bytes())
        with self.bare(folder) as disk:
            yield disk

    @contextmanager
    def bare(self, folder: Path) -> Iterator[Disk]:
        yield Disk(folder, _sqlite_url(folder))


class PostgresDisks:
    """Databases of one server. Those with tables are emptied and used again: that is quicker than making them."""

    def __init__(self, server: Postgres) -> None:
        self._server = server
        self._free: list[str] = []

    @contextmanager
    def fresh(self, folder: Path) -> Iterator[Disk]:
        name = self._free.pop() if self._free else self._server.create(self._server.template())
        yield Disk(folder, self._server.url(name))
        self._server.execute(_EMPTY, name)
        self._free.append(name)

    @contextmanager
    def bare(self, folder: Path) -> Iterator[Disk]:
        name = self._server.create()
        yield Disk(folder, self._server.url(name))
        self._server.execute(f"drop database {name} with (force)")


def _sqlite_url(folder: Path) -> str:
    return f"sqlite:///{folder / 'test.db'}"


@functools.cache
def _sqlite_bytes() -> bytes:
    """Return a new database: made once, since the migrations take longer than most tests."""
    with tempfile.TemporaryDirectory() as name:
        _migrate(_sqlite_url(Path(name)))
        return (Path(name) / "test.db").read_bytes()


def _migrate(url: str) -> None:
    database = Database(url)
    database.begin()
    database.close()


def _program(name: str) -> str:
    """Find a program of PostgreSQL: Debian does not put all of them on the PATH."""
    found = shutil.which(name)
    if found is not None:
        return found
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    assert installed, f"these tests need PostgreSQL's {name}: apt-get install postgresql"
    return str(installed[-1])
