"""What a newcomer does, on machines that have nothing but Python and git: the commands of the README."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.machine import Machine

pytestmark = [
    pytest.mark.timeout(1200),
    pytest.mark.skipif(
        os.geteuid() != 0,
        reason="only root can make a machine's file system; whoever runs this suite is asked to be root",
    ),
]

CHECKOUT = Path(__file__).parents[2]
HOME = "/root/wherry"


@pytest.fixture(params=["bookworm", "trixie"])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Machine]:
    """A machine with a fresh clone of this checkout's last commit."""
    bundle = tmp_path / "wherry.bundle"
    subprocess.run(["git", "-C", str(CHECKOUT), "bundle", "create", "--quiet", str(bundle), "HEAD"], check=True)
    with Machine(request.param, ["ca-certificates", "git", "python3"]) as machine:
        machine.copy_in(bundle, "/root/wherry.bundle")
        cloned = machine.run("git", "clone", "--quiet", "/root/wherry.bundle", HOME)
        assert cloned.returncode == 0, cloned.stdout
        yield machine


def test_from_nothing_to_the_demo_and_back(machine: Machine) -> None:
    # Someone who may install nothing is told what to install, and nothing is begun.
    assert machine.run("cp", "-r", HOME, "/srv/wherry").returncode == 0
    refused = machine.run("./dev", "setup", cwd="/srv/wherry", user="nobody")
    assert refused.returncode == 1
    assert re.search(r"missing on this system: docker\.io iptables.* python3\S*-venv", refused.stdout)
    assert "apt-get install" in refused.stdout
    assert "Traceback" not in refused.stdout

    said = succeed(machine, "setup")
    for step in (
        "install debootstrap docker.io",
        "start dockerd",
        "make .venv",
        "install wherry",
        "make the base image",
    ):
        assert re.search(rf"^✓ {re.escape(step)}.* \(\d+\.\d s\)$", said, re.MULTILINE), said
    assert all(line.startswith("✓ ") for line in said.splitlines()), said

    # The second time there is nothing to do, and nothing to say.
    timed = machine.run("bash", "-c", "TIMEFORMAT=%R; time ./dev setup", cwd=HOME)
    assert float(timed.stdout) < 3, timed.stdout

    said = succeed(machine, "demo")
    assert re.search(r"\d{3} modules in \d+\.\d\d s by [1-9] containers", said), said
    assert re.search(r"[\d,]+ warm calls per second", said), said

    said = succeed(machine, "lint")
    assert said.splitlines()[-1] == "✓ lint"
    said = succeed(machine, "test", "unit")
    assert re.search(r"=+ \d+ passed in ", said), said

    succeed(machine, "clean")
    running = machine.run("sh", "-c", "cat /proc/[0-9]*/cmdline").stdout
    assert "wherry_service" not in running
    assert "dockerd" not in running
    assert machine.run("git", "status", "--short", "--ignored", cwd=HOME).stdout == ""


@pytest.mark.timeout(2400)
@pytest.mark.parametrize("machine", ["bookworm"], indirect=True)
def test_a_user_who_may_use_docker_needs_no_root(machine: Machine) -> None:
    # What root leaves: an engine, and neither a base nor what makes one.
    succeed(machine, "setup")
    gone = (
        "docker rmi wherry/base:bookworm && apt-get purge -y -qq debootstrap && useradd --create-home --groups docker u"
    )
    assert (done := machine.run("sh", "-c", gone)).returncode == 0, done.stdout
    clone = "mv /root/wherry.bundle /home/u/ && chown u /home/u/wherry.bundle"
    assert machine.run("sh", "-c", clone).returncode == 0
    home = "/home/u/wherry"
    assert (
        machine.run("git", "clone", "--quiet", "/home/u/wherry.bundle", home, cwd="/home/u", user="u").returncode == 0
    )

    assert machine.run("sh", "-c", "command -v debootstrap").returncode != 0
    said = succeed(machine, "demo", cwd=home, user="u")
    assert re.search(r"^✓ make the base image \(\d+\.\d s\)$", said, re.MULTILINE), said
    assert re.search(r"^✓ wherry/base:bookworm was made of .*; images.base chooses another way", said, re.MULTILINE), (
        said
    )
    assert re.search(r"\d{3} modules in \d+\.\d\d s by [1-9] containers", said), said
    said = succeed(machine, "setup", cwd=home, user="u")
    assert said == ""


def succeed(machine: Machine, *arguments: str, cwd: str = HOME, user: str = "root") -> str:
    """Run ./dev, and return what it said."""
    done = machine.run("./dev", *arguments, cwd=cwd, user=user)
    assert done.returncode == 0, done.stdout
    return done.stdout
