"""Two minutes of `./dev chaos`: its faults come from a fixed seed, and every promise has to hold."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import wait_until

CHECKOUT = Path(__file__).parents[2]
SEED = "two minutes"


def started(*options: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "chaos", "--seed", SEED, *options]
    return subprocess.Popen(
        command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


@pytest.mark.timeout(300)
def test_nothing_is_lost_in_a_short_campaign(tmp_path: Path) -> None:
    process = started("--minutes", "1.25", "--json", str(tmp_path / "figures.json"))
    table, said = process.communicate()
    assert process.returncode == 0, f"{said}\n{table}"
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["holds"]
    assert sum(figures["faults"].values()) >= 15
    # The load was one: no promise holds because nobody asked.
    for name in ("maps", "spawned", "generators", "queues", "dicts", "volumes", "web", "sandboxes", "schedules"):
        assert not figures["invariants"][name]["found"].startswith("0 "), figures["invariants"][name]


@pytest.mark.timeout(180)
def test_ctrl_c_ends_it_with_what_was_seen_and_leaves_nothing() -> None:
    before = set(Path("/tmp").glob("chaos-*"))
    process = started("--minutes", "30")
    assert process.stderr is not None
    for line in process.stderr:
        if "killed" in line or "stopped" in line:
            break
    process.send_signal(signal.SIGINT)
    table, _ = process.communicate()
    assert "| invariant | result |" in table
    assert process.returncode in (0, 1)
    wait_until(lambda: set(Path("/tmp").glob("chaos-*")) == before, "its folders are gone")
    assert "chaos" not in Path("/proc/mounts").read_text()
    assert not os.path.exists(f"/proc/{process.pid}")
