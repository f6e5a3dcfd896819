"""Sandboxes that are paused: nothing in them goes on, and they can be resumed or ended."""

import subprocess
import sys

import pytest

from tests.acceptance.service import OwnService
from tests.waiting import wait_until
from wherry import Sandbox
from wherry.exception import ExecutionError, SandboxTimeoutError


def test_a_paused_sandbox_stands_still_and_can_be_ended(service: OwnService) -> None:
    count = "import time\nfor number in range(10**6): print(number, flush=True); time.sleep(0.01)"
    with Sandbox.create("python3", "-u", "-c", count, timeout=60, block_network=True) as sandbox:
        lines = iter(sandbox.stdout)
        assert [next(lines) for _ in range(3)] == ["0\n", "1\n", "2\n"]
        sandbox.pause()
        sandbox.pause()
        with pytest.raises(ExecutionError, match="is paused: resume it first"):
            sandbox.exec("true")
        told = _num_lines(sandbox)
        assert sandbox.poll() is None
        assert _num_lines(sandbox) == told
        sandbox.resume()
        wait_until(lambda: _num_lines(sandbox) > told, "it counts on")
        assert sandbox.exec("true", timeout=10).wait() == 0
        sandbox.pause()
        sandbox.terminate()
        assert sandbox.returncode == 137


def test_a_paused_sandbox_is_not_idle(service: OwnService) -> None:
    with Sandbox.create(timeout=5, idle_timeout=1, block_network=True) as sandbox:
        sandbox.pause()
        with pytest.raises(SandboxTimeoutError, match="lived longer than its timeout of 5 s"):
            sandbox.wait()


def _num_lines(sandbox: Sandbox) -> int:
    """Return how many lines the engine has of what its command printed."""
    command = [sys.executable, "-m", "wherry.cli.main", "sandbox", "logs", sandbox.object_id]
    return len(subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.splitlines())
