"""What real runners print, on its way into the log."""

import asyncio
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.test_node_and_runner import World, run
from wherry_proto.messages import LogLine
from wherry_service.logs.query import Query
from wherry_service.node.throttle import BURST, LINE_BYTES, RATE

SOURCE = b"""
import asyncio, ctypes, os, sys, time

async def step(n):
    for i in range(3):
        print(f"{n} at {i}")
        await asyncio.sleep(0.01)
    os.write(1, b"from C\\n")

def flood(seconds):
    end = time.monotonic() + seconds
    line, count = "x" * 99, 0
    while time.monotonic() < end:
        for _ in range(500):
            print(line)
        count += 500
    return count

def double(x): return 2 * x

def long_line(secret):
    # The runner sends 64 KiB at a time.
    print("a" * (64 * 1024 - 3) + secret + "b" * 10)
    print("and", secret, "alone")
    os.write(1, (secret + "\\n").encode())

def shout_and_crash():
    print("to stdout")
    print("to stderr", file=sys.stderr)
    ctypes.string_at(0)

def mark(path):
    print("hello")
    if not os.path.exists(path):
        open(path, "w").close()
        time.sleep(60)
    return os.getpid()
"""


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A directory with a short path, for its sockets: 107 characters are the most."""
    with tempfile.TemporaryDirectory(prefix="wherry-") as directory:
        yield Path(directory)


async def kept(world: World) -> list[LogLine]:
    return [line async for chunk in world.kept.lines(Query("ap-1")) for line in chunk]


def test_lines_of_concurrent_inputs_are_those_of_their_calls(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        function_id = world.open("step", is_async=True, max_concurrent_inputs=4, max_containers=1)
        calls = {world.call(function_id, (n,)): n for n in range(4)}
        await world.receive(4)
        lines = await kept(world)
        assert len({line.container_id for line in lines}) == 1
        for call_id, n in calls.items():
            assert [line.text for line in lines if line.call_id == call_id] == [f"{n} at {i}" for i in range(3)]
        # What C writes is nobody's where several run.
        assert "from C" in [line.text for line in lines if not line.call_id]

    run(tmp_path, scenario, SOURCE)


def test_b65_secrets_are_masked_wherever_lines_are_cut(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.masks.add("ap-1", ["hunter22"])
        world.call(world.open("long_line"), ("hunter22",))
        await world.receive(1)
        lines = await kept(world)
        assert [line.goes_on for line in lines] == [True, False, False, False]
        # The client that runs the app sees the same, as it came.
        for seen in (lines, world.logs):
            whole = "".join(line.text + "\n" * (not line.goes_on) for line in seen).splitlines()
            assert whole == ["a" * (64 * 1024 - 3) + "****" + "b" * 10, "and **** alone", "****"]
        written = b"".join(path.read_bytes() for path in (tmp_path / "logs").rglob("*") if path.is_file())
        assert b"hunter22" not in written

    run(tmp_path, scenario, SOURCE)


def test_the_last_words_of_a_crash_are_kept(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        call_id = world.call(world.open("shout_and_crash"), ())
        await world.receive(1)
        lines = [line for line in await kept(world) if line.call_id == call_id]
        texts = [line.text for line in lines]
        # It was run four times.
        assert texts.count("to stdout") == texts.count("to stderr") == 4
        assert texts.count("Fatal Python error: Segmentation fault") == 4
        assert any("in shout_and_crash" in text for text in texts)
        (last,) = lines[-1:]
        assert last.text == f"container {last.container_id} was killed by signal 11 (SIGSEGV)"
        assert [line.stream for line in lines if line.text.startswith("to ")][:2] == [1, 2]

    run(tmp_path, scenario, SOURCE)


def test_a_container_that_prints_without_end_slows_only_itself(tmp_path: Path) -> None:
    seconds = 2.0

    async def scenario(world: World) -> None:
        loop = asyncio.get_running_loop()
        double = world.open("double")
        world.call(double, (0,))
        await world.receive(1)

        began = loop.time()
        call_id = world.call(world.open("flood"), (seconds,))
        await world.until(lambda: world.kept._next > 0 and len(world.node._containers) == 2)
        times = []
        while not any(output.call_id == call_id for output in world.outputs):
            before, known = loop.time(), len(world.outputs)
            world.call(double, (1,))
            await world.receive(known + 1)
            times.append(loop.time() - before)
        took = loop.time() - began

        count = max(v for v in world.values() if v > 2)
        lines = [line for line in await kept(world) if line.call_id == call_id]
        # Nothing is lost, and it came no faster than it may; alone it prints several times that.
        assert len(lines) == count
        assert count * (99 + LINE_BYTES) < RATE * took + 2 * BURST, f"{count} lines in {took} s"
        times.sort()
        assert times[len(times) // 2] < 0.05, f"median {times[len(times) // 2]} s of {len(times)} calls"

    run(tmp_path, scenario, SOURCE)


def test_what_a_container_wrote_before_it_died_is_read_though_it_was_paused(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        function_id = world.open("mark")
        world.call(function_id, (str(tmp_path),))
        await world.receive(1)
        (container,) = world.node._containers.values()
        container.conversation.pause()
        mark = tmp_path / "mark"
        world.call(function_id, (str(mark),))
        await world.until(mark.exists)
        os.kill(world.values()[0], signal.SIGKILL)
        # It runs again in another.
        await world.receive(2)
        of_the_dead = [line.text for line in await kept(world) if line.container_id == container.container_id]
        assert of_the_dead == ["hello", "hello", f"container {container.container_id} was killed by signal 9 (SIGKILL)"]

    run(tmp_path, scenario, SOURCE)
