"""Execs: how they end, what a client hears, and what goes on without it."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any

import pytest

from tests.fakes.clock import run_fast
from tests.waiting import wait_until
from wherry_proto.messages import ExecRequest, ExecStart, TerminalSize
from wherry_service.engines.engine import EngineError, ExecSpec
from wherry_service.errors import InvalidRequest
from wherry_service.node.execs import _KILL_MARKED, Execs, WithSocket


class FakeExec:
    """A command whose output and end the test decides."""

    def __init__(self, spec: ExecSpec) -> None:
        self.spec = spec
        self.printed: asyncio.Queue[tuple[int, bytes] | Exception | None] = asyncio.Queue()
        self.typed: list[bytes | None] = []
        self.code: int | None = 0
        self.reads = asyncio.Event()
        self.reads.set()
        self.closed = False
        self.number = 1 << 30
        self.streams: socket.socket | None = None

    async def read(self) -> tuple[int, bytes] | None:
        found = await self.printed.get()
        if isinstance(found, Exception):
            raise found
        return found

    async def write(self, data: bytes) -> None:
        await self.reads.wait()
        self.typed.append(data)

    async def close_stdin(self) -> None:
        self.typed.append(None)

    async def resize(self, rows: int, columns: int) -> None:
        self.typed.append(b"%d x %d" % (rows, columns))

    def hand_over(self) -> socket.socket | None:
        if self.streams is not None:
            self.printed.put_nowait(None)
        return self.streams

    async def pid(self) -> int:
        return self.number

    async def exit_code(self) -> int | None:
        return self.code

    def close(self) -> None:
        self.closed = True


class House:
    """Execs on an engine of fakes; commands that kill others are kept apart."""

    def __init__(self) -> None:
        self.made: list[FakeExec] = []
        self.killers: list[FakeExec] = []
        self.used: list[str] = []
        self.opens = asyncio.Event()
        self.opens.set()
        # The runtime of the container, if its first process is the engine's init, and what it answers when it is tried.
        self.runtime: str | None = "runc"
        self.init_ends_with: int | None = 0
        self.tried = 0
        self.execs = Execs(self, lambda i: self.used.append(f"+{i}"), lambda i: self.used.append(f"-{i}"))  # type: ignore[arg-type]
        self.requests: asyncio.Queue[ExecRequest | None] = asyncio.Queue()

    async def runtime_with_init(self, engine_id: str) -> str | None:
        return self.runtime

    async def exec(self, engine_id: str, spec: ExecSpec) -> FakeExec:
        await self.opens.wait()
        exec = FakeExec(spec)
        if spec.command[-1] == "--version":
            self.tried += 1
            exec.code = self.init_ends_with
            exec.printed.put_nowait(None)
        elif "environ" in "".join(spec.command):
            self.killers.append(exec)
            exec.printed.put_nowait(None)
            # What it kills closes its streams.
            self.made[0].printed.put_nowait(None)
        else:
            self.made.append(exec)
        return exec

    def run(self, *, can_hand_over: bool = False, **start: Any) -> AsyncIterator[Any]:
        values: dict[str, Any] = {"container_id": "sb-1", "args": ["cmd"], **start}
        return self.execs.run("engine", ExecStart(**values), self._heard(), can_hand_over=can_hand_over)

    async def _heard(self) -> AsyncIterator[ExecRequest]:
        while (request := await self.requests.get()) is not None:
            yield request


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 20))


async def ended(replies: AsyncIterator[Any]) -> tuple[bytes, bytes, int | str]:
    out, err = b"", b""
    async for reply in replies:
        out, err = out + reply.stdout, err + reply.stderr
        if reply.exit is not None:
            return out, err, reply.exit.code
        if reply.error:
            return out, err, reply.error
    raise AssertionError("it ended without a word")


async def _commands(house: House, number: int) -> list[tuple[str, ...]]:
    for _ in range(number):
        replies = house.run()
        await anext(replies)
        house.made[-1].printed.put_nowait(None)
        await ended(replies)
    return [exec.spec.command for exec in house.made]


def test_a_command_runs_below_the_engines_init_where_that_can_keep_what_it_leaves_behind() -> None:
    async def main() -> None:
        able = House()
        assert await _commands(able, 2) == [("/sbin/docker-init", "-s", "--", "cmd")] * 2
        assert able.tried == 0
        other = House()
        other.runtime = "kata"
        assert await _commands(other, 2) == [("/sbin/docker-init", "-s", "--", "cmd")] * 2
        assert other.tried == 1
        # As in gVisor.
        unable = House()
        unable.runtime, unable.init_ends_with = "runsc", 1
        assert await _commands(unable, 2) == [("cmd",)] * 2
        assert unable.tried == 1
        # Each runtime is one of its own.
        unable.runtime, unable.init_ends_with = "runc", 0
        assert (await _commands(unable, 1))[-1] == ("/sbin/docker-init", "-s", "--", "cmd")
        without = House()
        without.runtime = None
        assert await _commands(without, 1) == [("cmd",)]
        assert without.tried == 0

    run(main())


@pytest.mark.parametrize("code", [None, 126, 127, 137])
def test_what_says_nothing_of_a_runtime_is_not_remembered_of_it(code: int | None) -> None:
    async def main() -> None:
        house = House()
        house.runtime, house.init_ends_with = "kata", code
        assert await _commands(house, 1) == [("cmd",)]
        house.init_ends_with = 0
        assert (await _commands(house, 1))[-1][0] == "/sbin/docker-init"

    run(main())


def test_streams_both_ways_and_the_exit_code() -> None:
    async def main() -> None:
        house = House()
        replies = house.run(env={"A": "b"}, workdir="/w", user="u")
        assert (await anext(replies)).started
        exec = house.made[0]
        assert (exec.spec.env["A"], exec.spec.workdir, exec.spec.user) == ("b", "/w", "u")
        house.requests.put_nowait(ExecRequest(stdin=b"in"))
        house.requests.put_nowait(ExecRequest(stdin_eof=True))
        while len(exec.typed) < 2:
            await asyncio.sleep(0)
        exec.code = 3
        for item in ((1, b"out"), (2, b"err"), None):
            exec.printed.put_nowait(item)
        assert await ended(replies) == (b"out", b"err", 3)
        assert exec.typed == [b"in", None]
        await house.execs.close()
        while len(house.used) < 2:
            await asyncio.sleep(0)
        assert (house.used, exec.closed) == (["+sb-1", "-sb-1"], True)

    run(main())


def test_b60_timeout_is_124_and_it_is_killed_by_its_mark() -> None:
    async def main() -> None:
        house = House()
        replies = house.run(timeout_s=5)
        assert (await anext(replies)).started
        house.made[0].printed.put_nowait((1, b"so far"))
        assert await ended(replies) == (b"so far", b"", 124)
        (killer,) = house.killers
        assert killer.spec.command[-1] == f"WHERRY_EXEC={house.made[0].spec.env['WHERRY_EXEC']}"
        assert killer.spec.env == {}

    run_fast(main())


def test_a_terminal_whose_client_goes_before_it_has_begun_is_killed() -> None:
    async def main() -> None:
        house = House()
        house.opens.clear()
        waiting = asyncio.ensure_future(anext(house.run(pty=True)))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
        house.opens.set()
        while house.used != ["+sb-1", "-sb-1"]:
            await asyncio.sleep(0)
        assert len(house.killers) == 1
        assert house.made[0].closed

    run(main())


def test_what_is_left_of_one_that_has_ended_itself_is_killed_at_its_time() -> None:
    async def main() -> None:
        house = House()
        replies = house.run(timeout_s=5)
        assert (await anext(replies)).started
        # It has ended, and something that it started holds its streams.
        house.made[0].number = 0
        assert await ended(replies) == (b"", b"", 124)
        assert len(house.killers) == 1

    run_fast(main())


def test_one_that_does_not_read_can_be_killed() -> None:
    async def main() -> None:
        house = House()
        replies = house.run()
        assert (await anext(replies)).started
        house.made[0].reads.clear()
        for _ in range(5):
            house.requests.put_nowait(ExecRequest(stdin=b"x" * 1000))
        house.requests.put_nowait(ExecRequest(kill=True))
        assert (await ended(replies))[2] == 137

    run(main())


def test_without_its_client_it_runs_on_unless_it_has_a_terminal() -> None:
    async def main() -> None:
        house = House()
        replies = house.run()
        await anext(replies)
        await replies.aclose()  # type: ignore[attr-defined]
        exec = house.made[0]
        for _ in range(100):
            exec.printed.put_nowait((1, b"nobody reads this"))
        exec.printed.put_nowait(None)
        while not exec.closed:
            await asyncio.sleep(0)
        assert house.killers == []

        house.made.clear()
        with_terminal = house.run(pty=True)
        await anext(with_terminal)
        await with_terminal.aclose()  # type: ignore[attr-defined]
        while not house.made[0].closed:
            await asyncio.sleep(0)
        assert len(house.killers) == 1

    run(main())


@pytest.mark.parametrize(
    ("told", "code", "expected"),
    [
        (b'OCI runtime exec failed: exec: "cmd": executable file not found in $PATH: unknown', 126, 127),
        (
            b'OCI runtime exec failed: error finding executable "cmd" in PATH [/bin]: no such file or directory',
            126,
            127,
        ),
        (b"OCI runtime exec failed: chdir to cwd: no such file or directory", 126, 126),
        (b"unable to find user x: no matching entries in passwd file", 126, 126),
        (b"[FATAL tini (8)] exec cmd failed: No such file or directory\n", 127, 127),
        (b"[FATAL tini (8)] exec cmd failed: Permission denied\n", 126, 126),
    ],
)
def test_the_engines_refusal_is_told_apart_from_output(told: bytes, code: int, expected: int) -> None:
    async def main() -> None:
        house = House()
        replies = house.run()
        await anext(replies)
        house.made[0].code = code
        house.made[0].printed.put_nowait((1, told))
        house.made[0].printed.put_nowait(None)
        out, err, found = await ended(replies)
        assert (out, found) == (b"", expected)
        # Of the init's word, the cause.
        shown = told.strip().rpartition(b" failed: ")[2] if told.startswith(b"[") else told
        assert err == b"cmd could not be run: " + shown + b"\n"

    run(main())


def test_output_that_looks_like_a_refusal_is_output() -> None:
    async def main() -> None:
        house = House()
        replies = house.run()
        await anext(replies)
        house.made[0].printed.put_nowait((1, b"OCI runtime exec failed, says a log"))
        house.made[0].printed.put_nowait(None)
        assert await ended(replies) == (b"OCI runtime exec failed, says a log", b"", 0)

    run(main())


def test_one_that_is_lost_says_so() -> None:
    async def main() -> None:
        house = House()
        replies = house.run()
        await anext(replies)
        house.made[0].printed.put_nowait(EngineError("the engine went away"))
        assert (await ended(replies))[2] == "the command was lost: the engine went away"

    run(main())


@contextlib.contextmanager
def streams_of(exec: FakeExec) -> Iterator[socket.socket]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        exec.streams = ours
        yield ours


def test_streams_are_handed_over_after_what_was_typed_and_printed_before() -> None:
    async def main() -> None:
        house = House()
        replies = house.run(pty=True, can_hand_over=True)
        await anext(replies)
        exec = house.made[0]
        with streams_of(exec) as streams:
            exec.printed.put_nowait((1, b"$ "))
            exec.printed.put_nowait((1, b"more"))
            assert (await anext(replies)).stdout == b"$ "
            house.requests.put_nowait(ExecRequest(stdin=b"typed"))
            house.requests.put_nowait(ExecRequest(hand_over=True))
            assert (await anext(replies)).stdout == b"more"
            handed = await anext(replies)
            assert isinstance(handed, WithSocket)
            assert (handed.socket, handed.reply.handed_over is not None) == (streams, True)
            # A size that nobody gave it, too.
            assert exec.typed == [b"24 x 80", b"typed"]
            # Its size and its end are still the service's.
            house.requests.put_nowait(ExecRequest(resize=TerminalSize(rows=3, columns=4)))
            while len(exec.typed) < 3:
                await asyncio.sleep(0)
            assert not exec.closed
            exec.code = 5
            house.requests.put_nowait(ExecRequest(streams_over=True))
            assert await ended(replies) == (b"", b"", 5)
        await house.execs.close()
        while len(house.used) < 2:
            await asyncio.sleep(0)
        assert (house.used, exec.closed) == (["+sb-1", "-sb-1"], True)

    run(main())


@pytest.mark.parametrize("leaves", [True, False])
def test_what_was_handed_over_is_ended_with_its_client_and_when_its_time_is_over(leaves: bool) -> None:
    async def main() -> None:
        house = House()
        replies = house.run(pty=True, can_hand_over=True, timeout_s=0 if leaves else 5)
        await anext(replies)
        exec = house.made[0]
        with streams_of(exec):
            exec.printed.put_nowait((1, b"$ "))
            await anext(replies)
            house.requests.put_nowait(ExecRequest(hand_over=True))
            assert isinstance(await anext(replies), WithSocket)
            if leaves:
                await replies.aclose()  # type: ignore[attr-defined]
            else:
                assert (await ended(replies))[2] == 124
            while not exec.closed:
                await asyncio.sleep(0)
        assert len(house.killers) == 1

    run_fast(main())


@pytest.mark.parametrize("may", [True, False])
def test_streams_that_can_not_be_handed_over_go_on(may: bool) -> None:
    async def main() -> None:
        house = House()
        replies = house.run(pty=True, can_hand_over=may)
        await anext(replies)
        exec = house.made[0]
        with contextlib.nullcontext() if may else streams_of(exec):
            exec.printed.put_nowait((1, b"$ "))
            await anext(replies)
            house.requests.put_nowait(ExecRequest(hand_over=True))
            assert not (await anext(replies)).handed_over.done
            house.requests.put_nowait(ExecRequest(stdin=b"typed"))
            while not exec.typed:
                await asyncio.sleep(0)
            exec.printed.put_nowait((1, b"out"))
            exec.printed.put_nowait(None)
            assert await ended(replies) == (b"out", b"", 0)

    run(main())


@pytest.mark.parametrize(
    ("start", "told"),
    [
        ({"args": []}, "at least one part"),
        ({"args": ["a\0"]}, "NUL"),
        ({"workdir": "here"}, "must be an absolute path"),
    ],
)
def test_nonsense_is_refused(start: dict[str, Any], told: str) -> None:
    async def main() -> None:
        with pytest.raises(InvalidRequest, match=told):
            await anext(House().run(**start))

    run(main())


_LEAVES = """
import ctypes, subprocess, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # as the engine's init does: what is left behind becomes its child
subprocess.run(["sh", "-c", "(env -i setsid sleep 300 & echo $!; wait) & exec sh -c 'env -i sleep 300 & echo $!'"])
sys.stdout.close()
subprocess.run(["sleep", "300"])
"""


def test_what_has_cleared_its_environment_is_killed_from_inside() -> None:
    mark = "WHERRY_EXEC=of-a-test"
    left = subprocess.Popen(
        [sys.executable, "-u", "-c", _LEAVES],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "WHERRY_EXEC": "of-a-test"},
    )
    assert left.stdout is not None
    with left, left.stdout:
        pids = [int(left.stdout.readline()) for _ in range(2)]
        assert all(os.path.exists(f"/proc/{pid}") for pid in pids)
        subprocess.run(["sh", "-c", _KILL_MARKED, "sh", mark], check=False, timeout=60)
        assert left.wait(10) == -9
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), "those it left are gone")
