"""What ends an exec ends all of it: what has just begun, and what has other parents by now."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.acceptance.service import OwnService
from tests.waiting import wait_until
from wherry import Sandbox

_LISTED = "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline; echo; done 2>/dev/null"
_TWICE_FORKED = """
import os, time
if not os.fork():
    os.setsid()
    if not os.fork():
        os.execvp("sleep", ["sleep", "{seconds}"])
    os._exit(0)
os.wait()
time.sleep(60)
"""
# What leaves its parents behind, each as an argument vector.
_DETACHED = {
    "put aside": ["sh", "-c", "(sleep {seconds} >/dev/null 2>&1 &); sleep 60"],
    "in a session of its own": ["sh", "-c", "setsid sleep {seconds} & sleep 60"],
    "without a trace": ["sh", "-c", "(env -i setsid sleep {seconds} >/dev/null 2>&1 &); sleep 60"],
    "in a loop": ["sh", "-c", "while sleep 0.02; do (env -i sleep {seconds} >/dev/null 2>&1 &); done"],
    "forked twice": ["python3", "-c", _TWICE_FORKED],
}


@pytest.fixture(scope="module")
def box(service: OwnService) -> Iterator[Sandbox]:
    with Sandbox.create(block_network=True, timeout=300) as sandbox:
        yield sandbox


def _runs(box: Sandbox, seconds: int) -> bool:
    listed: str = box.exec("sh", "-c", _LISTED).stdout.read()
    return any(line.startswith(f"sleep {seconds} ") for line in listed.splitlines())


@pytest.mark.parametrize("ends", ["kill", "timeout"])
@pytest.mark.parametrize("how", _DETACHED)
def test_b60_what_has_left_its_parents_ends_with_its_exec(box: Sandbox, how: str, ends: str) -> None:
    seconds = 7000 + 10 * list(_DETACHED).index(how) + (ends == "kill")
    command = [part.replace("{seconds}", str(seconds)) for part in _DETACHED[how]]
    process = box.exec(*command, timeout=3 if ends == "timeout" else None)
    wait_until(lambda: _runs(box, seconds), "it runs")
    if ends == "kill":
        process.kill()
    assert process.wait() == (137 if ends == "kill" else 124)
    assert not _runs(box, seconds)


@pytest.mark.parametrize("ends", ["kill", "timeout"])
def test_b60_what_has_just_begun_ends(box: Sandbox, ends: str) -> None:
    seconds = 7100 + (ends == "kill")
    for _ in range(5):
        process = box.exec("sleep", str(seconds), timeout=0.1 if ends == "timeout" else None)
        if ends == "kill":
            process.kill()
        assert process.wait() == (137 if ends == "kill" else 124)
    assert not _runs(box, seconds)


def test_a_terminal_has_a_size(box: Sandbox) -> None:
    # It has it a moment after it has begun.
    process = box.exec("sh", "-c", "until stty size | grep -v '^0 0'; do :; done", pty=True, timeout=20)
    assert process.stdout.read() == "24 80\r\n"


def test_a_terminal_whose_client_goes_at_once_ends(box: Sandbox, environment: dict[str, str]) -> None:
    program = "import os, sys, wherry; wherry.Sandbox.from_id(sys.argv[1]).exec('sleep', '7200', pty=True); os._exit(0)"
    for _ in range(3):
        subprocess.run([sys.executable, "-c", program, box.object_id], env=environment, check=True, timeout=60)
    wait_until(lambda: not _runs(box, 7200), "none of them runs on")
