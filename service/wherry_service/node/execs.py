"""Commands run inside containers of this host: streams, time limit, and their end."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wherry_proto.messages import ExecExit, ExecReply, ExecRequest, ExecStart, HandOver, TerminalSize
from wherry_service.engines.engine import Engine, EngineError, Exec, ExecSpec
from wherry_service.errors import InvalidRequest
from wherry_service.node.keeper import KEEPERS_WORD, Keepers
from wherry_service.tasks import Tasks

log = logging.getLogger(__name__)

TIMED_OUT = 124
KILLED = 137
# As a shell has it.
CANNOT_RUN = 126
NOT_FOUND = 127
# Seconds that killing may take, and that the engine may take to start what is to be killed.
KILL_WITHIN_S = 10.0
# Seconds after a kill for which its streams may stay open: what it started may hold them.
CLOSE_WITHIN_S = 2.0
# Replies that wait for a client that does not read; then the command is read no further.
_MAX_WAITING = 16
# Pieces of input, of 256 KiB at most, that wait for a command that does not read; then its client is read no further.
_MAX_TYPED = 32
# A variable that tells an exec's processes from all others, and what kills them from inside.
_MARK = "WHERRY_EXEC"
# As often as it takes: what is killed may just be starting others.
_MOST_ROUNDS = 20
# Those that are found are stopped, so that they start no others, until there are no more; then they are killed.
_KILL_MARKED = """
mark=$1; own=" "; n=0; found=y
while [ "$found" ] && [ $n -lt 20 ]; do
  n=$((n+1)); found=
  for p in /proc/[0-9]*; do
    p=${p#/proc/}
    case "$own$$ " in *" $p "*) continue;; esac
    stat=
    { while read -r line || [ "$line" ]; do stat="$stat $line"; done </proc/$p/stat; } 2>/dev/null
    set -- ${stat##*) }
    case "${1:-Z}" in Z|X) continue;; esac
    case $own in
      *" $2 "*) ;;
      *) tr "\\0" "\\n" 2>/dev/null </proc/$p/environ | grep -qx "$mark" || continue;;
    esac
    own="$own$p "; found=y
    kill -STOP $p 2>/dev/null
  done
done
kill -9 $own 2>/dev/null
"""
_USUAL_SIZE = TerminalSize(rows=24, columns=80)
# How the engine's, or its init's, answer begins when there is no command.
_REFUSALS = (b"OCI runtime exec failed", b"unable to find user", b"unable to find group", KEEPERS_WORD.encode())


@dataclass(frozen=True, slots=True)
class WithSocket:
    """A reply that a socket goes with, which may have been closed since."""

    reply: ExecReply
    socket: socket.socket


class Execs:
    """Runs commands. `begin_use` and `end_use` hear the container's id, before and after."""

    def __init__(self, engine: Engine, begin_use: Callable[[str], None], end_use: Callable[[str], None]) -> None:
        self._engine = engine
        self._keepers = Keepers(engine)
        self._begin_use = begin_use
        self._end_use = end_use
        self._tasks = Tasks("an exec failed")

    def __len__(self) -> int:
        """Return how many run."""
        return len(self._tasks)

    async def run(
        self, engine_id: str, start: ExecStart, requests: AsyncIterator[ExecRequest], *, can_hand_over: bool = False
    ) -> AsyncIterator[ExecReply | WithSocket]:
        """Run a command in a container, and yield what becomes of it; `requests` are what follows `start`.

        `can_hand_over`: the client is on this machine and can be sent a socket, if it asks for the streams.
        """
        mark = f"{_MARK}={uuid.uuid4().hex}"
        opening = asyncio.ensure_future(self._open(engine_id, _spec(start, mark)))
        try:
            exec = await asyncio.shield(opening)
        except asyncio.CancelledError:
            # Its client has gone, and the engine starts it all the same.
            self._carry(self._left_early(engine_id, opening, start, mark), start.container_id)
            raise
        run = _Run(self._engine, engine_id, exec, start, mark, can_hand_over)
        self._carry(run.carry(), start.container_id)
        hearing = asyncio.ensure_future(run.hear(requests))
        try:
            yield ExecReply(started=True)
            if start.pty and start.size is not None:
                with contextlib.suppress(EngineError):  # it has ended already
                    await exec.resize(start.size.rows, start.size.columns)
            while (reply := await run.replies.get()) is not None:
                yield reply
        finally:
            hearing.cancel()
            run.leave()

    async def _open(self, engine_id: str, spec: ExecSpec) -> Exec:
        above = await self._keepers.above(engine_id)
        return await self._engine.exec(engine_id, replace(spec, command=(*above, *spec.command)))

    async def _left_early(self, engine_id: str, opening: "asyncio.Future[Exec]", start: ExecStart, mark: str) -> None:
        with contextlib.suppress(EngineError):  # it was not started, which nobody asks any more
            run = _Run(self._engine, engine_id, await opening, start, mark, can_hand_over=False)
            run.leave()
            await run.carry()

    def _carry(self, work: Coroutine[Any, Any, None], container_id: str) -> None:
        self._begin_use(container_id)
        self._tasks.spawn(work).add_done_callback(lambda _: self._end_use(container_id))

    async def close(self) -> None:
        """Let go of those that run."""
        await self._tasks.close()


class _Run:
    """One command that runs. It goes on when its client has gone, unless it has a terminal."""

    def __init__(
        self, engine: Engine, engine_id: str, exec: Exec, start: ExecStart, mark: str, can_hand_over: bool
    ) -> None:
        self.replies: asyncio.Queue[ExecReply | WithSocket | None] = asyncio.Queue(_MAX_WAITING)
        self._typed: asyncio.Queue[ExecRequest] = asyncio.Queue(_MAX_TYPED)
        self._engine = engine
        self._engine_id = engine_id
        self._exec = exec
        self._start = start
        self._mark = mark
        self._can_hand_over = can_hand_over
        self._left = False
        self._ended_by = 0
        self._printed = False
        self._refusal = b""
        self._kill = asyncio.Event()
        # What its client gets in place of the rest of its output, and whether that has ended.
        self._handed_over: WithSocket | None = None
        self._streams_over = asyncio.Event()

    async def carry(self) -> None:
        """Carry its output to its end, and say how it ended."""
        try:
            sizing = asyncio.ensure_future(self._size())
            reading = asyncio.ensure_future(self._read())
            killing = asyncio.ensure_future(self._watch())
            try:
                await asyncio.wait([reading, killing], return_when=asyncio.FIRST_COMPLETED)
                if self._ended_by:
                    # What it started itself may hold its streams open.
                    await asyncio.wait([reading], timeout=CLOSE_WITHIN_S)
                    # Its streams may close before all that it has started is killed.
                    await asyncio.wait([killing], timeout=KILL_WITHIN_S)
            finally:
                sizing.cancel()
                killing.cancel()
                if not reading.done():
                    reading.cancel()
            await self._conclude(reading)
        finally:
            self._exec.close()

    async def hear(self, requests: AsyncIterator[ExecRequest]) -> None:
        """Do what the client says."""
        writing = asyncio.ensure_future(self._write())
        try:
            async for request in requests:
                if request.stdin or request.stdin_eof or request.hand_over:
                    await self._typed.put(request)
                if request.streams_over:
                    self._streams_over.set()
                if request.resize is not None:
                    with contextlib.suppress(EngineError):  # it has ended, which its client is told
                        await self._exec.resize(request.resize.rows, request.resize.columns)
                if request.kill:
                    self._ended_by = self._ended_by or KILLED
                    self._kill.set()
            await writing
        finally:
            writing.cancel()

    async def _write(self) -> None:
        """Write what the client has typed; beside hearing, so that one that does not read can be killed."""
        with contextlib.suppress(EngineError):  # as above
            while True:
                request = await self._typed.get()
                if request.stdin:
                    await self._exec.write(request.stdin)
                if request.stdin_eof:
                    await self._exec.close_stdin()
                if request.hand_over:
                    await self._hand_over()

    async def _hand_over(self) -> None:
        """Let the client have the streams, once it has all that was read of them."""
        # Before the first output it is not known whether that is the command's or the engine's.
        streams = self._exec.hand_over() if self._printed and self._can_hand_over else None
        if streams is None:
            await self._reply(ExecReply(handed_over=HandOver(done=False)))
        else:
            self._handed_over = WithSocket(ExecReply(handed_over=HandOver(done=True)), streams)

    def leave(self) -> None:
        """Hear that the client has gone."""
        self._left = True
        while not self.replies.empty():
            self.replies.get_nowait()
        self._streams_over.set()
        if self._start.pty:
            self._ended_by = self._ended_by or KILLED
            self._kill.set()

    async def _read(self) -> None:
        while (found := await self._exec.read()) is not None:
            stream, data = found
            if self._refusal or (not self._printed and data.startswith(_REFUSALS)):
                # Perhaps the engine's word in place of the command's: the exit code tells.
                self._refusal += data
                continue
            self._printed = True
            await self._reply(ExecReply(stdout=data) if stream == 1 else ExecReply(stderr=data))
        if self._handed_over is not None:
            await self._reply(self._handed_over)
            await self._streams_over.wait()

    async def _size(self) -> None:
        """Give a terminal a size that nobody has given one: of none, programs don't know where a line ends."""
        if self._start.pty and self._start.size is None:
            with contextlib.suppress(EngineError):  # it has ended already
                if await self._exec.pid():
                    await self._exec.resize(_USUAL_SIZE.rows, _USUAL_SIZE.columns)

    async def _watch(self) -> None:
        """Wait for a reason to kill it, and do."""
        try:
            async with asyncio.timeout(self._start.timeout_s or None):
                await self._kill.wait()
        except TimeoutError:
            self._ended_by = TIMED_OUT
        try:
            await end_process(self._engine, self._engine_id, await self._exec.pid(), self._mark)
        except EngineError as error:
            log.warning("a command in %s could not be killed: %s", self._start.container_id, error)

    async def _conclude(self, reading: "asyncio.Task[None]") -> None:
        error = reading.exception() if reading.done() and not reading.cancelled() else None
        code: int | None = self._ended_by
        if not self._ended_by:
            try:
                code = await self._exec.exit_code() if error is None else None
            except EngineError as raised:
                code, error = None, raised
        if code is None:
            why = str(error) if error is not None else "the engine does not know how it ended"
            await self._reply(ExecReply(error=f"the command was lost: {why}"))
        else:
            if self._refusal and code in (CANNOT_RUN, NOT_FOUND):
                told = self._refusal.decode(errors="replace").strip()
                of_program = "executable" in told or 'exec: "' in told or told.startswith(KEEPERS_WORD)
                missing = of_program and ("not found" in told or "no such file" in told.lower())
                if told.startswith(KEEPERS_WORD):
                    told = told.rpartition(" failed: ")[2]
                code = NOT_FOUND if missing else CANNOT_RUN
                await self._reply(ExecReply(stderr=f"{self._start.args[0]} could not be run: {told}\n".encode()))
            elif self._refusal:
                await self._reply(ExecReply(stdout=self._refusal))
            await self._reply(ExecReply(exit=ExecExit(code=code)))
        await self._reply(None)

    async def _reply(self, reply: ExecReply | WithSocket | None) -> None:
        if not self._left:
            await self.replies.put(reply)


async def end_process(engine: Engine, engine_id: str, pid: int, mark: str) -> None:
    """Kill a process of a container and all that it has started, also what has other parents by now.

    `pid` is as the engine's host counts, 0 if the process is gone already; `mark` is in its environment, by which what
    it has started is found: from inside the container where the engine's processes are not this host's, or not the
    service's to kill.
    """
    if pid and await asyncio.to_thread(_killed_here, engine_id, pid, mark.encode()):
        return
    killer = await engine.exec(engine_id, ExecSpec(("sh", "-c", _KILL_MARKED, "sh", mark), user="0"))
    try:
        while await killer.read() is not None:
            pass
        if await killer.exit_code() in (CANNOT_RUN, NOT_FOUND):
            log.warning("a command in container %s runs on: its image has no sh to kill it with", engine_id[:12])
    finally:
        killer.close()


def _killed_here(engine_id: str, pid: int, mark: bytes) -> bool:
    """Kill it by the numbers of this host; return whether the container's processes can be seen and killed here."""
    if engine_id not in _cgroups(pid):
        return False
    # They are stopped first, so that they start no others: whose parent is killed would be nobody's.
    stopped: set[int] = set()
    try:
        for _ in range(_MOST_ROUNDS):
            found = {pid, *_descendants(pid), *_marked(engine_id, mark)} - stopped
            if not found:
                break
            _signal(engine_id, found, signal.SIGSTOP)
            stopped |= found
        else:
            log.warning("a command in container %s starts others faster than they can be stopped", engine_id[:12])
        _signal(engine_id, stopped, signal.SIGKILL)
    except PermissionError:
        return False
    return True


def _signal(engine_id: str, pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        if engine_id in _cgroups(pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def _cgroups(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cgroup").read_text()
    return ""


def _marked(engine_id: str, mark: bytes) -> list[int]:
    found: list[int] = []
    for number in _processes():
        with contextlib.suppress(OSError):
            if engine_id in _cgroups(number) and mark in Path(f"/proc/{number}/environ").read_bytes().split(b"\0"):
                found.append(number)
    return found


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def _descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for number in _processes():
        with contextlib.suppress(OSError, IndexError, ValueError):
            parent = int(Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(number)
    found: list[int] = []
    waiting = [pid]
    while waiting:
        own = children.get(waiting.pop(), [])
        found += own
        waiting += own
    return found


def _spec(start: ExecStart, mark: str) -> ExecSpec:
    if not start.args or not start.args[0]:
        raise InvalidRequest("a command has at least one part, its program's name")
    if any("\0" in part for part in start.args):
        raise InvalidRequest("the command contains a NUL character")
    if start.workdir and not start.workdir.startswith("/"):
        raise InvalidRequest(f"workdir is {start.workdir[:80]!r}: it must be an absolute path")
    name, _, value = mark.partition("=")
    return ExecSpec(tuple(start.args), {**start.env, name: value}, start.workdir, start.user, start.pty)
