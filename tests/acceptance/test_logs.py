"""Logs, as the command line shows them, of real containers."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pexpect
import pytest

from tests.acceptance.conftest import RunApp
from tests.acceptance.service import OwnService
from wherry.exception import RemoteError

COMMAND = [sys.executable, "-m", "wherry.cli.main"]


@pytest.fixture(scope="module")
def talk(run_app: RunApp) -> Iterator[ModuleType]:
    from tests.acceptance.apps import talk

    with run_app(talk.app):
        yield talk


def said(*args: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*COMMAND, *args], capture_output=True, text=True, timeout=60, check=True)


def lines_of(*args: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said("app", "logs", *args, "--json").stdout.splitlines()]


@contextmanager
def following(*args: str) -> Iterator["Callable[[str], str]"]:
    """Run `wherry app logs -f`, for a minute at most; yields what waits for a line that begins so, and returns it."""
    process = subprocess.Popen([*COMMAND, "app", "logs", "-f", *args], stdout=subprocess.PIPE, text=True, bufsize=1)
    assert process.stdout is not None
    stdout = process.stdout
    end = threading.Timer(60, process.kill)
    end.start()

    def until(beginning: str) -> str:
        for line in stdout:
            if line.startswith(beginning):
                return line
        raise AssertionError(f"no line begins with {beginning!r}; it ended with code {process.wait()}")

    try:
        yield until
    finally:
        end.cancel()
        process.terminate()
        process.wait()
        stdout.close()


def test_concurrent_inputs_are_told_apart_and_the_streams_too(talk: ModuleType) -> None:
    calls = [talk.talk.spawn(name) for name in ("one", "two", "three")]
    assert [call.get(timeout=60) for call in calls] == ["one", "two", "three"]
    shown = said("app", "logs", "talk", "--call", calls[1].object_id)
    assert shown.stdout.splitlines() == [f"two {i}" for i in range(3)]
    assert shown.stderr.splitlines() == [f"two {i} to stderr" for i in range(3)]
    lines = lines_of("talk", "--function", "talk")
    assert len({line["container_id"] for line in lines}) == 1
    assert len([line for line in lines if line["text"] == "from a subprocess"]) == 3


def test_lines_reach_the_terminal_within_100_ms(talk: ModuleType) -> None:
    call = talk.tick.spawn(60, 0.1)
    with following("talk", "--call", call.object_id) as until:
        until("tick 0")
        late = [time.time() - float(until(f"tick {number}").split()[2]) for number in range(1, 30)]
        call.cancel()
    # Of the latter half, which came live, most: the machine may be busy with something else.
    assert sorted(late[15:])[7] < 0.1


def test_b65_following_and_masking_go_on_when_the_service_was_killed(talk: ModuleType, service: OwnService) -> None:
    call = talk.tick.spawn(300, 0.02)
    with following("talk", "--call", call.object_id) as until:
        until("tick 0")
        service.signal(signal.SIGKILL)
        assert call.get(timeout=60) == 300
        until("tick 299")
    lines = [line["text"].split() for line in lines_of("talk", "--call", call.object_id)]
    assert {line[3] for line in lines} == {"****"}
    numbers = [int(line[1]) for line in lines]
    assert numbers == sorted(set(numbers)), "lines came twice"
    assert numbers[-1] == 299


def test_a_crash_tells_its_last_words(talk: ModuleType) -> None:
    with pytest.raises(RemoteError):
        talk.die.remote("crash")
    with pytest.raises(ValueError, match="no good"):
        talk.die.remote("raise")
    with pytest.raises(RemoteError):
        talk.hoard.remote()
    crash = [line["text"] for line in lines_of("talk", "--function", "die")]
    assert "about to crash" in crash
    assert "Fatal Python error: Segmentation fault" in crash
    assert any(text.endswith("was killed by signal 11 (SIGSEGV)") for text in crash)
    assert crash[-1] == "ValueError: no good"
    hoard = lines_of("talk", "--function", "hoard")
    assert hoard[0]["text"] == "about to hoard"
    assert hoard[-1]["stream"] == "system"
    assert hoard[-1]["text"].endswith("ran out of memory at its limit of 96 MiB")
    # The container is gone, its log is not.
    assert "about to hoard" in said("container", "logs", hoard[-1]["container_id"]).stdout


def test_on_a_terminal_stderr_is_in_colour_and_ctrl_c_ends_it(talk: ModuleType) -> None:
    talk.talk.remote("coloured")
    terminal = pexpect.spawn(COMMAND[0], [*COMMAND[1:], "app", "logs", "-f", "talk"], timeout=30, encoding="utf-8")
    terminal.expect("\r\ncoloured 2\r\n")
    terminal.expect_exact("\x1b[33mcoloured 2 to stderr\x1b[0m")
    terminal.sendintr()
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 130


def test_b68_an_app_that_will_not_stop_is_stopped_and_its_log_stays(service: OwnService) -> None:
    from tests.acceptance.apps import talk

    with talk.stubborn.run():
        app_id = talk.stubborn.app_id
        assert app_id is not None
        with following(app_id) as until:
            talk.linger.spawn()
            until("lingering")
            stopped = said("app", "stop", app_id)
            # It ends by itself.
            with pytest.raises(AssertionError, match="it ended with code 0"):
                until("for ever")
    assert stopped.stdout == f"Stopped {app_id} and 1 container.\n"
    assert service.containers(app=app_id) == []
    assert said("app", "logs", "stubborn").stdout == "lingering\n"


def test_what_is_wrong_is_said_in_one_line(service: OwnService) -> None:
    for code, args, message in (
        (1, ("app", "logs", "no-such-app"), "Error: no app named 'no-such-app' was ever run in environment 'main'"),
        (
            1,
            ("container", "logs", "co-1"),
            "Error: no running container has an id that begins with co-1; `wherry container list` shows them",
        ),
        (2, ("app", "logs", "talk", "--since", "noon"), "Error: --since 'noon' is no time"),
    ):
        answer = subprocess.run([*COMMAND, *args], capture_output=True, text=True, timeout=60, check=False)
        assert answer.returncode == code
        *usage, line = answer.stderr.splitlines()
        assert line.startswith(message)
        assert [*usage[:1], *usage[2:]] == (["Usage: wherry app logs [OPTIONS] APP", ""] if code == 2 else [])
