"""An engine that is restarted, and a firewall that is flushed: containers are kept from the host as before."""

import os
import subprocess

import pytest

from tests.hostile.conftest import running_service
from tests.hostile.places import sandbox_place
from tests.own_engine import OwnEngine
from tests.waiting import wait_until


def rules(engine: OwnEngine, *arguments: str) -> str:
    """Ask iptables in the engine's network: both back ends, whichever the kernel has."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    said = ""
    for program in ("iptables-legacy", "iptables-nft"):
        ran = subprocess.run(
            [*engine.command_prefix, program, "-w", *arguments],
            env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        said += ran.stdout
    return said


def test_rules_and_network_are_made_again(runtime: str) -> None:
    if runtime:
        pytest.skip("the engine lays the network, whatever runs the containers: the default runtime's run tests it")
    with OwnEngine({}) as engine, running_service(engine, {}) as service:
        hooks = (f"-A INPUT -i wh-{service.instance} -j WHERRY-IN-", f"-A DOCKER-USER -i wh-{service.instance} -j ")
        with sandbox_place() as place:
            assert place.attack("true").value == [0, ""]
        assert all(hook in rules(engine, "-S") for hook in hooks)

        engine.stop()
        for chain in ("INPUT", "FORWARD", "DOCKER-USER"):
            rules(engine, "-F", chain)
        assert not any(hook in rules(engine, "-S") for hook in hooks)
        engine.start()

        # As soon as the engine is heard again, not at the next look around.
        wait_until(lambda: all(hook in rules(engine, "-S") for hook in hooks), "the rules are there again", 15)
        assert "-d 169.254.0.0/16 -j REJECT" in rules(engine, "-S")
        with sandbox_place() as place:
            assert place.attack("true").value == [0, ""]
        assert "Traceback" not in service.log()
