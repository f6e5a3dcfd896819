"""What an earlier life of the service left of its sandboxes."""

import asyncio
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.clock import run_fast
from tests.fakes.sandbox_node import IMAGE, FakeSandboxStore, House
from wherry_proto.messages import (
    SandboxCreateRequest,
    SandboxInfo,
    SandboxPort,
    SandboxSpec,
    SandboxState,
)
from wherry_service.engines.engine import EngineError
from wherry_service.errors import NotFound, ServiceError
from wherry_service.ids import new_id
from wherry_service.node.events import ContainerExit
from wherry_service.node.sandbox import FoundSandbox
from wherry_service.sandboxes import sandboxes
from wherry_service.store.sandboxes import SandboxRecord


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(main)


def test_restart_keeps_names_tags_and_what_is_left_of_the_timeout(tmp_path: Path) -> None:
    store = FakeSandboxStore()

    async def main() -> None:
        before = House(tmp_path, store)
        running = await before.create(name="n", tags={"a": "b"}, timeout_s=100, ports=[SandboxPort(port=80)])
        tunnel = (await before.sandboxes.register.get(running)).tunnels[0].host_port
        exited, lost, overdue = await before.create(), await before.create(), await before.create(timeout_s=5)
        store.records[overdue].created_at_ms = int(time.time() * 1000) - 60_000

        house = House(tmp_path, store)
        await house.sandboxes.restore()
        house.node.found = [
            FoundSandbox(running),
            FoundSandbox(exited, ContainerExit(exit_code=9)),
            FoundSandbox(overdue),
            FoundSandbox("sb-unknown"),
        ]
        for tunnels in [s.tunnels for s in before.sandboxes.register]:
            for item in tunnels:
                item.close()
        await house.sandboxes.adopt()
        assert (await house.sandboxes.wait(exited, 5)).returncode == 9
        gone = await house.sandboxes.wait(lost, 5)
        assert (gone.returncode, gone.reason) == (137, "was gone when the service came back")
        assert (await house.sandboxes.wait(overdue, 5)).returncode == 124
        info = house.sandboxes.register.by_name("n", "", "main")
        assert (info.sandbox_id, info.tags, info.state) == (running, {"a": "b"}, SandboxState.RUNNING)
        assert info.tunnels[0].host_port == tunnel
        assert "sb-unknown" in house.node.removed
        await house.sandboxes.close("over")
        for sandbox in before.sandboxes.register:
            sandbox.stop_clocks()

    run(main())


def test_requests_wait_for_an_engine_that_does_not_answer_after_a_restart(tmp_path: Path) -> None:
    store = FakeSandboxStore()

    async def main() -> None:
        sandbox_id = await House(tmp_path, store).create()
        house = House(tmp_path, store)
        await house.sandboxes.restore()
        house.node.reachable = False
        adopting = asyncio.ensure_future(house.sandboxes.adopt())
        asking = asyncio.ensure_future(house.sandboxes.engine_id(sandbox_id))
        await asyncio.sleep(12)
        assert not asking.done()
        house.node.found, house.node.reachable = [FoundSandbox(sandbox_id)], True
        assert await asking == f"engine-{sandbox_id}"
        await adopting

    run_fast(main())


async def killed_as_it_begins(store: FakeSandboxStore, tmp_path: Path) -> SandboxCreateRequest:
    """Have a service that ends after the record is on disk, and before the engine has started the container."""
    before = House(tmp_path, store)
    before.node.hold.clear()
    request = SandboxCreateRequest(
        sandbox_id=new_id("sb"), spec=SandboxSpec(command=["true"], image_id=IMAGE, timeout_s=300)
    )
    asking = asyncio.ensure_future(before.sandboxes.create(request, "", "main"))
    while request.sandbox_id not in store.records:
        await asyncio.sleep(0)
    asking.cancel()
    begun = before.sandboxes.register.alive(request.sandbox_id).begun
    assert begun is not None
    # What a killed process does not do, a cancelled task does: its record stays.
    record = store.records[request.sandbox_id]
    begun.cancel()
    await asyncio.wait([begun])
    store.records[request.sandbox_id] = record
    return request


@pytest.mark.parametrize("asks_early", [True, False])
def test_a_sandbox_that_a_killed_service_had_not_started_is_made_when_asked_for_again(
    tmp_path: Path, asks_early: bool
) -> None:
    store = FakeSandboxStore()

    async def main() -> None:
        request = await killed_as_it_begins(store, tmp_path)
        assert not store.records[request.sandbox_id].begun
        house = House(tmp_path, store)
        await house.sandboxes.restore()

        async def ask() -> SandboxInfo:
            return await house.sandboxes.known(request.sandbox_id) or await house.sandboxes.create(request, "", "main")

        if asks_early:
            asking = asyncio.ensure_future(ask())
            await asyncio.sleep(0)
            await house.sandboxes.adopt()
        else:
            await house.sandboxes.adopt()
            asking = asyncio.ensure_future(ask())
        info = await asking
        assert (info.sandbox_id, info.state) == (request.sandbox_id, SandboxState.RUNNING)
        assert request.sandbox_id in house.node.running
        assert store.records[request.sandbox_id].begun
        await house.sandboxes.close("over")

    run(main())


@pytest.mark.parametrize("killed", [True, False])
def test_who_asks_again_while_what_failed_is_cleared_away_gets_a_new_one(tmp_path: Path, killed: bool) -> None:
    store = FakeSandboxStore()

    async def main() -> None:
        house = House(tmp_path, store)
        if killed:
            request = await killed_as_it_begins(store, tmp_path)
            await house.sandboxes.restore()
        else:
            request = SandboxCreateRequest(
                sandbox_id=new_id("sb"), spec=SandboxSpec(command=["true"], image_id=IMAGE, timeout_s=300)
            )
            house.node.start_error = EngineError("not this time")
        remove, removing, may = store.remove, asyncio.Event(), asyncio.Event()

        async def slow(sandbox_id: str) -> None:
            removing.set()
            await may.wait()
            await remove(sandbox_id)

        store.remove = slow  # type: ignore[method-assign]

        async def ask() -> SandboxInfo:
            return await house.sandboxes.known(request.sandbox_id) or await house.sandboxes.create(request, "", "main")

        first = asyncio.ensure_future(house.sandboxes.adopt() if killed else ask())
        await removing.wait()
        second = asyncio.ensure_future(ask())
        for _ in range(20):
            await asyncio.sleep(0)
        house.node.start_error = None
        may.set()
        await asyncio.wait([first, second])
        if killed:
            assert second.result().state == SandboxState.RUNNING
            assert request.sandbox_id in house.node.running
        else:
            # It waited for the one that failed, and is told the same.
            assert isinstance(second.exception(), ServiceError)
            assert await house.sandboxes.known(request.sandbox_id) is None
            assert first.exception() is not None
        await house.sandboxes.close("over")

    run(main())


def test_nobody_waits_while_it_is_written_that_one_runs(tmp_path: Path) -> None:
    store = FakeSandboxStore()
    change, may = store.change, asyncio.Event()

    async def slow(record: SandboxRecord) -> None:
        await may.wait()
        await change(record)

    store.change = slow  # type: ignore[method-assign]

    async def main() -> None:
        house = House(tmp_path, store)
        sandbox_id = await house.create()
        assert (await house.sandboxes.register.get(sandbox_id)).state == SandboxState.RUNNING
        may.set()
        assert (await house.sandboxes.terminate(sandbox_id)).state == SandboxState.TERMINATED

    run(main())


def test_a_sandbox_that_a_killed_service_had_just_made_goes_on(tmp_path: Path) -> None:
    store = FakeSandboxStore()

    async def main() -> None:
        request = await killed_as_it_begins(store, tmp_path)
        house = House(tmp_path, store)
        await house.sandboxes.restore()
        house.node.found = [FoundSandbox(request.sandbox_id)]
        await house.sandboxes.adopt()
        info = await house.sandboxes.known(request.sandbox_id)
        assert info is not None
        assert info.state == SandboxState.RUNNING
        assert store.records[request.sandbox_id].begun
        await house.sandboxes.close("over")

    run(main())


def test_what_a_killed_service_started_without_a_record_is_removed_before_it_is_made_again(tmp_path: Path) -> None:
    async def main() -> None:
        house = House(tmp_path)
        await house.sandboxes.restore()
        request = SandboxCreateRequest(
            sandbox_id=new_id("sb"), spec=SandboxSpec(command=["true"], image_id=IMAGE, timeout_s=300)
        )
        house.node.found = [FoundSandbox(request.sandbox_id)]
        asking = asyncio.ensure_future(house.sandboxes.create(request, "", "main"))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not house.node.orders
        await house.sandboxes.adopt()
        await asking
        assert house.node.removed == [request.sandbox_id]
        assert list(house.node.orders) == [request.sandbox_id]
        await house.sandboxes.close("over")

    run(main())


def test_a_service_that_stops_waits_a_moment_for_an_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandboxes, "FOUND_WITHIN_S", 0.01)
    store = FakeSandboxStore()

    async def main() -> None:
        sandbox_id = await House(tmp_path, store).create()
        house = House(tmp_path, store)
        await house.sandboxes.restore()
        await house.sandboxes.close("was ended with the service")
        assert store.records[sandbox_id].returncode == 137

    run(main())


def test_a_service_that_stops_at_once_ends_what_an_earlier_life_left(tmp_path: Path) -> None:
    store = FakeSandboxStore()

    async def main() -> None:
        sandbox_id = await House(tmp_path, store).create()
        house = House(tmp_path, store)
        house.node.found = [FoundSandbox(sandbox_id)]
        await house.sandboxes.restore()
        adopting = asyncio.ensure_future(house.sandboxes.adopt())
        await house.sandboxes.close("was ended with the service")
        await adopting
        assert store.records[sandbox_id].returncode == 137
        assert house.node.removed == [sandbox_id]

    run(main())


def test_those_that_ended_long_ago_are_forgotten(tmp_path: Path) -> None:
    async def main() -> None:
        house = House(tmp_path)
        old, young = await house.create(), await house.create()
        await house.sandboxes.close("over")
        house.store.records[old].ended_at_ms -= 8 * 86_400_000
        await house.sandboxes.expire()
        with pytest.raises(NotFound, match="does not exist, or ended over 7 days ago"):
            await house.sandboxes.register.get(old)
        assert not (tmp_path / old).exists()
        assert (tmp_path / young).is_dir()

    run(main())
