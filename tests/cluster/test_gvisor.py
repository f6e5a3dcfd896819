"""The sandboxes' acceptance tests once more, with gVisor as the runtime, on a machine whose engine knows it."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.machine import Machine
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        os.geteuid() != 0,
        reason="only root can make a machine's file system; whoever runs this suite is asked to be root",
    ),
]

CHECKOUT = Path(__file__).parents[2]
PACKAGES = (
    "ca-certificates", "docker.io", "docker-cli", "docker-buildx", "iptables", "iproute2", "python3", "runsc",
)  # fmt: skip
# As docs/sandboxes.md has it, and what a machine within a machine needs: no cgroups of its own, no network stack.
ARGUMENTS = ["--platform=ptrace", "--overlay2=none", "--ignore-cgroups", "--host-uds=all", "--network=none"]
BASE = "wherry/base:bookworm"


@pytest.fixture
def engine() -> Iterator[str]:
    """The address of an engine with gVisor, on a machine of its own, that has this host's base image."""
    directory = Path(tempfile.mkdtemp(prefix="gv-"))
    address = f"unix://{directory}/docker.sock"
    config = {"runtimes": {"runsc": {"path": "/usr/bin/runsc", "runtimeArgs": ARGUMENTS}}}
    try:
        (directory / "daemon.json").write_text(json.dumps(config))
        with Machine("trixie", PACKAGES, [f"{directory}:/run/engine"]) as machine:
            start = (
                "update-alternatives --set iptables /usr/sbin/iptables-legacy; "
                "setsid dockerd --config-file /run/engine/daemon.json -H unix:///run/engine/docker.sock "
                ">/var/log/dockerd.log 2>&1 &"
            )
            assert machine.run("sh", "-c", start).returncode == 0
            wait_until(lambda: docker(address, "info").returncode == 0, "the machine's engine answers", 60)
            if docker("", "image", "inspect", BASE).returncode == 0:
                with subprocess.Popen(["docker", "save", BASE], stdout=subprocess.PIPE) as saved:
                    subprocess.run(["docker", "-H", address, "load"], check=True, stdin=saved.stdout)
            yield address
    finally:
        shutil.rmtree(directory)


def docker(address: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Ask an engine; "" is this host's."""
    host = ["-H", address] if address else []
    return subprocess.run(["docker", *host, *arguments], capture_output=True, text=True, check=False)


def test_sandboxes_under_gvisor(engine: str) -> None:
    shown = docker(engine, "run", "--rm", "--runtime=runsc", "--network=none", BASE, "dmesg")
    assert "Starting gVisor" in shown.stdout, shown.stderr
    environment = dict(os.environ, DOCKER_HOST=engine, WHERRY_SANDBOX_RUNTIME="runsc")
    command = [sys.executable, "-m", "pytest", "-q", "tests/acceptance/test_sandboxes.py"]
    ran = subprocess.run(command, env=environment, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-8000:]
