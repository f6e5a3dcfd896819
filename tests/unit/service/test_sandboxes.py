"""Sandboxes: their ends, clocks, names, and streams."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.clock import run_fast
from tests.fakes.host import host_of
from tests.fakes.sandbox_node import IMAGE, House
from wherry_proto.messages import (
    Resources,
    SandboxCreateRequest,
    SandboxPort,
    SandboxSpec,
    SandboxState,
    VolumeMount,
)
from wherry_service.engines.containment import MemoryLimit
from wherry_service.engines.engine import EngineError, EngineUnreachable, ImageMissing, RuntimeMissing
from wherry_service.errors import AlreadyExists, Exhausted, InvalidRequest, NotFound, ServiceError, Unready
from wherry_service.ids import new_id
from wherry_service.node.events import ContainerExit
from wherry_service.pools.capacity import Capacity
from wherry_service.sandboxes.orders import check
from wherry_service.sandboxes.settings import SandboxSettings


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(main)


# Ends


def test_exit_code_of_the_command_is_the_sandboxs(tmp_path: Path) -> None:
    async def main() -> None:
        house = House(tmp_path)
        sandbox_id = await house.create()
        assert (await house.sandboxes.register.get(sandbox_id)).state == SandboxState.RUNNING
        house.node.exit(sandbox_id, ContainerExit(exit_code=3))
        info = await house.sandboxes.wait(sandbox_id, 10)
        assert (info.state, info.returncode, info.reason) == (SandboxState.EXITED, 3, "exited with code 3")
        await house.sandboxes.close("over")
        assert house.node.removed == [sandbox_id]

    run(main())


def test_out_of_memory_is_said(tmp_path: Path) -> None:
    async def main() -> None:
        house = House(tmp_path)
        sandbox_id = await house.create()
        house.node.exit(sandbox_id, ContainerExit(exit_code=137, oom_killed=True, memory_limit=MemoryLimit(64)))
        info = await house.sandboxes.wait(sandbox_id, 10)
        assert (info.returncode, info.reason) == (137, "ran out of memory at its limit of 64 MiB")
        await house.sandboxes.close("over")

    run(main())


def test_b60_terminated_is_137_and_a_second_time_changes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        house = House(tmp_path)
        sandbox_id = await house.create()
        info = await house.sandboxes.terminate(sandbox_id)
        assert (info.state, info.returncode) == (SandboxState.TERMINATED, 137)
        await house.sandboxes.close("over")
        again = await house.sandboxes.terminate(sandbox_id)
        assert (again.returncode, again.ended_at_ms) == (137, info.ended_at_ms)

    run(main())


def test_b60_timeout_is_124_with_nobody_waiting(tmp_path: Path) -> None:
    async def main() -> None:
        house = House(tmp_path)
        sandbox_id = await house.create(timeout_s=30)
        loop = asyncio.get_running_loop()
        began = loop.time()
        while house.node.running:
            await asyncio.sleep(1)
        assert 29 < loop.time() - began < 32
        info = await house.sandboxes.register.get(sandbox_id)
        assert (info.state, info.returncode) == (SandboxState.TIMED_OUT, 124)
        assert info.reason == "lived longer than its timeout of 30 s"

    run_fast(main())


def test_idle_timeout_waits_for_what_goes_on(tmp_path: Path) -> None:
    async def main() -> None:
        house = House(tmp_path)
        sandbox_id = await house.create(timeout_s=300, idle_timeout_s=10)
        await asyncio.sleep(8)
        house.sandboxes.begin_use(sandbox_id)
        await asyncio.sleep(50)
        assert house.node.running, "it was ended while an exec ran"
        house.sandboxes.end_use(sandbox_id)
        await asyncio.sleep(8)
        await house.sandboxes.streams.write(sandbox_id, "w", 0, b"typed", False)
        await asyncio.sleep(8)
        assert house.node.running, "it was ended though its input was written to"
        await asyncio.sleep(4)
        info = await house.sandboxes.register.get(sandbox_id)
        assert (info.returncode, info.reason) == (124, "was idle for its idle_timeout of 10 s")

    run_fast(main())


def test_an_app_takes_its_sandboxes_with_it(tmp_path: Path) -> None:
    async def main() -> None:
        house = House(tmp_path)
        own, other = await house.create(app="ap-1"), await house.create()
        assert house.sandboxes.has_app("ap-1")
        assert await house.sandboxes.end_app("ap-1", "belonged to an app that was stopped") == 1
        assert house.node.removed == [own]
        assert house.node.running == {other}
        await house.sandboxes.close("over")

    run(main())


def test_one_that_is_just_beginning_ends_with_its_app(tmp_path: Path) -> None:
    async def main() -> None:
        house = House(tmp_path)
        house.node.hold.clear()
        creating = asyncio.ensure_future(house.create(app="ap-1"))
        while not house.sandboxes.has_app("ap-1"):
            await asyncio.sleep(0)
        ending = asyncio.ensure_future(house.sandboxes.end_app("ap-1", "over"))
        await asyncio.sleep(0)
        house.node.hold.set()
        await asyncio.gather(creating, ending)
        assert house.node.running == set()

    run(main())


# Asking


def test_the_same_id_again_is_the_same_sandbox(tmp_path: Path) -> None:
    async def main() -> None:
        house = House(tmp_path)
        house.node.hold.clear()
        sandbox_id = new_id("sb")
        spec = SandboxSpec(command=["true"], image_id=IMAGE, timeout_s=300)
        request = SandboxCreateRequest(sandbox_id=sandbox_id, spec=spec)
        first = asyncio.ensure_future(house.sandboxes.create(request, "", "main"))
        await asyncio.sleep(0)
        # The client's connection breaks, and it asks again.
        first.cancel()
        again = asyncio.ensure_future(house.sandboxes.known(sandbox_id))
        await asyncio.sleep(0)
        house.node.hold.set()
        info = await again
        assert info is not None
        assert info.sandbox_id == sandbox_id
        assert list(house.node.orders) == [sandbox_id]
        await house.sandboxes.close("over")
        ended = await house.sandboxes.known(sandbox_id)
        assert ended is not None
        assert ended.returncode == 137

    run(main())


def test_names_are_unique_while_they_run(tmp_path: Path) -> None:
    async def main() -> None:
        house = House(tmp_path)
        first = await house.create(name="one")
        with pytest.raises(AlreadyExists, match=f"{first} runs under the name 'one'"):
            await house.create(name="one")
        in_app = await house.create(name="one", app="ap-1")
        assert house.sandboxes.register.by_name("one", "", "main").sandbox_id == first
        assert house.sandboxes.register.by_name("one", "app", "main").sandbox_id == in_app
        with pytest.raises(NotFound, match=r"no sandbox named 'two' runs in environment 'main'.* 'one'"):
            house.sandboxes.register.by_name("two", "", "main")
        await house.sandboxes.terminate(first)
        assert await house.create(name="one") != first
        await house.sandboxes.close("over")

    run(main())


def test_list_by_tags_app_and_state(tmp_path: Path) -> None:
    async def main() -> None:
        house = House(tmp_path)
        first = await house.create(tags={"kind": "a", "n": "1"})
        second = await house.create(tags={"kind": "a"}, app="ap-1")

        async def ids(app: str = "", tags: dict[str, str] | None = None, ended: bool = False) -> set[str]:
            return {i.sandbox_id for i in await house.sandboxes.register.list("main", app, tags or {}, ended)}

        assert await ids() == {first, second}
        assert await ids(tags={"kind": "a", "n": "1"}) == {first}
        assert await ids(app="ap-1") == {second}
        await house.sandboxes.set_tags(first, {"n": "2"})
        assert await ids(tags={"n": "2"}) == {first}
        await house.sandboxes.terminate(first)
        assert await ids() == {second}
        assert await ids(ended=True) == {first, second}
        with pytest.raises(NotFound):
            await house.sandboxes.set_tags(first, {})
        await house.sandboxes.close("over")

    run(main())


@pytest.mark.parametrize(
    ("error", "kind", "told"),
    [
        (ImageMissing("no such image"), NotFound, f"image {IMAGE} is not on this host any more"),
        (EngineUnreachable("start it"), Unready, "start it"),
        (EngineError("no space"), Unready, "the sandbox could not start: no space"),
    ],
)
def test_one_that_can_not_start_leaves_nothing(
    tmp_path: Path, error: Exception, kind: type[ServiceError], told: str
) -> None:
    async def main() -> None:
        house = House(tmp_path, capacity=host_of(1 / 12, 128))
        house.node.start_error = error
        with pytest.raises(kind, match=told):
            await house.create(name="n", ports=[SandboxPort(port=80)])
        assert (len(house.sandboxes.register), house.store.records) == (0, {})
        # Name and room are free again.
        house.node.start_error = None
        await house.create(name="n")
        await house.sandboxes.close("over")

    run(main())


def test_room_on_the_host_is_waited_for(tmp_path: Path) -> None:
    async def main() -> None:
        house = House(tmp_path, capacity=host_of(1, 1024))
        first = await house.create(resources=Resources(cpu_request=1))
        waiting = asyncio.ensure_future(house.create(resources=Resources(cpu_request=1)))
        await asyncio.sleep(0)
        await house.sandboxes.terminate(first)
        second = await waiting
        assert house.node.removed == [first]
        assert house.node.running == {second}
        await house.sandboxes.close("over")

    run(main())


def test_room_is_not_waited_for_without_end(tmp_path: Path) -> None:
    async def main() -> None:
        house = House(tmp_path, capacity=host_of(1, 1024))
        first = await house.create(resources=Resources(cpu_request=1))
        with pytest.raises(InvalidRequest, match="2 cores and 128 MiB does not fit this host, which has 1 cores"):
            await house.create(resources=Resources(cpu_request=2))
        with pytest.raises(Exhausted, match="no room for a sandbox of 1 cores and 128 MiB for 60 s"):
            await house.create(resources=Resources(cpu_request=1))
        assert house.node.running == {first}

    run_fast(main())


def test_secrets_are_variables_and_its_own_win(tmp_path: Path) -> None:
    async def main() -> None:
        house = House(tmp_path)
        house.secrets = {"st-1": {"A": "1", "B": "1", "C": "1"}, "st-2": {"B": "2", "C": "2"}}
        sandbox_id = await house.create(secret_ids=["st-1", "st-2"], env={"C": "3"})
        order = house.node.orders[sandbox_id]
        own = {name: value for name, value in order.env.items() if not name.startswith(("WHERRY_", "MODAL_"))}
        assert (own, order.secrets) == ({"C": "3"}, {"A": "1", "B": "2"})
        # Its execs have them too, and those of secrets of their own; the sandbox's own variables win.
        house.secrets["st-3"] = {"B": "3", "D": "3"}
        assert await house.sandboxes.secret_env(sandbox_id, []) == {"A": "1", "B": "2"}
        assert await house.sandboxes.secret_env(sandbox_id, ["st-3"]) == {"A": "1", "B": "3", "D": "3"}
        with pytest.raises(NotFound, match="st-9 was deleted"):
            await house.sandboxes.secret_env(sandbox_id, ["st-9"])
        given = SandboxCreateRequest(
            sandbox_id=new_id("sb"),
            spec=SandboxSpec(image_id=IMAGE, timeout_s=300, secret_ids=["st-1"], env={"C": "3"}),
            secret_env={"A": "given", "C": "given"},
        )
        await house.sandboxes.create(given, "", "main")
        assert house.node.orders[given.sandbox_id].secrets == {"A": "given", "B": "1"}
        assert "given" not in str(house.store.records.pop(given.sandbox_id).spec)
        house.secrets["st-4"] = {"E": "a\0b"}
        with pytest.raises(InvalidRequest, match="the secret variable 'E' has a NUL character"):
            await house.create(secret_ids=["st-4"])
        assert house.sandboxes.register.secret_ids() == {"st-1", "st-2"}
        with pytest.raises(NotFound, match="volume vo-9 does not exist"):
            await house.create(volumes=[VolumeMount(volume_id="vo-9", path="/data")])
        with pytest.raises(NotFound, match="st-9 was deleted"):
            await house.create(secret_ids=["st-9"])
        assert list(house.store.records) == [sandbox_id]
        assert "1" not in house.store.records[sandbox_id].spec.env.values()
        await house.sandboxes.close("over")

    run(main())


def test_it_is_told_who_it_is(tmp_path: Path) -> None:
    async def main() -> None:
        house = House(tmp_path)
        house.secrets = {"st-1": {"MODAL_TASK_ID": "mine", "MODAL_TOKEN_SECRET": "theirs"}}
        own = {"MODAL_SANDBOX_ID": "mine", "MODAL_TOKEN_ID": "theirs"}
        sandbox_id = await house.create(env=own, secret_ids=["st-1"])
        env = house.node.orders[sandbox_id].env
        assert house.node.orders[sandbox_id].secrets == {"MODAL_TOKEN_SECRET": "theirs"}
        for name in ("MODAL_SANDBOX_ID", "MODAL_TASK_ID", "WHERRY_SANDBOX_ID", "WHERRY_CONTAINER_ID"):
            assert env[name] == sandbox_id
        assert env["MODAL_IMAGE_ID"] == env["WHERRY_IMAGE_ID"] == house.store.records[sandbox_id].spec.image_id
        assert env["MODAL_TOKEN_ID"] == "theirs"
        await house.sandboxes.close("over")

    run(main())


def test_one_that_waits_for_room_does_not_hold_up_the_end(tmp_path: Path) -> None:
    async def main() -> None:
        house = House(tmp_path, capacity=host_of(1, 1024))
        await house.create(resources=Resources(cpu_request=1))
        waiting = asyncio.ensure_future(house.create(resources=Resources(cpu_request=1), app="ap-1"))
        await asyncio.sleep(0)
        await house.sandboxes.end_app("ap-1", "over")
        with pytest.raises(Unready, match="was ended while it waited for room"):
            await waiting
        assert len(house.node.orders) == 1
        await house.sandboxes.close("over")
        # What was given out has all come back.
        assert house.capacity.take(Capacity.share(1, 1024), "others")

    run(main())


# Streams


async def read(house: House, sandbox_id: str, offset: int = 0) -> bytes:
    return b"".join([data async for data in house.sandboxes.streams.output(sandbox_id, 1, offset, True)])


def test_output_is_kept_after_the_end(tmp_path: Path) -> None:
    async def main() -> None:
        house = House(tmp_path)
        sandbox_id = await house.create()
        house.node.printed[sandbox_id, 1] = b"hello"
        house.node.exit(sandbox_id, ContainerExit(exit_code=0))
        # Whether from the container or from what was kept of it.
        assert await read(house, sandbox_id, 1) == b"ello"
        await house.sandboxes.close("over")
        assert house.node.removed == [sandbox_id]
        assert await read(house, sandbox_id) == b"hello"
        assert await read(house, sandbox_id, 3) == b"lo"

    run(main())


def test_output_cut_off_by_the_end_goes_on_from_what_is_kept(tmp_path: Path) -> None:
    async def main() -> None:
        house = House(tmp_path)
        sandbox_id = await house.create()
        house.node.printed[sandbox_id, 1] = b"he"
        reading = house.sandboxes.streams.output(sandbox_id, 1, 0, True)
        assert await anext(reading) == b"h"
        house.node.printed[sandbox_id, 1] = b"hello"
        house.node.exit(sandbox_id, ContainerExit(exit_code=0))
        assert b"".join([data async for data in reading]) == b"ello"
        await house.sandboxes.close("over")

    run(main())


def test_input_that_comes_twice_is_written_once(tmp_path: Path) -> None:
    async def main() -> None:
        house = House(tmp_path)
        sandbox_id = await house.create()
        await house.sandboxes.streams.write(sandbox_id, "a", 0, b"abc", False)
        await house.sandboxes.streams.write(sandbox_id, "a", 0, b"abcdef", True)
        await house.sandboxes.streams.write(sandbox_id, "b", 0, b"x", False)
        assert house.node.typed == [(b"abc", False), (b"def", True), (b"x", False)]
        with pytest.raises(Unready, match="was closed when the service was started again"):
            await house.sandboxes.streams.write(sandbox_id, "c", 5, b"x", False)
        await house.sandboxes.close("over")

    run(main())


def test_snapshot_is_an_image_like_any(tmp_path: Path) -> None:
    async def main() -> None:
        house = House(tmp_path)
        sandbox_id = await house.create()
        image_id = await house.sandboxes.snapshot(sandbox_id)
        assert house.node.snapshots == [(sandbox_id, image_id)]
        assert house.images.adopted == [image_id]
        second = await house.create(image_id=image_id)
        assert house.node.orders[second].image == f"image-{image_id}"
        assert house.sandboxes.register.image_ids() == {IMAGE, image_id}
        await house.sandboxes.close("over")

    run(main())


# Checks


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"image_id": ""}, "has no image"),
        ({"timeout_s": 0}, "timeout is 0: it must be from 1 to 86400"),
        ({"timeout_s": float("nan")}, "timeout is nan"),
        ({"idle_timeout_s": -1}, "idle_timeout is -1"),
        ({"command": ["", "x"]}, "first part is empty"),
        ({"command": ["a\0b"]}, "NUL"),
        ({"command": ["x" * (1 << 18)]}, "over 128 KiB"),
        ({"env": {"A=B": "c"}}, "env has 'A=B'"),
        ({"workdir": "here"}, "workdir is 'here': it must be an absolute path"),
        ({"resources": Resources(cpu_limit=5000)}, "cpu is 5000"),
        ({"ports": [SandboxPort(port=80)], "block_network": True}, "without network has no ports"),
        ({"ports": [SandboxPort(port=80), SandboxPort(port=80)]}, "named twice"),
        ({"ports": [SandboxPort(port=70000)]}, "port is 70000"),
    ],
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any], told: str) -> None:
    spec = SandboxSpec(**{"command": ["true"], "image_id": IMAGE, "timeout_s": 300, **changes})
    with pytest.raises(InvalidRequest, match=told):
        check(SandboxCreateRequest(spec=spec))


def test_names_and_tags_are_checked() -> None:
    spec = SandboxSpec(image_id=IMAGE, timeout_s=300)
    with pytest.raises(InvalidRequest, match="a sandbox's name is 'a b'"):
        check(SandboxCreateRequest(name="a b", spec=spec))
    with pytest.raises(InvalidRequest, match="at most 64 tags"):
        check(SandboxCreateRequest(tags={str(n): "" for n in range(65)}, spec=spec))


def test_settings_come_from_the_environment() -> None:
    assert SandboxSettings.from_environment({}) == SandboxSettings()
    found = SandboxSettings.from_environment({"WHERRY_SANDBOX_RUNTIME": "runsc", "WHERRY_SANDBOX_PIDS": "64"})
    assert (found.runtime, found.pids_limit) == ("runsc", 64)
    with pytest.raises(Unready, match="WHERRY_SANDBOX_RUNTIME is '--x'"):
        SandboxSettings.from_environment({"WHERRY_SANDBOX_RUNTIME": "--x"})
    with pytest.raises(Unready, match="WHERRY_SANDBOX_PIDS is '3': it must be a whole number from 16"):
        SandboxSettings.from_environment({"WHERRY_SANDBOX_PIDS": "3"})


def test_the_runtime_reaches_the_engine(tmp_path: Path) -> None:
    async def main() -> None:
        house = House(tmp_path, settings=SandboxSettings(runtime="runsc"))
        sandbox_id = await house.create()
        assert house.node.orders[sandbox_id].runtime == "runsc"
        house.node.start_error = RuntimeMissing("could not create container: no runsc; add the runtime")
        with pytest.raises(Unready, match="could not start: could not create container: no runsc; add the runtime"):
            await house.create()
        await house.sandboxes.close("over")

    run(main())
