"""Dispatcher, node agent and the real runner, its containers being plain processes."""

import asyncio
import errno
import hashlib
import os
import pickle
import signal
import socket
import tempfile
from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import uvloop

from tests.fakes.apps import no_secrets
from tests.fakes.calls import journal_of
from tests.fakes.engine import FakeEngine
from tests.fakes.host import host_of
from tests.fakes.node import no_buckets, no_guests, no_web
from wherry._connection.rebuilt import Rebuilt
from wherry_proto.messages import (
    CallKind,
    CallStart,
    FailureKind,
    Format,
    FunctionSpec,
    LogLine,
    Output,
    Payload,
    PoolSettings,
    SourceFile,
    Yield,
)
from wherry_proto.messages import Input as InputMessage
from wherry_service.apps.plans import plan_of, retry_of
from wherry_service.calls.client import Clients
from wherry_service.calls.diary import Diary
from wherry_service.calls.dispatcher import Dispatcher
from wherry_service.calls.queue import QueueLimit
from wherry_service.engines.containment import Containment
from wherry_service.engines.engine import ContainerSpec, ContainerStatus, EngineEvent
from wherry_service.ids import new_id
from wherry_service.logs.masks import Masks
from wherry_service.logs.store import LogStore
from wherry_service.node import deaths, silence
from wherry_service.node.container_files import ContainerFiles
from wherry_service.node.local import LocalNode
from wherry_service.pools import starts
from wherry_service.pools.pools import Pools
from wherry_service.store.blobs import BlobStore
from wherry_service.store.database import Database
from wherry_service.store.sources import SourceStore
from wherry_service.store.volumes import VolumeStore

DEADLINE_S = 20.0
SOURCE = b"""
import os, signal, subprocess, sys, time

def double(x): return 2 * x
def big(n): return b"x" * n
def size(data): return len(data)
def pid(): return os.getpid()
def die(path):
    # The first time only: the second run succeeds.
    if not os.path.exists(path):
        open(path, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return "lived"
def always_die(): os._exit(7)
def fail(text): raise ValueError(text)
def leave(): sys.exit(3)
def chat():
    print("from python")
    print("to stderr", file=sys.stderr)
    subprocess.run(["sh", "-c", "echo from a subprocess"])
    return "done"
def count(n):
    for i in range(n):
        yield i
def wait(path):
    while not os.path.exists(path):
        time.sleep(0.01)
    return os.getpid()
"""


class World:
    """A service's inside: everything from the dispatcher down is real, but the engine."""

    def __init__(self, directory: Path, source: bytes = SOURCE) -> None:
        self.engine = FakeEngine({"image": {}})
        self.blobs = BlobStore(directory / "blobs")
        sources = SourceStore(directory / "sources", self.blobs)
        self.database = Database(f"sqlite:///{directory / 'test.db'}")
        self.database.begin()
        self.masks = Masks()
        self.kept = LogStore(directory / "logs")
        self.kept.begin()
        self.node = LocalNode(
            self.engine, directory / "run", self.blobs, sources, VolumeStore(directory / "volumes"),
            no_buckets(self.engine, directory), self.masks, Containment(), starts_at_once=4,
            connect_guest=no_guests, connect_web=no_web,
        )  # fmt: skip
        self.pools = Pools(self.node, host_of(4.0, 4096))
        self.clients = Clients()
        self.journal = journal_of(self.database, self.blobs)
        self.dispatcher = Dispatcher(self.pools, self.clients, self.journal, Diary(self.kept, self.masks), QueueLimit())
        self.client = self.clients.connect(new_id("cl"))
        self.outputs: list[Output] = []
        self.yields: list[Yield] = []
        self.logs: list[LogLine] = []
        content = "sha256:" + hashlib.sha256(source).hexdigest()
        self.blobs.put(content, [source])
        self.source_id = sources.put([SourceFile(path="user_module.py", blob_id=content)])
        self.node.begin()

    def open(self, name: str, module: str = "user_module", **settings: Any) -> str:
        settings.setdefault("scaledown_window_s", 60.0)
        function_id = new_id("fu")
        spec = FunctionSpec(
            name=name,
            module_name=module,
            qualname=name,
            image_id="im-1",
            source_id=self.source_id,
            is_generator=name == "count",
            is_async=settings.pop("is_async", False),
            timeout_s=settings.pop("timeout_s", 60.0),
            pool=PoolSettings(**settings),
        )

        async def ready(image_id: str) -> str:
            return "image"

        plan = plan_of("ap-1", function_id, spec, ready, no_secrets, lambda: ("shop", "main"))
        self.dispatcher.open_function(plan, retry_of(spec), "ap-1", self.client.client_id)
        return function_id

    def call(self, function_id: str, *arguments: tuple[Any, ...], kind: int = CallKind.MAP) -> str:
        call_id = new_id("fc")
        self.journal.start(self.client, CallStart(call_id=call_id, function_id=function_id, kind=kind))
        messages = []
        for index, args in enumerate(arguments):
            data = pickle.dumps((args, {}))
            payload = Payload(format=Format.PICKLE, data=data, size=len(data))
            if len(data) > 1 << 20:
                blob_id = new_id("bl")
                self.blobs.put(blob_id, [data])
                payload = Payload(format=Format.PICKLE, blob_id=blob_id, size=len(data))
            messages.append(InputMessage(input_id=new_id("in"), call_id=call_id, index=index, payload=payload))
        self.dispatcher.submit(self.journal.new_inputs(messages))
        return call_id

    async def receive(self, count: int) -> list[Output]:
        async with asyncio.timeout(DEADLINE_S):
            while len(self.outputs) < count:
                message = await self.client.next_message(self.client.session)
                if message is not None:
                    self.outputs += message.outputs
                    self.yields += message.yields
                    self.logs += message.logs
        return self.outputs

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                await asyncio.sleep(0.005)

    def values(self) -> list[Any]:
        found = []
        for output in sorted(self.outputs, key=lambda output: output.index):
            assert output.failure is None, output.failure
            assert output.payload is not None
            blob_id = output.payload.blob_id
            found.append(pickle.loads(b"".join(self.blobs.read(blob_id)) if blob_id else output.payload.data))
        return found


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A directory with a short path, for its sockets: 107 characters are the most."""
    with tempfile.TemporaryDirectory(prefix="wherry-") as directory:
        yield Path(directory)


def run(tmp_path: Path, scenario: Callable[[World], Coroutine[Any, Any, None]], source: bytes = SOURCE) -> None:
    async def main() -> None:
        world = World(tmp_path, source)
        try:
            await scenario(world)
        finally:
            await world.pools.close_all(0.0)
            await world.node.close()
            await world.engine.close()
            await world.kept.close()
            world.database.close()
            assert list((tmp_path / "run").iterdir()) == []

    uvloop.run(main())


def test_inputs_go_in_and_values_come_back(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(world.open("double", max_containers=2), *((x,) for x in range(500)))
        await world.receive(500)
        assert world.values() == [2 * x for x in range(500)]

    run(tmp_path, scenario)


def test_b19_large_payloads_go_through_blobs_both_ways(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(world.open("big"), (3 << 20,))
        await world.receive(1)
        assert world.values() == [b"x" * (3 << 20)]
        world.outputs.clear()
        world.call(world.open("size"), (b"y" * (5 << 20),))
        await world.receive(1)
        assert world.values() == [5 << 20]

    run(tmp_path, scenario)


def test_every_line_arrives_before_the_output_and_knows_its_input(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(world.open("chat"), ())
        (output,) = await world.receive(1)
        lines = {(line.stream, line.text) for line in world.logs}
        assert lines == {(1, "from python"), (2, "to stderr"), (1, "from a subprocess")}
        assert {line.input_id for line in world.logs if line.text != "from a subprocess"} == {output.input_id}

    run(tmp_path, scenario)


def test_b33_a_killed_container_costs_a_second_run(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(world.open("die"), (str(tmp_path / "died"),))
        await world.receive(1)
        assert world.values() == ["lived"]

    run(tmp_path, scenario)


def test_a_function_that_always_kills_its_process_fails_saying_how(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(world.open("always_die", max_containers=1), ())
        (output,) = await world.receive(1)
        assert output.failure is not None
        assert output.failure.kind == FailureKind.CONTAINER_LOST
        assert output.failure.exit_code == 7
        assert output.failure.message.startswith("The container exited with code 7 while it ran this input.")

    run(tmp_path, scenario)


def test_b26_what_a_function_raises_is_its_failure_and_the_container_lives(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(world.open("fail"), ("no",))
        (output,) = await world.receive(1)
        assert output.failure is not None
        assert output.failure.exception is not None
        exception = Rebuilt(pickle.loads(output.failure.exception.data), str).error
        assert (type(exception), exception.args) == (ValueError, ("no",))
        world.outputs.clear()
        leaving = world.open("leave")
        world.call(leaving, ())
        (output,) = await world.receive(1)
        assert output.failure is not None
        assert output.failure.type_name.endswith("SystemExit")
        pool = world.pools.get(leaving)
        assert pool is not None
        assert len(pool.live()) == 1

    run(tmp_path, scenario)


def test_b27_a_module_that_is_missing_fails_what_waits(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(world.open("f", module="not_there", max_containers=1), (), ())
        outputs = await world.receive(2)
        assert {output.failure.kind for output in outputs if output.failure} == {FailureKind.STARTUP}
        assert all("not_there" in output.failure.message for output in outputs if output.failure)

    run(tmp_path, scenario)


def test_b16_generators_stream_with_back_pressure(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(world.open("count"), (2000,), kind=CallKind.GENERATOR)
        item = None
        async with asyncio.timeout(DEADLINE_S):
            while not world.outputs:
                message = await world.client.next_message(world.client.session)
                if message is None:
                    continue
                world.yields += message.yields
                world.outputs += message.outputs
                assert len(world.yields) <= 2000
                if message.yields and (item := world.journal.open_input(message.yields[0].input_id)):
                    world.dispatcher.taken(item, len(world.yields))
        values = [pickle.loads(value.payload.data) for value in world.yields if value.payload]
        assert values == list(range(2000))
        assert world.outputs[0].num_yields == 2000

    run(tmp_path, scenario)


def test_b41_a_runner_outlives_a_broken_link(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        function_id = world.open("wait", max_containers=1)
        world.call(function_id, (str(tmp_path / "go"),))
        pool = world.pools.get(function_id)
        assert pool is not None
        await world.until(lambda: any(c.ready and c.held for c in pool.containers.values()))
        (container,) = pool.containers.values()
        handle: Any = container.handle
        handle.callers.link.close()
        await world.until(lambda: not handle.is_connected())
        (tmp_path / "go").touch()
        await world.receive(1)
        assert list(pool.containers.values()) == [container]
        assert world.values() != []

    run(tmp_path, scenario)


def test_b28_a_function_over_its_time_fails_and_its_container_goes_on(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(world.open("wait", timeout_s=0.3), (str(tmp_path / "never"),))
        (output,) = await world.receive(1)
        assert output.failure is not None
        assert output.failure.kind == FailureKind.TIMEOUT

    run(tmp_path, scenario)


def test_a_stopped_engine_is_waited_for(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.engine.reachable = False
        world.call(world.open("pid"), ())
        async with asyncio.timeout(DEADLINE_S):
            while (message := await world.client.next_message(world.client.session)) is None or not message.notices:
                pass
        assert "was told not to answer; trying again" in message.notices[0].text
        world.engine.reachable = True
        await world.receive(1)
        os.kill(world.values()[0], signal.SIGCONT)

    run(tmp_path, scenario)


def test_a_process_that_is_killed_for_lack_of_memory_is_named_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deaths, "GOES_ON_S", 0.01)

    async def scenario(world: World) -> None:
        world.call(world.open("pid"), ())
        await world.receive(1)
        (engine_id, container), *_ = world.engine.containers.items()
        for _ in range(2):
            for queue in world.engine._listeners:
                queue.put_nowait(EngineEvent("oom", engine_id, container.spec.labels))
            await world.until(lambda: bool(world.client._logs))
            told = world.client._logs.popleft().text
            assert "a process in this container was killed: it ran out of memory" in told
        # It has not ended: when it does, that is no lack of memory.
        os.kill(world.values()[0], signal.SIGCONT)

    run(tmp_path, scenario)


def test_the_end_of_a_container_whose_image_has_anothers_label_is_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deaths, "GOES_ON_S", 0.01)

    async def scenario(world: World) -> None:
        function_id = world.open("pid")
        world.call(function_id, ())
        await world.receive(1)
        (engine_id, container), *_ = world.engine.containers.items()
        for queue in world.engine._listeners:
            queue.put_nowait(EngineEvent("die", "another", container.spec.labels, 0))
            # Its own, heard after the other one.
            queue.put_nowait(EngineEvent("oom", engine_id, container.spec.labels))
        await world.until(lambda: bool(world.client._logs))
        world.call(function_id, ())
        await world.receive(2)
        assert len(set(world.values())) == 1
        os.kill(world.values()[0], signal.SIGCONT)

    run(tmp_path, scenario)


def test_a_container_that_is_being_started_is_not_missed(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        start, gate, asked = world.engine.start, asyncio.Event(), asyncio.Event()
        create, made = world.engine.create, 0

        async def count(spec: ContainerSpec) -> str:
            nonlocal made
            made += 1
            return await create(spec)

        world.engine.create = count  # type: ignore[method-assign]

        async def slow(engine_id: str) -> None:
            asked.set()
            await gate.wait()
            await start(engine_id)

        world.engine.start = slow  # type: ignore[method-assign]
        world.call(world.open("pid"), ())
        await asked.wait()
        # As after an engine's own restart: it lists what it has, and this one does not run yet.
        world.engine.come_back()
        listed = world.engine.list

        async def last(labels: Mapping[str, str]) -> list[ContainerStatus]:
            found = await listed(labels)
            asyncio.get_running_loop().call_soon(gate.set)
            return found

        world.engine.list = last  # type: ignore[method-assign]
        await world.receive(1)
        assert made == 1
        os.kill(world.values()[0], signal.SIGCONT)

    run(tmp_path, scenario)


def test_a_container_that_the_engine_lost_as_it_started_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starts, "MAX_BACKOFF_S", 0.05)

    async def scenario(world: World) -> None:
        start, lost = world.engine.start, 0

        async def lose(engine_id: str) -> None:
            nonlocal lost
            if lost < 4:
                lost += 1
                world.engine.containers.pop(engine_id)
                world.engine.come_back()
            else:
                await start(engine_id)

        world.engine.start = lose  # type: ignore[method-assign]
        world.call(world.open("pid"), ())
        await world.receive(1)
        assert lost == 4
        os.kill(world.values()[0], signal.SIGCONT)

    run(tmp_path, scenario)


@pytest.mark.parametrize("sees_files", [False, True])
def test_an_engine_that_does_not_see_this_machine_is_found_out_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sees_files: bool
) -> None:
    monkeypatch.setattr(silence, "LOOKS_AFTER_S", (0.01,) * 1000)

    async def scenario(world: World) -> None:
        # Another machine's directory is empty; behind a virtual machine's shared one nobody listens.
        world.engine.elsewhere = str(tmp_path / "elsewhere")
        Path(world.engine.elsewhere).mkdir()
        if sees_files:
            with socket.socket(socket.AF_UNIX) as bound:
                bound.bind(f"{world.engine.elsewhere}/runner.sock")
        world.call(world.open("pid"), ())
        await world.receive(1)
        failure = world.outputs[0].failure
        assert failure is not None
        assert failure.kind == FailureKind.STARTUP
        assert "does not see this service's files or sockets: the engine is on another machine" in failure.message
        assert "point WHERRY_SERVER_URL at it" in failure.message
        # The first container told: no second one was tried.
        assert failure.message.count("no service is reached at") == 1

    run(tmp_path, scenario)


@pytest.mark.parametrize("where", ["make", "write_source"])
def test_a_disk_that_is_full_as_containers_start_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(starts, "MAX_BACKOFF_S", 0.05)
    whole, failures = getattr(ContainerFiles, where), 0

    def full(self: ContainerFiles, *args: str) -> None:
        nonlocal failures
        if failures < 5:
            failures += 1
            raise OSError(errno.ENOSPC, "No space left on device", "/somewhere/of/the/host")
        whole(self, *args)

    monkeypatch.setattr(ContainerFiles, where, full)

    async def scenario(world: World) -> None:
        world.call(world.open("pid"), ())
        notices: list[str] = []
        while not world.outputs:
            message = await world.client.next_message(world.client.session)
            if message is not None:
                world.outputs += message.outputs
                notices += [notice.text for notice in message.notices]
        assert failures == 5
        assert "is full: free space on it" in notices[0]
        assert notices[0].endswith("; trying again")
        assert "/somewhere" not in notices[0]
        os.kill(world.values()[0], signal.SIGCONT)

    run(tmp_path, scenario)


def test_b68_what_an_engine_that_is_away_could_not_remove_is_named_and_removed_later(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        function_id = world.open("pid")
        world.call(function_id, ())
        await world.receive(1)
        world.engine.reachable = False

        os.kill(world.values()[0], signal.SIGKILL)
        await world.dispatcher.close_function(function_id, 0.0, "The app was stopped.")
        (name,) = await world.node.left_over("wherry.app", "ap-1")

        assert name.startswith("wherry-co-")
        world.engine.come_back()
        assert [status.name for status in await world.engine.list({})] == [name]
        await world.until(lambda: not world.engine.containers)

    run(tmp_path, scenario)

    run(tmp_path, scenario)
