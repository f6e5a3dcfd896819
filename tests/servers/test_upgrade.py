"""A service that takes over what an earlier version left, on SQLite and on PostgreSQL, and one that must not."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from tests.acceptance.elsewhere import Elsewhere, elsewhere
from tests.databases import KINDS, Postgres
from wherry_service.store import database as database_module
from wherry_service.store.schema import HEAD

DURABLE = Path(__file__).parent.parent / "acceptance" / "apps" / "durable.py"
# Before apps were deployed, and before there were tokens.
EARLIER = "0016"
COUNT = 20


class Disk:
    """A service's state directory and its database, which tests change while the service is stopped."""

    def __init__(self, host: Elsewhere, url: str) -> None:
        self.host = host
        self._url = url

    def downgrade(self, revision: str) -> None:
        """Leave the tables as that version had them."""
        config = Config()
        config.set_main_option("script_location", str(Path(database_module.__file__).parent / "migrations"))
        with self._engine().begin() as connection:
            config.attributes["connection"] = connection
            command.downgrade(config, revision)

    def mark(self, revision: str) -> None:
        """Have the database say that it is of that version."""
        with self._engine().begin() as connection:
            connection.execute(sa.text("update alembic_version set version_num = :revision"), {"revision": revision})

    def wherry(self, *words: str) -> str:
        ended = self.host.wherry(*words)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def _engine(self) -> sa.Engine:
        return sa.create_engine(self._url, poolclass=sa.NullPool)


@pytest.fixture(params=KINDS)
def disk(request: pytest.FixtureRequest) -> Iterator[Disk]:
    if request.param == "sqlite":
        with elsewhere() as host:
            yield Disk(host, f"sqlite:///{host.service.state_dir / 'wherry.db'}")
    else:
        server: Postgres = request.getfixturevalue("postgres")
        url = server.url(server.create())
        with elsewhere(WHERRY_DATABASE_URL=url.replace("+psycopg", "")) as host:
            yield Disk(host, url)


def test_what_an_earlier_version_left_is_there_and_a_later_versions_is_refused(disk: Disk, tmp_path: Path) -> None:
    service = disk.host.service
    call_id = json.loads(
        disk.wherry("run", "--quiet", "--detach", str(DURABLE), "--count", str(COUNT)).splitlines()[-1]
    )
    disk.wherry("secret", "create", "kept", "WORD=s3cret")
    (tmp_path / "note").write_text("in a volume")
    disk.wherry("volume", "create", "kept")
    disk.wherry("volume", "put", "kept", str(tmp_path / "note"))
    disk.wherry("environment", "create", "kept")
    # While its inputs run: some have ended, some wait.
    service.stop()

    disk.downgrade(EARLIER)
    disk.host.start()
    assert f"database brought from revision {EARLIER} to {HEAD}" in service.log()
    ended = disk.host.program(
        f"import runpy, sys; sys.argv[1:] = [{call_id!r}]; runpy.run_path({str(DURABLE)!r}, run_name='__main__')"
    )
    results, numbers, items = json.loads(ended)
    assert results == [number * number for number in range(COUNT)]
    assert (numbers, items) == (list(range(COUNT)), ["a", "b", "c"])
    said = disk.wherry(
        "shell", "--no-pty", "--secret", "kept", "--volume", "kept", "-c", "sh -c 'echo $WORD; cat /mnt/kept/note'"
    )
    assert said.split("\n")[:2] == ["s3cret", "in a volume"]
    assert "kept" in [row["name"] for row in json.loads(disk.wherry("environment", "list", "--json"))]
    # What is new works on it.
    assert json.loads(disk.wherry("deploy", str(DURABLE), "--json"))["version"] == 1
    assert "Traceback" not in service.log()
    service.stop()

    disk.mark("9999")
    line = [sys.executable, "-m", "wherry_service", "--state-dir", str(service.state_dir)]
    environment = disk.host.environment
    refused = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 1
    assert f"the database is at revision 9999, this Wherry knows {HEAD}" in refused.stderr
    assert "Traceback" not in refused.stderr
    # As somebody sees it who goes back to an older version and lets the command line start the service.
    seen = disk.host.wherry("app", "list")
    assert seen.returncode != 0
    assert "it was used by a newer Wherry; install that version" in seen.stdout + seen.stderr
    disk.mark(HEAD)
    disk.host.start()
    assert [row["name"] for row in json.loads(disk.wherry("app", "list", "--json"))].count("durable") >= 1
