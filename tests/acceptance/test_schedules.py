"""Functions that run by the clock, in a service that is killed; environments on the command line."""

import itertools
import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import wherry
from tests.acceptance.service import OwnService
from tests.waiting import wait_until
from wherry.exception import NotFoundError


def command(*words: str, fails: bool = False, env: dict[str, str] | None = None) -> str:
    """Run `wherry`; return what it printed: on both streams where it fails, or without --json."""
    done = subprocess.run(
        [sys.executable, "-m", "wherry.cli.main", *words], capture_output=True, text=True, check=False, env=env
    )
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout + ("" if "--json" in words else done.stderr)


def rows(service: OwnService, query: str, *values: object) -> list[Any]:
    """Read the service's database."""
    connection = sqlite3.connect(service.state_dir / "wherry.db", timeout=10)
    with connection:
        found = connection.execute(query, values).fetchall()
    connection.close()
    return found


def kill(service: OwnService) -> None:
    """Kill the service, and see another begin: a client, ours or this command, starts it."""
    killed = service.pid
    service.signal(signal.SIGKILL)
    wait_until(lambda: service.holder != killed, "the service is gone")
    command("server", "start")


def ticks(service: OwnService, function_id: str) -> list[tuple[int, str]]:
    """The ticks that were run, with their calls."""
    query = "select tick_ms, call_id from schedule_runs where function_id = ? and asked = '' order by tick_ms"
    return rows(service, query, function_id)


@pytest.fixture(scope="module")
def app_id(service: OwnService) -> Iterator[str]:
    """The app of `apps.schedules`, deployed."""
    from tests.acceptance.apps import schedules

    with schedules.app.run(detach=True):
        # Only deployed apps run by the clock.
        assert json.loads(command("schedule", "list", "--json")) == []
    app_id = schedules.app.deploy().app_id
    assert app_id is not None
    yield app_id
    command("app", "stop", app_id)


def test_b61_each_tick_is_run_once_also_when_the_service_is_killed_between(service: OwnService, app_id: str) -> None:
    from tests.acceptance.apps import schedules

    listed = {one["function"]: one for one in json.loads(command("schedule", "list", "--json"))}
    function_id = listed["tick"]["function_id"]
    items = "select count(*) from queue_items"
    for _ in range(4):
        before = rows(service, items)[0][0]
        # What it put is on disk, and its answer is on its way: killed now, the service may have read that, and lost it.
        wait_until(lambda before=before: rows(service, items)[0][0] >= before + 2, "it ran twice", every_s=0.0005)
        kill(service)
    wait_until(lambda: len(ticks(service, function_id)) >= 8, "it ran on")
    command("schedule", "pause", "schedules/tick")

    runs = ticks(service, function_id)
    moments = [tick for tick, _ in runs]
    between = [later - tick for tick, later in itertools.pairwise(moments)]
    # While it was down some may have been missed; of those it ran the last.
    assert all(span > 0 and span % 1000 == 0 for span in between)
    assert sum(span > 1000 for span in between) <= 4
    done = "select count(*) from inputs where function_id = ? and finished_at_ms = 0"
    wait_until(lambda: rows(service, done, function_id)[0][0] == 0, "all have ended")
    executed = schedules.ran.get_many(1000, block=False)
    assert sorted(executed) == sorted(call_id for _, call_id in runs)


def test_schedules_are_listed_run_paused_and_resumed(service: OwnService, app_id: str) -> None:
    text = command("schedule", "list")
    assert "schedules/yearly" in text
    assert "Cron('0 0 1 1 *', timezone='Europe/Berlin')" in text
    assert "Period(seconds=1)" in text

    made = json.loads(command("schedule", "run", "yearly", "--json"))
    assert made["last"]["asked_for"] is True

    def last() -> Any:
        (found,) = [one for one in json.loads(command("schedule", "list", "--json")) if one["function"] == "yearly"]
        return found if found["last"]["state"] != "running" else None

    info = wait_until(last, "it has ended")
    assert info["last"]["call_id"] == made["last"]["call_id"]
    assert (info["last"]["state"], info["last"]["error"]) == ("failed", "ValueError: no year")
    assert len(info["next"]) == 3
    assert "failed (manual): ValueError: no year" in command("schedule", "list")
    log = ("app", "logs", app_id, "--call", made["last"]["call_id"])
    wait_until(lambda: "ValueError: no year" in command(*log), "its traceback is in the log")

    assert "is paused. To undo this: wherry schedule resume schedules/yearly" in command("schedule", "pause", "yearly")
    assert json.loads(command("schedule", "pause", "schedules/yearly", "--json"))["next"] == []
    assert "runs next at" in command("schedule", "resume", info["function_id"])
    said = command("schedule", "run", "schedules/yaerly", fails=True)
    assert "no function 'schedules/yaerly' with a schedule in environment 'main'; did you mean" in said
    assert "'schedules/yearly'" in said


def test_an_environment_is_made_used_renamed_and_deleted(service: OwnService, environment: dict[str, str]) -> None:
    assert "Use it with --env dev" in command("environment", "create", "dev")
    command("secret", "create", "s-of-dev", "A=1", "--env", "dev")
    assert [one["name"] for one in json.loads(command("secret", "list", "--env", "dev", "--json"))] == ["s-of-dev"]
    assert "s-of-dev" not in [one["name"] for one in json.loads(command("secret", "list", "--json"))]
    found = {one["name"]: one for one in json.loads(command("environment", "list", "--json"))}
    assert (found["dev"]["objects"], found["main"]["current"]) == (1, True)

    assert "no environment 'dve': did you mean 'dev'?" in command("app", "list", "--env", "dve", fails=True)
    mistyped = dict(environment, WHERRY_ENVIRONMENT="dve")
    hello = ("run", "tests/acceptance/apps/short.py::hello", "--name", "x")
    assert "did you mean 'dev'?" in command(*hello, fails=True, env=mistyped)
    with pytest.raises(NotFoundError, match="no environment 'dve': did you mean 'dev'"):
        wherry.Dict.lookup("d", environment_name="dve")

    assert "is called test now" in command("environment", "rename", "dev", "test")
    assert [one["name"] for one in json.loads(command("secret", "list", "--env", "test", "--json"))] == ["s-of-dev"]
    said = command("environment", "delete", "test", fails=True)
    assert "Delete environment test with 1 object? This can't be undone. There is no terminal to ask on" in said
    assert "Deleted environment test, with 1 object" in command("environment", "delete", "test", "--yes")
    said = command("environment", "delete", "main", "--yes", "--force", fails=True)
    assert "environment main can't be deleted" in said
