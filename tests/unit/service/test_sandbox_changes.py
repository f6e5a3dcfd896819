"""Sandboxes that run on: what they may reach and who reaches them, and those that are paused."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.clock import run_fast
from tests.fakes.sandbox_node import House
from wherry_proto.messages import SandboxInbound, SandboxOutbound, SandboxState
from wherry_service.engines.engine import EngineError
from wherry_service.errors import InvalidRequest, NotFound, Unready
from wherry_service.node.sandbox import FoundSandbox, Outbound


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(main)


def test_a_list_changes_while_it_runs_and_is_kept(tmp_path: Path) -> None:
    async def main() -> None:
        house = House(tmp_path)
        given = SandboxOutbound(networks=["10.0.0.0/8"], domains=["Example.com."])
        listed, other = await house.create(outbound=given), await house.create()
        assert house.node.orders[listed].outbound == Outbound(("10.0.0.0/8",), ("example.com",))
        assert house.node.orders[other].outbound is None
        changed = SandboxOutbound(domains=["*.example.org"])
        await house.sandboxes.changes.set_outbound(listed, changed)
        assert house.node.outbound[listed] == Outbound((), ("*.example.org",))
        with pytest.raises(InvalidRequest, match="was created without a list"):
            await house.sandboxes.changes.set_outbound(other, changed)
        house.node.start_error = EngineError("the rules can't be held")
        with pytest.raises(Unready, match="the rules can't be held"):
            await house.sandboxes.changes.set_outbound(listed, SandboxOutbound())
        house.node.start_error = None
        # The next life has it hold again.
        later = House(tmp_path, house.store)
        await later.sandboxes.restore()
        later.node.found = [FoundSandbox(listed), FoundSandbox(other)]
        await later.sandboxes.adopt()
        assert later.node.outbound == {listed: Outbound((), ("*.example.org",))}
        for one in (later, house):
            await one.sandboxes.close("over")

    run(main())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (SandboxOutbound(networks=["10.0.0.1/8"]), "has host bits set"),
        (SandboxOutbound(networks=["::/0"]), "sandboxes have no IPv6"),
        (SandboxOutbound(networks=["0.0.0.0/0; reboot"]), "is no network"),
        (SandboxOutbound(networks=["10.0.0.1"] * 101), "at most 100"),
        (SandboxOutbound(domains=["https://example.com"]), "no scheme, port or path"),
        (SandboxOutbound(domains=["example.com:443"]), "is no domain"),
        (SandboxOutbound(domains=["a..b"]), "is no domain"),
        (SandboxOutbound(domains=["*.*.b"]), "is no domain"),
        (SandboxOutbound(domains=[""]), "is no domain"),
        (SandboxOutbound(domains=["a" * 64]), "is no domain"),
        (SandboxOutbound(domains=["a." * 200]), "is no domain"),
    ],
)
def test_what_is_no_network_or_domain_is_named(tmp_path: Path, given: SandboxOutbound, said: str) -> None:
    async def main() -> None:
        house = House(tmp_path)
        with pytest.raises(InvalidRequest, match=said):
            await house.create(outbound=given)
        await house.sandboxes.close("over")

    run(main())


# As a port that listens for both kinds of addresses tells them.
MAPPED = (("::ffff:10.1.2.3", True), ("::ffff:9.9.9.9", False), ("::ffff:x", False))


def test_who_may_reach_its_ports(tmp_path: Path) -> None:
    async def main() -> None:
        house = House(tmp_path)
        inbound = SandboxInbound(networks=["10.0.0.0/8", "2001:db8::/32"])
        listed, closed, free = (
            await house.create(inbound=inbound),
            await house.create(inbound=SandboxInbound()),
            await house.create(),
        )
        for address, admitted in (("10.1.2.3", True), ("2001:db8::1", True), ("9.9.9.9", False), ("x", False), *MAPPED):
            found = house.sandboxes.target(listed, 0)
            assert found is not None
            assert found.admits(address) is admitted, address
        assert not house.sandboxes.register.alive(closed).admits("10.1.2.3")
        assert house.sandboxes.register.alive(free).admits("x")
        for networks in (["10.0.0.1/8"], ["anyone"], ["10.0.0.1"] * 101):
            with pytest.raises(InvalidRequest):
                await house.create(inbound=SandboxInbound(networks=networks))
        await house.sandboxes.close("over")

    run(main())


def test_a_paused_one_is_not_idle_and_its_timeout_goes_on(tmp_path: Path) -> None:
    async def main() -> None:
        house = House(tmp_path)
        sandbox_id = await house.create(timeout_s=100, idle_timeout_s=10)
        other = await house.create(timeout_s=300, idle_timeout_s=10)
        for one in (sandbox_id, other):
            await asyncio.sleep(3)
            info = await house.sandboxes.changes.pause(one, True)
            assert info.paused
        # Nothing happens twice, nor is it counted.
        await house.sandboxes.changes.pause(other, True)
        assert house.node.paused == {sandbox_id, other}
        with pytest.raises(Unready, match="is paused: resume it first"):
            await house.sandboxes.engine_id(other)
        await asyncio.sleep(50)
        assert house.node.running == {sandbox_id, other}, "a paused one was idle"
        # A use that began before, or begins meanwhile, changes nothing.
        house.sandboxes.begin_use(other)
        house.sandboxes.end_use(other)
        await asyncio.sleep(30)
        info = await house.sandboxes.changes.pause(other, False)
        assert not info.paused
        await house.sandboxes.changes.pause(other, False)
        await asyncio.sleep(8)
        assert other in house.node.running, "it counts from the beginning"
        await asyncio.sleep(4)
        info = await house.sandboxes.register.get(other)
        assert (info.returncode, info.reason) == (124, "was idle for its idle_timeout of 10 s")
        while sandbox_id in house.node.running:
            await asyncio.sleep(1)
        info = await house.sandboxes.register.get(sandbox_id)
        assert (info.returncode, info.paused) == (124, False)
        assert info.reason == "lived longer than its timeout of 100 s"

    run_fast(main())


def test_a_paused_one_is_paused_in_the_next_life_and_can_be_ended(tmp_path: Path) -> None:
    async def main() -> None:
        house = House(tmp_path)
        sandbox_id = await house.create(idle_timeout_s=10)
        await house.sandboxes.changes.pause(sandbox_id, True)
        later = House(tmp_path, house.store)
        await later.sandboxes.restore()
        later.node.found = [FoundSandbox(sandbox_id, paused=True)]
        later.node.running, later.node.paused = {sandbox_id}, {sandbox_id}
        await later.sandboxes.adopt()
        await asyncio.sleep(60)
        info = await later.sandboxes.register.get(sandbox_id)
        assert (info.state, info.paused) == (SandboxState.RUNNING, True)
        assert (await later.sandboxes.terminate(sandbox_id)).returncode == 137
        with pytest.raises(NotFound, match="has ended"):
            await later.sandboxes.changes.pause(sandbox_id, False)
        await house.sandboxes.close("over")

    run_fast(main())


def test_one_that_cannot_be_paused_is_not(tmp_path: Path) -> None:
    async def main() -> None:
        house = House(tmp_path)
        sandbox_id = await house.create()
        house.node.start_error = EngineError("no freezer")
        with pytest.raises(Unready, match="no freezer"):
            await house.sandboxes.changes.pause(sandbox_id, True)
        assert not (await house.sandboxes.register.get(sandbox_id)).paused
        await house.sandboxes.close("over")

    run(main())
