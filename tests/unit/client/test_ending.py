"""Signals that end a command."""

import os
import signal
import subprocess
import sys

import pytest

from wherry.cli._ending import ends_as_ctrl_c

_PROGRAM = """
import os, signal, sys, time
from wherry.cli._ending import ends_as_ctrl_c
# Whoever runs the tests may have it ignored, as nohup does.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
{before}
with ends_as_ctrl_c() as ending:
    try:
        {within}
        print("ready", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        print("stopped", flush=True)
        sys.exit(ending.code({code}))
"""


def _run(number: int, before: str = "", within: str = "pass", code: int = 130) -> tuple[int, str]:
    program = _PROGRAM.format(before=before, within=within, code=code)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        before_ready = list(iter(process.stdout.readline, "ready\n"))
        process.send_signal(number)
        said = "".join(before_ready) + process.stdout.read()
    return process.returncode, said


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_it_is_stopped_in_order(number: int, code: int) -> None:
    assert _run(number) == (code, "stopped\n")


def test_a_background_job_of_a_shell_ends_too() -> None:
    assert _run(signal.SIGTERM, "signal.signal(signal.SIGINT, signal.SIG_IGN)") == (143, "stopped\n")


def test_what_ends_well_has_ended_well() -> None:
    assert _run(signal.SIGTERM, code=0) == (0, "stopped\n")


def test_what_is_ignored_stays_so() -> None:
    before = "signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    within = "os.kill(os.getpid(), signal.SIGHUP); print('still here', flush=True)"
    assert _run(signal.SIGTERM, before, within) == (143, "still here\nstopped\n")


def test_a_forked_child_ends_as_ever() -> None:
    with ends_as_ctrl_c():
        reading, writing = os.pipe()
        pid = os.fork()
        if not pid:
            os.write(writing, b"ready")
            signal.pause()
            os._exit(7)
        os.read(reading, 5)
        os.kill(pid, signal.SIGTERM)
        _, status = os.waitpid(pid, 0)
    assert os.WTERMSIG(status) == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
