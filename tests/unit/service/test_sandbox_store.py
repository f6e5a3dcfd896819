"""Sandboxes on disk, and what Docker is asked for on their behalf."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.databases import Disk
from tests.fakes.engine import FakeEngine
from tests.fakes.sandbox_node import NoLists
from wherry_proto.messages import SandboxSpec, SandboxState
from wherry_service.engines.containment import Containment
from wherry_service.engines.docker_body import DROPPED_CAPABILITIES, create_body
from wherry_service.engines.docker_streams import clean_config
from wherry_service.engines.engine import ContainerSpec, EngineError, EngineImage
from wherry_service.ids import new_id
from wherry_service.node.local_sandboxes import WAITING, LocalSandboxes
from wherry_service.node.sandbox import FoundSandbox, SandboxOrder
from wherry_service.store.sandboxes import SandboxRecord, SandboxStore


def record(**changes: Any) -> SandboxRecord:
    values: dict[str, Any] = {
        "sandbox_id": new_id("sb"),
        "app_id": "ap-1",
        "app_name": "app",
        "environment": "main",
        "name": "one",
        "tags": {"a": "ä"},
        "spec": SandboxSpec(command=["true"], image_id="im-1", env={"A": "b"}),
        "created_at_ms": 1000,
        "tunnels": {8000: 40123},
        **changes,
    }
    return SandboxRecord(**values)


def test_what_is_written_is_read_again(disk: Disk) -> None:
    async def main() -> None:
        database = disk.database()
        try:
            store = SandboxStore(database)
            first, second = record(), record(name="two", environment="other")
            await store.add(first)
            await store.add(second)
            assert await store.get(first.sandbox_id) == first
            beginning = record(name="three", begun=False)
            await store.add(beginning)
            assert await store.get(beginning.sandbox_id) == beginning
            beginning.begun = True
            await store.change(beginning)
            assert await store.get(beginning.sandbox_id) == beginning
            await store.remove(beginning.sandbox_id)
            assert {item.sandbox_id for item in await store.running()} == {first.sandbox_id, second.sandbox_id}
            first.tags, first.state, first.returncode = {"b": "c"}, SandboxState.TIMED_OUT, 124
            first.reason, first.ended_at_ms, first.tunnels = "was idle", 2000, {}
            await store.change(first)
            assert await store.get(first.sandbox_id) == first
            assert await store.running() == [second]
            assert await store.latest("one", "app", "main") == first
            for name, app, environment in (("one", "app", "other"), ("one", "", "main"), ("two", "app", "other")):
                assert await store.latest(name, app, environment) is None
            later = record(name="one", state=SandboxState.EXITED, ended_at_ms=3000)
            await store.add(later)
            assert await store.latest("one", "app", "main") == later
            await store.remove(later.sandbox_id)
            assert await store.ended("main") == [first]
            assert await store.ended("other") == []
            assert await store.expire(2000) == []
            assert await store.expire(2001) == [first.sandbox_id]
            await store.remove(second.sandbox_id)
            assert await store.get(second.sandbox_id) is None
        finally:
            database.close()

    asyncio.run(main())


def test_a_sandboxs_container_as_docker_is_asked_for_it() -> None:
    arguments: Any = (
        None, "instance", asyncio.Semaphore(1), Path("/nowhere"), None, None, None, Containment(), NoLists()
    )  # fmt: skip
    node = LocalSandboxes(*arguments)
    order = SandboxOrder(
        sandbox_id="sb-1", app_id="ap-1", image="image", command=("true",), workdir="/tmp", block_network=True,
        pty=True, runtime="runsc", pids_limit=64, log_mib=8, memory_limit_mib=256,
    )  # fmt: skip
    body = create_body(node._spec(order, order.command, [], {}))
    host = body["HostConfig"]
    assert body["Healthcheck"] == {"Test": ["NONE"]}
    assert (body["WorkingDir"], body["Tty"], body["OpenStdin"], body["StdinOnce"]) == ("/tmp", True, True, True)
    assert body["Labels"] == {
        "wherry.instance": "instance", "wherry.kind": "sandbox", "wherry.container": "sb-1", "wherry.app": "ap-1"
    }  # fmt: skip
    assert (host["Runtime"], host["NetworkMode"], host["PidsLimit"], host["Binds"]) == ("runsc", "none", 64, [])
    assert set(host["CapDrop"]) == {*DROPPED_CAPABILITIES, "SYS_CHROOT", "SETPCAP"}
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["LogConfig"]["Config"] == {"max-size": "8m", "max-file": "2"}
    assert host["Memory"] == host["MemorySwap"] == 256 << 20


class OneImage:
    """An engine of which only one image is asked."""

    def __init__(self, image: EngineImage | None) -> None:
        self._image = image

    async def image(self, reference: str) -> EngineImage | None:
        return self._image


def _image(*entrypoint: str, command: tuple[str, ...] = ()) -> EngineImage:
    return EngineImage(tags=(), labels={}, size_bytes=0, entrypoint=entrypoint, command=command)


@pytest.mark.parametrize(
    ("image", "command", "runs"),
    [
        (_image(), ("a", "b"), ("a", "b")),
        (_image(), (), WAITING),
        (_image(command=("/bin/sh",)), (), WAITING),
        (_image(command=("python3",)), (), WAITING),
        (_image(command=("python3", "a.py")), (), ("python3", "a.py")),
        (_image(command=("python3",)), ("bash",), ("bash",)),
        (_image(command=("server",)), (), ("server",)),
        (_image(command=("server",)), ("a",), ("a",)),
        (_image("init", "--"), (), ("init", "--")),
        (_image("init", "--", command=("server",)), (), ("init", "--", "server")),
        (_image("init", "--", command=("server",)), ("a",), ("init", "--", "a")),
        (None, (), WAITING),
    ],
)
def test_what_a_sandbox_runs(image: EngineImage | None, command: tuple[str, ...], runs: tuple[str, ...]) -> None:
    arguments: Any = (
        OneImage(image), "i", asyncio.Semaphore(1), Path("/nowhere"), None, None, None, Containment(), NoLists()
    )  # fmt: skip
    node = LocalSandboxes(*arguments)
    order = SandboxOrder("sb-1", "", "image", command)
    assert asyncio.run(node._command(order)) == runs
    if not command:
        assert asyncio.run(node._command(replace(order, only_waits=True))) == WAITING


def test_secrets_and_files_are_copied_in_before_it_starts_and_the_engine_is_told_neither(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("of the tree")

    class Sources:
        """One tree, of one file."""

        def laid_out(self, source_id: str, is_file: bool) -> Path:
            assert (source_id, is_file) == ("so-1", True)
            return tmp_path / "file"

    class NoBuckets:
        """No sandbox has one."""

        async def acquire(self, sandbox_id: str, orders: object) -> tuple[list[Any], dict[str, str]]:
            return [], {}

    async def main() -> None:
        engine = FakeEngine({"image": {}})
        arguments: Any = (
            engine, "i", asyncio.Semaphore(2), tmp_path, Sources(), None, NoBuckets(), Containment(), NoLists()
        )  # fmt: skip
        node = LocalSandboxes(*arguments)
        secrets = {"TOKEN": "hush"}
        for number, (command, files) in enumerate(((("true",), False), (WAITING, False), (WAITING, True)), 1):
            copied = [("/data/x", "so-1", True)] if files else []
            order = SandboxOrder(f"sb-{number}", "", "image", command, secrets=secrets, copied_trees=copied)
            await node.start(order)
        made = [engine.containers[node.engine_id(f"sb-{number}")] for number in (1, 2, 3)]
        assert "hush" not in str([container.spec for container in made])
        assert [container.spec.command[0] for container in made] == ["sh", WAITING[0], WAITING[0]]
        assert [[path for path, _ in container.copied] for container in made] == [["/"], [], ["/"]]
        assert b"export TOKEN=hush" in made[0].copied[0][1]
        assert b"of the tree" in made[2].copied[0][1]
        await node.close()
        # One that a service was killed before it had filled is not begun: whoever asks again has it made anew.
        more: dict[str, dict[str, str]] = {"sb-90": {}, "sb-91": {"wherry.filled": "1"}}
        for sandbox_id, extra in more.items():
            labels = {"wherry.instance": "i", "wherry.kind": "sandbox", "wherry.container": sandbox_id, **extra}
            await engine.create(ContainerSpec(sandbox_id, "image", WAITING, labels=labels))
        later = LocalSandboxes(*arguments)
        assert {found.sandbox_id for found in await later.find()} - {"sb-1", "sb-2", "sb-3"} == {"sb-90"}
        assert "sb-91" not in {status.name for status in await engine.list({})}
        await later.close()
        await engine.close()

    asyncio.run(main())


class Refusing(FakeEngine):
    """Does not start what has such a name."""

    async def start(self, engine_id: str) -> None:
        if self.containers[engine_id].spec.name == "two":
            raise EngineError("could not start container two: no such program")
        await super().start(engine_id)


def test_a_sandbox_that_a_killed_service_had_made_and_not_started_begins_in_the_next_life() -> None:
    async def main() -> None:
        engine = Refusing({"image": {}})
        arguments: Any = (
            engine, "instance", asyncio.Semaphore(1), Path("/nowhere"), None, None, None, Containment(), NoLists()
        )  # fmt: skip
        node = LocalSandboxes(*arguments)
        labels = {"wherry.instance": "instance", "wherry.kind": "sandbox", "wherry.container": "sb-1"}
        command = ("python3", "-c", "import time; time.sleep(60)")
        engine_id = await engine.create(ContainerSpec("one", "image", command, labels=labels))
        broken = {**labels, "wherry.container": "sb-2"}
        await engine.create(ContainerSpec("two", "image", command, labels=broken))
        try:
            first, second = await node.find()
            assert first == FoundSandbox("sb-1")
            shown = await engine.inspect(engine_id)
            assert shown is not None
            assert shown.running
            assert (second.sandbox_id, second.exit is None) == ("sb-2", False)
        finally:
            await node.close()
            await engine.close()

    asyncio.run(main())


def test_a_functions_container_is_asked_for_as_ever() -> None:
    body = create_body(ContainerSpec(name="n", image="i", command=("c",)))
    assert not {"Tty", "OpenStdin", "WorkingDir"} & body.keys()
    assert body["Healthcheck"] == {"Test": ["NONE"]}
    assert "Runtime" not in body["HostConfig"]
    assert body["HostConfig"]["CapDrop"] == list(DROPPED_CAPABILITIES)


def test_an_image_made_of_a_container_has_none_of_its_variables_and_labels() -> None:
    container = {
        "Env": ["PATH=/odd", "TOKEN=secret", "EMPTY"],
        "Labels": {"wherry.container": "sb-1", "wherry.kind": "sandbox"},
        "Cmd": ["sleep", "1000000"],
        "WorkingDir": "/elsewhere",
    }
    image = {"Env": ["PATH=/bin", "LANG=C"], "Labels": {"own": "label"}, "Cmd": None, "Entrypoint": ["/start"]}
    made = clean_config(container, image, {"wherry.kind": "image"})
    assert made["Env"] == ["PATH=/bin", "TOKEN=", "EMPTY="]
    assert made["Labels"] == {"wherry.container": "", "wherry.kind": "image", "own": "label"}
    assert (made["Entrypoint"], made["Cmd"], made["WorkingDir"]) == (["/start"], [], "/")
    assert clean_config(container, {}, {})["Cmd"] == ["/bin/sh"]
