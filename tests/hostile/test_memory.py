"""A container that takes memory without end."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

import wherry
from tests.acceptance.service import OwnService
from tests.hostile.conftest import running_service
from tests.hostile.places import Place, build_place, sandbox_place
from tests.own_engine import OwnEngine

LIMIT_MIB = 160
TOLD = rf"ran out of memory at this server's limit of {LIMIT_MIB} MiB for containers that ask for none"


@pytest.fixture(scope="module", autouse=True)
def service(engine: OwnEngine | None, runtime: str) -> Iterator[OwnService]:
    if runtime == "runsc":
        pytest.skip("gVisor runs without cgroups here, which are what limits memory")
    with running_service(engine, {"WHERRY_CONTAINERS_MEMORY_LIMIT": f"{LIMIT_MIB}MiB"}) as service:
        yield service


def test_who_asks_for_no_limit_has_the_servers(service: OwnService) -> None:
    from tests.hostile import greedy  # its app is made for the service that runs by now

    with greedy.app.run():
        assert greedy.greedy.remote(16) == 16
        with pytest.raises(wherry.exception.RemoteError, match=TOLD):
            greedy.greedy.remote(2 * LIMIT_MIB)
    sandbox = wherry.Sandbox.create("python3", "-c", "x = b'x' * (1 << 29)", image=wherry.Image.debian_slim())
    sandbox.wait(raise_on_termination=False)
    assert sandbox.returncode == 137
    command = [sys.executable, "-m", "wherry.cli.main", "sandbox", "list", "--all", "--json"]
    shown = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert re.match(TOLD, next(row["reason"] for row in shown if row["sandbox_id"] == sandbox.object_id))


def test_a_limit_of_its_own_goes_before_the_servers(service: OwnService) -> None:
    from tests.hostile import greedy

    with greedy.app.run():
        assert greedy.roomy.remote(2 * LIMIT_MIB) == 2 * LIMIT_MIB


def test_no_swap_is_taken_instead(service: OwnService) -> None:
    # What cgroups say, of version 1 or 2: memory and swap together are bounded, or swap by nothing at all.
    with sandbox_place() as place:
        assert _swap(place) in (LIMIT_MIB << 20, 0)


def _swap(place: Place) -> int:
    paths = "/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes /sys/fs/cgroup/memory.swap.max"
    said = place.attack(f"cat {paths} 2>/dev/null || true").value[1].split()
    if not said:
        pytest.skip(
            "this kernel does not account for swap, so it has no limit to look at; memory's own is tested anyway"
        )
    return int(said[0])


def test_a_step_of_a_build_has_it_too(service: OwnService) -> None:
    with build_place() as place:
        # The attack is a process of its own: the kernel ends the largest.
        got = place.attack(_take, 2 * LIMIT_MIB)
        assert (got.error, got.errno) == ("Killed", 9), got


def _take(mib: int) -> int:
    return len([bytearray(b"x" * (1 << 20)) for _ in range(mib)])
