"""A whole service on PostgreSQL: what it has acknowledged outlives its own death and that of the database."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.service import OwnService
from tests.databases import Postgres
from tests.waiting import wait_until

DURABLE = Path(__file__).parent.parent / "acceptance" / "apps" / "durable.py"
COUNT = 40


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.close()


@pytest.fixture
def on_postgres(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[OwnService]:
    """A service of the test's own; child processes of the test are its clients."""
    own = Path(tempfile.mkdtemp(prefix="wherry-"))
    monkeypatch.setenv("WHERRY_STATE_DIR", str(own))
    monkeypatch.setenv("WHERRY_DATABASE_URL", server.url(server.create()).replace("+psycopg", ""))
    service = OwnService(own)
    service.start()
    yield service
    service.stop()
    shutil.rmtree(own)


@pytest.fixture
def state_dir() -> Iterator[Path]:
    """A directory of another service, short: the path of a Unix socket has at most 107 characters."""
    folder = Path(tempfile.mkdtemp(prefix="wherry-"))
    yield folder
    shutil.rmtree(folder)


def client(*command: str) -> str:
    ended = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=100, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_b66_nothing_acknowledged_is_lost_when_database_and_service_go_and_come_back(
    on_postgres: OwnService, server: Postgres
) -> None:
    said = client("-m", "wherry.cli.main", "run", "--quiet", "--detach", str(DURABLE), "--count", str(COUNT))
    call_id = json.loads(said.splitlines()[-1])

    # As by a crash, while inputs end: their results have nowhere to go for a moment.
    server.stop(signal.SIGQUIT)
    wait_until(lambda: "the database is away" in on_postgres.log(), "the service has noticed")
    server.start()
    wait_until(lambda: "the database is back" in on_postgres.log(), "the service goes on")

    on_postgres.signal(signal.SIGKILL)
    wait_until(lambda: not on_postgres.is_running, "the service is dead")
    on_postgres.start()

    results, numbers, items = json.loads(client(str(DURABLE), call_id))
    assert results == [number * number for number in range(COUNT)]
    assert numbers == list(range(COUNT))
    assert items == ["a", "b", "c"]
    assert "Traceback" not in on_postgres.log()
    assert not (on_postgres.state_dir / "wherry.db").exists()


def test_a_second_service_on_the_database_is_refused_and_the_first_goes_on(
    on_postgres: OwnService, state_dir: Path
) -> None:
    command = [sys.executable, "-m", "wherry_service", "--state-dir", str(state_dir)]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 1
    assert f"another service works on this database (process {on_postgres.pid} on " in refused.stderr
    assert "Traceback" not in refused.stderr
    assert "running" in client("-m", "wherry.cli.main", "server", "status")


def test_a_service_stops_while_its_database_is_away(on_postgres: OwnService, server: Postgres) -> None:
    server.stop()
    try:
        on_postgres.signal(signal.SIGTERM)
        wait_until(lambda: not on_postgres.is_running, f"the service has stopped\n{on_postgres.log()}", 60)
        assert "Traceback" not in on_postgres.log()
    finally:
        server.start()


def test_without_its_database_a_start_says_so(state_dir: Path) -> None:
    url = f"postgresql://nobody@/nothing?host={state_dir}"
    environment = dict(os.environ, WHERRY_DATABASE_URL=url, WHERRY_DATABASE_PASSWORD="s3cret")
    command = [sys.executable, "-m", "wherry_service", "--state-dir", str(state_dir)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        process.kill()
    assert "the database is away, and waited for:" in said
    assert "s3cret" not in said
