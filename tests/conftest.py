"""What tests of all kinds share: databases of both kinds."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import KINDS, Disk, Disks, Postgres, PostgresDisks, SqliteDisks


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--runtime", default="", help="the OCI runtime of hostile containers, such as runsc, in an engine of its own"
    )


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server of the tests' own."""
    server = Postgres()
    yield server
    server.close()


@pytest.fixture(params=KINDS, scope="session")
def disks(request: pytest.FixtureRequest) -> Disks:
    """New databases: of each kind in turn."""
    return SqliteDisks() if request.param == "sqlite" else PostgresDisks(request.getfixturevalue("postgres"))


@pytest.fixture
def disk(disks: Disks, tmp_path: Path) -> Iterator[Disk]:
    """A directory, and a database with all tables: of each kind in turn."""
    with disks.fresh(tmp_path) as disk:
        yield disk


@pytest.fixture
def bare_disk(disks: Disks, tmp_path: Path) -> Iterator[Disk]:
    """A directory, and a database without tables: of each kind in turn."""
    with disks.bare(tmp_path) as disk:
        yield disk
