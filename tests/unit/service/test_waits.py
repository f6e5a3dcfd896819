"""Who runs an app, or calls a deployed one, hears what its functions wait for."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.host import gpus_of, host_of
from tests.unit.service.test_dispatcher import FUNCTION, World, run
from wherry_proto.messages import CallKind, CallStart, Notice
from wherry_service.calls import waits
from wherry_service.calls.call import Call
from wherry_service.calls.client import Client
from wherry_service.ids import new_id
from wherry_service.node.events import ContainerExit
from wherry_service.pools.capacity import Capacity, Share


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(waits, "TELL_AT_S", (0.02, 0.05))


async def _notice(world: World, over: bool = False) -> Notice:
    async with asyncio.timeout(5):
        while True:
            for notice in (await world.message()).notices:
                if notice.waits and notice.over == over:
                    return notice


async def _told(world: World, text: str) -> Notice:
    async with asyncio.timeout(5):
        while (notice := await _notice(world)).text != text:
            pass
        return notice


def test_a_start_an_import_and_the_end_of_a_wait_are_told(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(1)
        notice = await _told(world, "A container of f starts")
        assert (notice.function_id, notice.app_id, notice.warning) == (FUNCTION, "ap-1", False)
        assert notice.seconds > 0
        container = world.node.containers[0]
        container.connected = True
        container.events.on_connected([], False)
        await _told(world, "A container of f imports its code")
        container.events.on_ready(0.1)
        assert (await _notice(world, over=True)).text == "f goes on"
        container.finish()

    run(tmp_path, scenario, auto=False)


def test_an_input_given_to_a_container_that_imports_waits_as_well(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.until(lambda: bool(world.node.containers))
        container = world.node.containers[0]
        container.connected = True
        container.events.on_connected([], False)
        world.call(1)
        await _told(world, "A container of f imports its code")

    run(tmp_path, scenario, auto=False, min_containers=1)


def test_memory_that_others_have_is_told_until_it_is_given_back(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.pools.capacity.add(Share(0.0, 4000))
        world.call(1)
        await _told(world, "f waits for 128 MiB of memory: 96 of 4096 MiB are free")
        world.pools.capacity.give_back(Share(0.0, 4000), "other")
        await _told(world, "A container of f starts")

    run(tmp_path, scenario, auto=False)


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (Share(2.0, 128), "2 cores: 1 of 4 are free"),
        (Share(1.0, 128), ""),
        (Share(0.0, 4096), "4096 MiB of memory: 3968 of 4096 MiB are free"),
    ],
)
def test_what_lacks_is_said_in_words(share: Share, words: str) -> None:
    capacity = host_of(4.0, 4096)
    capacity.add(Share(3.0, 128))
    assert capacity.waits_for(share) == words
    capacity.add(Share(1.0, 128))
    assert capacity.waits_for(Share(1.0, 128)) == "1 core: other functions have them"


def test_processors_that_others_use_are_said_in_words() -> None:
    capacity = Capacity(1.0, 1 << 20, lambda: (1, 0.93), 12, gpus_of())
    for _ in range(12):
        capacity.add(Share(0.0, 128))
    assert capacity.waits_for(Share(0.0, 128)) == "the processors: 12 containers share them, and they are 93% busy"


def test_an_engine_that_is_away_is_told_as_the_next_try(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(1)
        await world.until(lambda: bool(world.node.containers))
        for _ in range(4):
            gone = ContainerExit(reason="Docker does not answer", not_started=True, host_failed=True)
            last = world.node.containers[-1]
            count = len(world.node.containers)
            last.exit(gone)
            if count == 3:
                break
            await world.until(lambda count=count: len(world.node.containers) > count)  # type: ignore[misc]
        await _told(world, "f waits for its next try to start a container")

    run(tmp_path, scenario, auto=False)


def test_what_goes_on_and_what_is_quick_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # However slow the machine is just now.
    monkeypatch.setattr(waits, "TELL_AT_S", (60.0, 70.0))

    async def scenario(world: World) -> None:
        told: list[Any] = []
        world.client.notice = told.append  # type: ignore[method-assign]
        world.call(50)
        await world.work_until(lambda: len(world.outputs) == 50)
        assert told == []
        # Nothing looks any more.
        await world.until(lambda: world.dispatcher._waits._timer is None)

    run(tmp_path, scenario)


def test_a_wait_is_told_again_from_time_to_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "TELL_EVERY_S", 0.05)

    async def scenario(world: World) -> None:
        world.call(1)
        notices = [await _told(world, "A container of f starts") for _ in range(4)]
        assert [one.seconds for one in notices] == sorted(one.seconds for one in notices)

    run(tmp_path, scenario, auto=False)


def test_a_function_that_ended_is_looked_at_no_more(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(1)
        await _told(world, "A container of f starts")
        await world.dispatcher.close_function(FUNCTION, 0.0, "the app was stopped")
        await world.until(lambda: world.dispatcher._waits._timer is None)

    run(tmp_path, scenario, auto=False)


def _waited(client: Client) -> list[str]:
    """Return what a client has been told that it waits for, since this was last asked."""
    message = client.take()
    return [notice.text for notice in message.notices if notice.waits] if message is not None else []


def _called(world: World, client: Client, kind: int = CallKind.REMOTE) -> Call:
    """Have a client make a call, and give the call."""
    start = CallStart(call_id=new_id("fc"), function_id=FUNCTION, kind=kind)
    call = world.journal.start(client, start)
    world.offer(call.call_id, [new_id("in")])
    return call


def _deployed(world: World) -> None:
    queue = world.dispatcher.queue(FUNCTION)
    assert queue is not None
    queue.client_id = ""


def test_who_calls_a_deployed_function_is_told_what_the_call_waits_for_and_nobody_else(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        _deployed(world)
        caller, guest = world.clients.connect(new_id("cl")), world.clients.connect(new_id("cl"), "co-1")
        _called(world, caller)
        _called(world, guest)
        told: list[str] = []
        await world.until(lambda: bool(told.extend(_waited(caller)) or told))
        assert set(told) <= {"A container of f is prepared: image, secrets, files", "A container of f starts"}
        container = world.node.containers[0]
        container.connected = True
        container.events.on_connected([], False)
        container.events.on_ready(0.1)
        await world.until(lambda: bool(told.extend(_waited(caller)) or told[-1] == "f goes on"))
        assert _waited(guest) == []
        assert _waited(world.client) == []
        container.finish()

    run(tmp_path, scenario, auto=False)


def test_who_comes_later_waits_from_then_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "TELL_EVERY_S", 60.0)

    async def scenario(world: World) -> None:
        _deployed(world)
        callers = [world.clients.connect(new_id("cl")) for _ in range(2)]
        for caller in callers:
            _called(world, caller)
            await world.until(lambda caller=caller: bool(_waited(caller)))  # type: ignore[misc]

    run(tmp_path, scenario, auto=False)


def test_who_has_spawned_a_call_is_told_once_it_asks_for_the_result(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        _deployed(world)
        spawner, asker = (world.clients.connect(new_id("cl")) for _ in range(2))
        call = _called(world, spawner, CallKind.SPAWN)
        call.watchers.add(asker)
        await world.until(lambda: bool(_waited(asker)))
        assert _waited(spawner) == []

    run(tmp_path, scenario, auto=False)
