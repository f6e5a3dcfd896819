"""What ends `wherry run` ends its containers."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.service import OwnService
from tests.waiting import wait_until

PROGRAM = """
import time
import wherry

app = wherry.App("ends")


@app.function()
def long():
    print("begun", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def hangups_count() -> Iterator[None]:
    """Whoever runs the tests may have SIGHUP ignored, as nohup does: then the programs here would have it so, too."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_a_signal_ends_the_app_at_once(
    service: OwnService, environment: dict[str, str], tmp_path: Path, number: int, code: int
) -> None:
    program = tmp_path / "ends.py"
    program.write_text(PROGRAM)
    command = [sys.executable, "-m", "wherry.cli.main", "run", "-q", str(program)]
    before = {one["Id"] for one in service.containers()}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "begun\n"
        run.send_signal(number)
        _, said = run.communicate(timeout=20)
    assert (run.returncode, said) == (code, "Stopped.\n")
    # What has the app's container knows of the end by then: nobody waits for a client to come back.
    wait_until(lambda: {one["Id"] for one in service.containers()} <= before, "its container is gone", 4)
