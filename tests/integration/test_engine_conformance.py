"""What every engine must do, for the fake one and for Docker alike."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.engine import FakeEngine
from wherry_service.engines.docker import DockerEngine
from wherry_service.engines.engine import (
    ContainerMissing,
    ContainerSpec,
    DeviceMissing,
    Engine,
    EngineEvent,
    ImageMissing,
)
from wherry_service.images import host
from wherry_service.images.base import BaseImages
from wherry_service.images.settings import ImageSettings

DEADLINE_S = 30.0
IMAGE = "wherry/base:bookworm"
WAIT = "import signal; signal.pause()"


@asynccontextmanager
async def engine(kind: str, tmp_path: Path) -> AsyncIterator[Engine]:
    found: Engine
    if kind == "fake":
        found = FakeEngine({IMAGE: {"wherry.kind": "base"}})
    else:
        found = DockerEngine()
        bases = BaseImages(found, tmp_path, ImageSettings())
        await bases.ensure("3.11", await host.find_build_cli(), lambda line: None)
    try:
        yield found
    finally:
        await found.close()


Scenario = Callable[[Engine, dict[str, str]], Coroutine[Any, Any, None]]


def run(kind: str, tmp_path: Path, scenario: Scenario) -> None:
    async def main() -> None:
        async with engine(kind, tmp_path) as found, asyncio.timeout(DEADLINE_S * 4):
            labels = {"wherry.test": uuid.uuid4().hex}
            try:
                await scenario(found, labels)
            finally:
                for status in await found.list(labels):
                    await found.remove(status.engine_id)

    asyncio.run(main())


def spec(labels: dict[str, str], code: str, **fields: Any) -> ContainerSpec:
    return ContainerSpec(
        name=f"wherry-test-{uuid.uuid4().hex[:8]}",
        image=IMAGE,
        command=("python3", "-c", code),
        labels=labels,
        **fields,
    )


async def next_die(events: AsyncIterator[EngineEvent]) -> EngineEvent:
    async with asyncio.timeout(DEADLINE_S):
        async for event in events:
            if event.kind == "die":
                return event
    raise AssertionError("the events ended")


kinds = pytest.mark.parametrize("kind", ["fake", "docker"])


@kinds
def test_it_answers(kind: str, tmp_path: Path) -> None:
    async def scenario(engine: Engine, labels: dict[str, str]) -> None:
        status = await engine.status()
        assert status.reachable
        assert status.cpus > 0

    run(kind, tmp_path, scenario)


@kinds
def test_it_tells_what_was_made_and_never_started(kind: str, tmp_path: Path) -> None:
    async def scenario(engine: Engine, labels: dict[str, str]) -> None:
        engine_id = await engine.create(spec(labels, "import time; time.sleep(60)"))
        for begun in (False, True):
            shown = await engine.inspect(engine_id)
            (listed,) = await engine.list(labels)
            assert shown is not None
            assert (shown.begun, listed.begun, shown.running, listed.running) == (begun,) * 4
            await engine.start(engine_id)

    run(kind, tmp_path, scenario)


@kinds
def test_a_container_runs_ends_and_is_told(kind: str, tmp_path: Path) -> None:
    async def scenario(engine: Engine, labels: dict[str, str]) -> None:
        events = engine.events(labels)
        first = await anext(aiter(events))
        assert first.kind == "reconnected"
        engine_id = await engine.create(spec(labels, "import sys; print('last words'); sys.exit(3)"))
        assert [status.running for status in await engine.list(labels)] == [False]
        await engine.start(engine_id)
        event = await next_die(events)
        assert (event.engine_id, event.exit_code) == (engine_id, 3)
        assert dict(event.labels)["wherry.test"] == labels["wherry.test"]
        status = await engine.inspect(engine_id)
        assert status is not None
        assert (status.running, status.exit_code) == (False, 3)
        assert await engine.log_tail(engine_id, 5) == "last words"
        await engine.remove(engine_id)
        assert await engine.inspect(engine_id) is None
        assert await engine.list(labels) == []

    run(kind, tmp_path, scenario)


@kinds
def test_a_paused_container_runs_is_resumed_and_can_be_killed(kind: str, tmp_path: Path) -> None:
    async def scenario(engine: Engine, labels: dict[str, str]) -> None:
        events = engine.events(labels)
        await anext(aiter(events))
        engine_id = await engine.create(spec(labels, WAIT))
        await engine.start(engine_id)
        for _ in range(2):
            await engine.pause(engine_id)
            await engine.pause(engine_id)
            (listed,) = await engine.list(labels)
            looked = await engine.inspect(engine_id)
            assert looked is not None
            assert [(one.running, one.paused) for one in (listed, looked)] == [(True, True)] * 2
            await engine.resume(engine_id)
            await engine.resume(engine_id)
            (listed,) = await engine.list(labels)
            assert (listed.running, listed.paused) == (True, False)
        await engine.pause(engine_id)
        await engine.kill(engine_id)
        assert (await next_die(events)).exit_code == 137

    run(kind, tmp_path, scenario)


@kinds
def test_a_killed_container_says_so(kind: str, tmp_path: Path) -> None:
    async def scenario(engine: Engine, labels: dict[str, str]) -> None:
        events = engine.events(labels)
        await anext(aiter(events))
        engine_id = await engine.create(spec(labels, WAIT))
        await engine.start(engine_id)
        assert [status.running for status in await engine.list(labels)] == [True]
        used = await engine.usage(engine_id)
        assert used.memory_bytes > 0
        assert 0 <= used.cpu_ns < 10**11
        await engine.kill(engine_id)
        assert (await next_die(events)).exit_code == 137
        await engine.kill(engine_id)

    run(kind, tmp_path, scenario)


@kinds
def test_what_is_missing_is_named_or_fine(kind: str, tmp_path: Path) -> None:
    async def scenario(engine: Engine, labels: dict[str, str]) -> None:
        missing = "0" * 64
        assert await engine.inspect(missing) is None
        await engine.kill(missing)
        await engine.remove(missing)
        with pytest.raises(ContainerMissing):
            await engine.start(missing)
        with pytest.raises(ImageMissing, match="wherry/none:nowhere"):
            await engine.create(ContainerSpec(name="wherry-x", image="wherry/none:nowhere", command=("true",)))
        assert await engine.image_labels("wherry/none:nowhere") is None
        labels_of_base = await engine.image_labels(IMAGE)
        assert labels_of_base is not None
        assert labels_of_base["wherry.kind"] == "base"

    run(kind, tmp_path, scenario)


@kinds
def test_a_volume_is_there_until_it_is_removed(kind: str, tmp_path: Path) -> None:
    async def scenario(engine: Engine, labels: dict[str, str]) -> None:
        name = f"wherry-test-{uuid.uuid4().hex[:8]}"
        where = await engine.create_volume(name, labels)
        try:
            assert name in where
            assert await engine.create_volume(name, labels) == where
            assert await engine.volumes(labels) == [name]
        finally:
            await engine.remove_volume(name)
        assert await engine.volumes(labels) == []
        await engine.remove_volume(name)

    run(kind, tmp_path, scenario)


def test_docker_gets_the_limits_as_they_were_asked_for(tmp_path: Path) -> None:
    code = (
        "import os; "
        "limit = next(p for p in ('/sys/fs/cgroup/memory/memory.limit_in_bytes', '/sys/fs/cgroup/memory.max')"
        " if os.path.exists(p)); print(open(limit).read().strip(), os.getpid(), open('/proc/1/comm').read().strip())"
    )

    async def scenario(engine: Engine, labels: dict[str, str]) -> None:
        events = engine.events(labels)
        await anext(aiter(events))
        engine_id = await engine.create(spec(labels, code, memory_limit_mib=64, network="none"))
        await engine.start(engine_id)
        await next_die(events)
        limit, pid, init = (await engine.log_tail(engine_id, 1)).split()
        assert int(limit) == 64 << 20
        assert int(pid) > 1
        assert init == "docker-init"

    run("docker", tmp_path, scenario)


def test_docker_without_such_gpus_says_what_to_do(tmp_path: Path) -> None:
    async def scenario(engine: Engine, labels: dict[str, str]) -> None:
        engine_id = await engine.create(spec(labels, WAIT, gpu_ids=("63",), network="none"))
        # Which of the two it is depends on whether this machine has any.
        with pytest.raises(DeviceMissing, match=r"install nvidia-container-toolkit, run|nvidia-smi -L"):
            await engine.start(engine_id)

    run("docker", tmp_path, scenario)


def test_docker_makes_a_container_whether_or_not_its_storage_has_limits(tmp_path: Path) -> None:
    async def scenario(engine: Engine, labels: dict[str, str]) -> None:
        for _ in range(2):
            await engine.create(spec(labels, WAIT, disk_limit_mib=1024, network="none"))
        assert len(await engine.list(labels)) == 2

    run("docker", tmp_path, scenario)
