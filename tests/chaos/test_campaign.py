"""Two minutes of `./dev chaos`: its faults come from a fixed seed, and every promise has to hold."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
SEED = "two minutes"
FAULTS_S = 60.0


@pytest.mark.timeout(300)
def test_nothing_is_lost_in_a_short_campaign_that_is_ended_by_ctrl_c(tmp_path: Path) -> None:
    # Short: the path of a Unix socket has 107 characters at most.
    place = tempfile.mkdtemp(prefix="t-")
    command = [sys.executable, "-m", "chaos", "--minutes", "30", "--seed", SEED, "--json", str(tmp_path / "json")]
    process = subprocess.Popen(
        [*command, "--keep", str(tmp_path / "kept")],
        cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "TMPDIR": place},
    )  # fmt: skip
    said: list[str] = []
    begun: float | None = None
    assert process.stderr is not None
    for line in process.stderr:
        said.append(line)
        seconds = float(line.split()[0]) if " s  " in line else 0.0
        if "load is on" in line:
            begun = seconds
        elif begun is not None and seconds > begun + FAULTS_S:
            process.send_signal(signal.SIGINT)
            break
    table, rest = process.communicate()

    assert process.returncode == 0, "".join(said) + rest + table
    figures = json.loads((tmp_path / "json").read_text())
    assert figures["holds"]
    assert sum(figures["faults"].values()) >= 10
    # There was a load: no promise holds because nobody asked.
    for name in ("maps", "spawned", "generators", "queues", "dicts", "volumes", "web", "sandboxes", "schedules"):
        assert not figures["invariants"][name]["found"].startswith("0 "), figures["invariants"][name]
    assert "| invariant | result |" in table
    # It leaves nothing.
    assert os.listdir(place) == []
    os.rmdir(place)
