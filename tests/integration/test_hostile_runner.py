"""Code in a container that speaks on its runner's sockets itself: it is ended, or not heard, and others go on."""

import asyncio
import json
import logging
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_node_and_runner import World, run
from wherry_proto.messages import CallKind, FailureKind
from wherry_service.node.callers import MAX_CALLERS, MAX_REFUSED
from wherry_service.node.local_container import LocalContainer

HELLO = {"t": "hello", "protocol": 1, "python": "3.11.2", "pid": 1, "running": [], "loaded": True}


def frame(header: Any, body: bytes = b"") -> bytes:
    head = json.dumps(header).encode()
    return struct.pack(">II", len(head), len(body)) + head + body


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A short one: a socket's name has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="wh-") as directory:
        yield Path(directory)


class Attacked:
    """A container that runs an input until the file `go` is there."""

    def __init__(self, world: World, tmp_path: Path) -> None:
        self.world = world
        self.go = tmp_path / "go"
        self.writers: list[asyncio.StreamWriter] = []

    async def begin(self) -> "Attacked":
        self.world.call(self.world.open("wait"), (str(self.go),), kind=CallKind.REMOTE)
        await self.world.until(lambda: bool(self._containers()) and self.container.conversation.loaded)
        await self.world.until(lambda: bool(self.container.conversation.holdings.ids))
        return self

    def _containers(self) -> list[LocalContainer]:
        return list(self.world.node._containers.values())

    @property
    def container(self) -> LocalContainer:
        return self._containers()[0]

    async def connect(self, sent: bytes) -> asyncio.StreamReader:
        """Connect to the runner's socket, as its code can."""
        path = Path(self.container._files.mount.source) / "runner.sock"
        reader, writer = await asyncio.open_unix_connection(path)
        self.writers.append(writer)
        writer.write(sent)
        return reader

    async def ended(self, reader: asyncio.StreamReader) -> None:
        async with asyncio.timeout(10):
            try:
                while await reader.read(1 << 16):
                    pass
            except ConnectionError:
                pass

    async def close(self) -> None:
        for writer in self.writers:
            writer.close()


def attack(tmp_path: Path, work: Any) -> None:
    async def scenario(world: World) -> None:
        attacked = await Attacked(world, tmp_path).begin()
        try:
            await work(attacked)
        finally:
            await attacked.close()

    run(tmp_path, scenario)


def test_a_second_connection_does_not_take_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def work(attacked: Attacked) -> None:
        link = attacked.container.conversation.callers.link
        for _ in range(3):
            await attacked.ended(await attacked.connect(frame(HELLO)))
        assert attacked.container.conversation.callers.link is link
        attacked.go.touch()
        await attacked.world.receive(1)
        attacked.world.values()

    with caplog.at_level(logging.WARNING):
        attack(tmp_path, work)
    told = [record.message for record in caplog.records if "a second time" in record.message]
    assert len(told) == 1


def test_connections_that_say_nothing_are_few(tmp_path: Path) -> None:
    async def work(attacked: Attacked) -> None:
        readers = [await attacked.connect(struct.pack(">II", 1 << 20, 0) + b"x" * 1000) for _ in range(20)]
        for reader in readers[:-MAX_CALLERS]:
            await attacked.ended(reader)
        assert len(attacked.container.conversation.callers.waiting) <= MAX_CALLERS
        attacked.go.touch()
        await attacked.world.receive(1)
        attacked.world.values()

    attack(tmp_path, work)


def test_a_body_before_hello_is_not_read(tmp_path: Path) -> None:
    async def work(attacked: Attacked) -> None:
        container = attacked.container
        await attacked.ended(await attacked.connect(struct.pack(">II", 100, 15 << 20) + b" " * 100 + b"x" * 65536))
        assert container.kill_reason.startswith("broke the runner protocol: body of 15728640 bytes")
        attacked.go.touch()
        # Its input runs again, elsewhere.
        await attacked.world.receive(1)
        attacked.world.values()

    attack(tmp_path, work)


def test_one_who_connects_again_and_again_is_ended(tmp_path: Path) -> None:
    async def work(attacked: Attacked) -> None:
        container = attacked.container
        for _ in range(MAX_REFUSED):
            await attacked.ended(await attacked.connect(frame(HELLO)))
        assert f"a second time, {MAX_REFUSED} times" in container.kill_reason

    attack(tmp_path, work)


SOURCE = b"""
import json, os, socket, struct, time

def frame(raw, body=b""):
    raw = raw if isinstance(raw, bytes) else json.dumps(raw).encode()
    return struct.pack(">II", len(raw), len(body)) + raw + body

def own():
    # The runner's own connection.
    for name in os.listdir("/proc/self/fd"):
        try:
            s = socket.socket(fileno=os.dup(int(name)))
            if str(s.getpeername()).endswith("runner.sock"):
                return s
        except OSError:
            pass

def say(raw, body):
    import gc
    for o in gc.get_objects():
        if type(o).__name__ == "Intake" and hasattr(o, "held"):
            held = list(o.held)
    own().sendall(frame(raw.replace(b"INPUT", held[0].encode()), body))
    time.sleep(60)

def mute():
    own().shutdown(socket.SHUT_RDWR)
    return "heard"

def answer(): return 42
"""


@pytest.mark.parametrize(
    ("raw", "body", "says"),
    [
        (b'{"t":"yields","rows":[["INPUT",0,1,null,1]],"parts":[1]}', b"x", "no generator"),
        (b'{"t":"outputs","rows":[["INPUT",10,null,1,0]],"parts":[1]}', b"x", "no web endpoint"),
        (b'{"t":"outputs","rows":[["INPUT",1,null,1,5]],"parts":[1]}', b"x", "no generator"),
        (b'{"t":"ready","seconds":1' + b"0" * 300 + b"}", b"", "ready without seconds"),
        (b'{"t":"ready","seconds":1' + b"0" * 400 + b"}", b"", "header is not JSON: number is infinity"),
        (b'{"t":"load_failed","type":"\\ud800"}', b"", "not JSON"),
        (b'{"t":"pong"', b"", "not JSON"),
    ],
)
def test_what_a_container_says_on_its_own_connection_ends_it_and_no_other(
    tmp_path: Path, raw: bytes, body: bytes, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(world: World) -> None:
        world.call(world.open("say"), (raw, body), kind=CallKind.REMOTE)
        world.call(world.open("answer"), (), kind=CallKind.REMOTE)
        await world.receive(2)
        answered, failed = sorted(world.outputs, key=lambda output: output.failure is not None)
        assert answered.failure is None
        assert failed.failure is not None
        assert failed.failure.kind == FailureKind.CONTAINER_LOST
        assert "broke the runner protocol" in failed.failure.message
        assert says in failed.failure.message

    run(tmp_path, scenario, SOURCE)
    assert not [record for record in caplog.records if "Fatal" in record.message or record.levelno >= logging.ERROR]


def test_a_runner_whose_connection_broke_comes_back(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.call(world.open("mute"), (), kind=CallKind.REMOTE)
        await world.receive(1)
        assert world.values() == ["heard"]

    run(tmp_path, scenario, SOURCE)
