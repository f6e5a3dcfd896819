"""What an app's end leaves on the engine: nothing, or what is named."""

import asyncio
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_node_and_runner import World, run
from wherry_service.engines.engine import ContainerSpec, EngineError
from wherry_service.node import local, local_container
from wherry_service.node.local_container import LocalContainer
from wherry_service.node.node import ContainerOrder


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A directory with a short path, for its sockets: 107 characters are the most."""
    with tempfile.TemporaryDirectory(prefix="wherry-") as directory:
        yield Path(directory)


async def stray(world: World, name: str, app_id: str = "ap-1") -> str:
    """Make a container that the engine shows and the node knows nothing of."""
    labels = {**world.node.labels, "wherry.app": app_id, "wherry.container": name}
    spec = ContainerSpec(name=name, image="image", command=("sleep", "60"), labels=labels)
    engine_id = await world.engine.create(spec)
    await world.engine.start(engine_id)
    return engine_id


def test_b68_what_the_engine_still_shows_of_an_app_is_removed(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await stray(world, "of-the-app")
        other = await stray(world, "of-another", "ap-2")
        assert await world.node.left_over("wherry.app", "ap-1") == []
        assert list(world.engine.containers) == [other]

    run(tmp_path, scenario)


def test_b68_what_the_engine_will_not_remove_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(world: World) -> None:
        stuck, gone = await stray(world, "stuck"), await stray(world, "gone")
        remove = world.engine.remove

        async def refuse(engine_id: str) -> None:
            if engine_id == stuck:
                raise EngineError("device or resource busy")
            await remove(engine_id)

        monkeypatch.setattr(world.engine, "remove", refuse)
        assert await world.node.left_over("wherry.app", "ap-1") == ["stuck"]
        assert gone not in world.engine.containers
        monkeypatch.undo()

    run(tmp_path, scenario)


def test_an_engine_that_does_not_answer_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(world: World) -> None:
        async def silent(labels: Mapping[str, str]) -> list[Any]:
            await asyncio.Event().wait()
            raise AssertionError

        monkeypatch.setattr(local, "LEFT_OVER_AFTER_S", 0.05)
        monkeypatch.setattr(world.engine, "list", silent)
        async with asyncio.timeout(5):
            assert await world.node.left_over("wherry.app", "ap-1") == []
        monkeypatch.undo()

    run(tmp_path, scenario)


def test_a_container_that_is_at_work_before_the_engine_says_so_lives_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(world: World) -> None:
        start, begin = world.engine.start, LocalContainer.begin
        late, begun = asyncio.Event(), asyncio.Event()

        async def start_late(engine_id: str) -> None:
            await start(engine_id)
            await late.wait()

        async def begin_and_tell(container: LocalContainer, order: ContainerOrder) -> None:
            await begin(container, order)
            begun.set()

        monkeypatch.setattr(world.engine, "start", start_late)
        monkeypatch.setattr(LocalContainer, "begin", begin_and_tell)
        # What has not answered by then is killed at once.
        monkeypatch.setattr(local_container, "HELLO_DEADLINE_S", 0.0)
        pid = world.open("pid")
        world.call(pid, ())
        await world.receive(1)
        late.set()
        await begun.wait()
        for number in (2, 3, 4):
            world.call(pid, ())
            await world.receive(number)
        assert len(set(world.values())) == 1
        monkeypatch.undo()

    run(tmp_path, scenario)
