"""`wherry server install` on a system that boots: what was deployed is back after a reboot."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import wherry
from tests.acceptance.elsewhere import Elsewhere, elsewhere
from tests.cluster.booted import Booted
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="a system of its own needs root; the unit's lines are tested without"),
    pytest.mark.skipif(
        sys.base_prefix == "/usr",
        reason="a Python in /usr can't be lent to a system that has a /usr of its own; the unit is tested anyway",
    ),
]

CHECKOUT = Path(__file__).parents[2]
APP = """
import wherry

app = wherry.App("back")


@app.function()
def double(x: int) -> int:
    return 2 * x


@app.function(schedule=wherry.Period(days=1))
def nightly() -> None: ...
"""
CALL = "import wherry; print(wherry.Function.from_name('back', 'double').remote(21))"


@pytest.fixture
def host() -> Iterator[Elsewhere]:
    """A service of this host with an app that is deployed; its state is lent to the system."""
    with elsewhere(WHERRY_NETWORK_ISOLATE="off") as host:
        folder = host.service.state_dir.with_suffix(".app")
        folder.mkdir()
        (folder / "back.py").write_text(APP)
        try:
            deployed = host.wherry("deploy", str(folder / "back.py"))
            assert deployed.returncode == 0, deployed.stdout + deployed.stderr
            yield host
        finally:
            shutil.rmtree(folder)


def test_deployed_apps_and_schedules_are_back_after_a_reboot(host: Elsewhere) -> None:
    state_dir = host.service.state_dir
    host.service.stop()
    # The environment may be another checkout's.
    with Booted(*{CHECKOUT, Path(sys.prefix), Path(wherry.__file__).parents[2]}, state_dir) as system:
        python = ("env", f"WHERRY_STATE_DIR={state_dir}", "WHERRY_NETWORK_ISOLATE=off", sys.executable)

        def run(*words: str) -> str:
            ran = system.run(*python, *words)
            assert ran.returncode == 0, ran.stdout + ran.stderr
            return ran.stdout

        def main_pid() -> str:
            return system.run("systemctl", "show", unit, "-p", "MainPID", "--value").stdout.strip()

        def works() -> None:
            assert run("-c", CALL) == "42\n"
            (schedule,) = json.loads(run("-m", "wherry", "schedule", "list", "--json"))
            assert "nightly" in json.dumps(schedule)

        system.boot()
        told = json.loads(run("-m", "wherry", "server", "install", "--json"))
        assert (told["scope"], told["started"], told["lingers"]) == ("system", True, True)
        unit = told["unit"]
        works()

        system.power_off()
        system.boot()
        # Nobody has typed a command: the socket is there by itself.
        wait_until(
            lambda: host.service.is_running and (state_dir / "local.sock").exists(), "the service has started", 60
        )
        works()

        # One that dies is started again; one that is stopped stays so, until somebody needs it.
        before = main_pid()
        system.run("systemctl", "kill", "--signal=KILL", unit)
        wait_until(lambda: main_pid() not in ("0", before), "systemd has started it again", 30)
        works()
        run("-m", "wherry", "server", "stop")
        assert system.run("systemctl", "is-active", unit).stdout.strip() == "inactive"
        run("-m", "wherry", "server", "start")
        assert system.run("systemctl", "is-active", unit).stdout.strip() == "active"
        run("-m", "wherry", "server", "uninstall")
        run("-m", "wherry", "server", "stop")
        assert system.run("systemctl", "cat", unit).returncode != 0
