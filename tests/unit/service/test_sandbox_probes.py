"""Probes of sandboxes: asked while somebody waits, until they succeed once."""

import asyncio
import socket
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.clock import run_fast
from tests.fakes.sandbox_node import House
from wherry_proto.messages import SandboxProbe, SandboxState
from wherry_service.engines.engine import EngineError
from wherry_service.errors import InvalidRequest
from wherry_service.node.events import ContainerExit
from wherry_service.sandboxes.probes import listening

TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1
   1: 0100007F:1F91 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 1 1
  sl  local_address                         remote_address                        st tx_queue rx_queue
   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000
 nonsense 1:zz 2 0A
"""


def run(main: Coroutine[Any, Any, None]) -> None:
    run_fast(main)


def test_ports_that_something_listens_at() -> None:
    assert listening(TABLE) == {8080, 80}
    assert listening("") == set()


def test_a_command_is_asked_until_it_succeeds_once(tmp_path: Path) -> None:
    async def main() -> None:
        house = House(tmp_path)
        house.secrets = {"st-1": {"A": "1"}}
        probe = SandboxProbe(exec_args=["test", "-e", "/ready"], interval_ms=200)
        sandbox_id = await house.create(probe=probe, secret_ids=["st-1"])
        assert house.node.commands == [], "nobody has waited yet"
        house.node.answers = [(1, b""), EngineError("away"), (None, b""), (0, b"")]
        loop = asyncio.get_running_loop()
        began = loop.time()
        # Two wait, one asks.
        both = await asyncio.gather(*(house.sandboxes.wait(sandbox_id, 60, until_ready=True) for _ in range(2)))
        assert [info.ready for info in both] == [True, True]
        assert house.node.commands == [(("test", "-e", "/ready"), {"A": "1"})] * 4
        assert 0.6 <= loop.time() - began < 1
        assert (await house.sandboxes.wait(sandbox_id, 60, until_ready=True)).ready
        assert len(house.node.commands) == 4
        await house.sandboxes.close("over")

    run(main())


def test_time_and_ends_are_told(tmp_path: Path) -> None:
    async def main() -> None:
        house = House(tmp_path)
        sandbox_id = await house.create(probe=SandboxProbe(exec_args=["false"], interval_ms=1), idle_timeout_s=1)
        info = await house.sandboxes.wait(sandbox_id, 5, until_ready=True)
        # Whoever waits keeps it from being idle; it is not asked faster than twenty times a second.
        assert (info.ready, info.state) == (False, SandboxState.RUNNING)
        assert len(house.node.commands) <= 101
        waiting = asyncio.ensure_future(house.sandboxes.wait(sandbox_id, 60, until_ready=True))
        await asyncio.sleep(0.1)
        house.node.exit(sandbox_id, ContainerExit(exit_code=3))
        info = await waiting
        assert (info.ready, info.state, info.returncode) == (False, SandboxState.EXITED, 3)
        asked = len(house.node.commands)
        assert (await house.sandboxes.wait(sandbox_id, 60, until_ready=True)).returncode == 3
        assert len(house.node.commands) == asked
        await house.sandboxes.close("over")

    run(main())


def test_a_port_is_reached_from_outside_or_seen_from_inside(tmp_path: Path) -> None:
    async def main() -> None:
        house = House(tmp_path)
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            outside = await house.create(probe=SandboxProbe(tcp_port=port))
            assert (await house.sandboxes.wait(outside, 10, until_ready=True)).ready
            assert house.node.commands == []
        house.node.own_address = ""
        inside = await house.create(probe=SandboxProbe(tcp_port=8080))
        house.node.answers = [(1, b""), (1, TABLE.encode())]
        assert (await house.sandboxes.wait(inside, 10, until_ready=True)).ready
        assert house.node.commands == [(("cat", "/proc/net/tcp", "/proc/net/tcp6"), {})] * 2
        await house.sandboxes.close("over")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("probe", "told"),
    [
        (SandboxProbe(), "either a port or a command"),
        (SandboxProbe(tcp_port=1, exec_args=["true"]), "either a port or a command"),
        (SandboxProbe(tcp_port=70000), "port is 70000: it must be from 1 to 65535"),
        (SandboxProbe(exec_args=["a\0b"]), "NUL"),
    ],
)
def test_a_probe_that_cannot_be_asked_is_refused(tmp_path: Path, probe: SandboxProbe, told: str) -> None:
    async def main() -> None:
        house = House(tmp_path)
        with pytest.raises(InvalidRequest, match=told):
            await house.create(probe=probe)
        without = await house.create()
        with pytest.raises(InvalidRequest, match="has no readiness_probe: give it one when it is created"):
            await house.sandboxes.wait(without, 1, until_ready=True)
        await house.sandboxes.close("over")

    run(main())
