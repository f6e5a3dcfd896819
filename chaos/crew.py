"""The clients of a campaign: processes that are started, killed, stopped, started again, and told to end."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from chaos.client import DRAIN, STOP
from chaos.journal import operations, records
from chaos.stage import Stage

# How many of each kind. Those that take are told to end after those that make.
MAKERS = {
    "maps": 2, "spawns": 2, "generators": 2, "producers": 2, "dicts": 2, "volumes": 1, "requests": 1, "sandboxes": 1,
    "lone": 1, "deploys": 1,
}  # fmt: skip
TAKERS = {"fetches": 2, "consumers": 4}


class Member:
    """One client, over its lives."""

    def __init__(self, stage: Stage, kind: str, number: int, seed: str) -> None:
        self.name = f"{kind}-{number}"
        self.kind = kind
        self._stage = stage
        self._command = [sys.executable, "-m", "chaos.client", kind, str(number), str(stage.journals), seed]
        self._process: subprocess.Popen[bytes] | None = None
        self.killed: list[float] = []
        """When it was killed, by the clock of its journal."""

    def start(self) -> None:
        """Begin a life."""
        with open(self.said, "ab") as said:
            self._process = subprocess.Popen(
                self._command, env=self._stage.environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                start_new_session=True,
            )  # fmt: skip

    @property
    def said(self) -> Path:
        """The file with all that it has printed."""
        return self._stage.journals / f"{self.name}.said"

    @property
    def journal(self) -> Path:
        return self._stage.journals / f"{self.name}.jsonl"

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def code(self) -> int | None:
        """The exit code, None while it runs."""
        return self._process.poll() if self._process is not None else None

    def send(self, number: int) -> bool:
        """Give it, and what it has started, a signal; return whether it was there."""
        if self._process is None or self._process.poll() is not None:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)
        return True

    def kill(self) -> bool:
        """End it at once; return whether it was there."""
        if not self.send(signal.SIGKILL):
            return False
        assert self._process is not None
        self._process.wait()
        self.killed.append(time.monotonic())
        return True


class Crew:
    """All clients of a campaign."""

    def __init__(self, stage: Stage, seed: str) -> None:
        self._stage = stage
        self._seed = seed
        self.makers = [Member(stage, kind, n, seed) for kind, count in MAKERS.items() for n in range(count)]
        self.takers = [Member(stage, kind, n, seed) for kind, count in TAKERS.items() for n in range(count)]
        self.hung: dict[str, str] = {}
        """Clients that did not end when they were told to, with where they hung."""

    @property
    def members(self) -> list[Member]:
        return [*self.makers, *self.takers]

    def start(self) -> None:
        """Start all."""
        for member in self.members:
            member.start()

    def at_work(self) -> bool:
        """Whether all have been answered once."""
        makers = (member for member in self.makers if member.kind != "deploys")
        return all(any(one.did for one in operations("", records(member.journal))) for member in makers)

    def end(self, deadline_s: float) -> None:
        """Tell all to end what they have begun, first who makes work and then who takes it, and wait for that."""
        self._tell(STOP, self.makers, deadline_s)
        self._tell(DRAIN, self.takers, deadline_s)

    def read_last(self, deadline_s: float) -> None:
        """Have one more client read what is left."""
        last = Member(self._stage, "last", 0, self._seed)
        last.start()
        self._wait([last], deadline_s)

    def kill(self) -> None:
        """End all at once."""
        for member in self.members:
            member.kill()

    def _tell(self, word: str, members: list[Member], deadline_s: float) -> None:
        (self._stage.journals / word).touch()
        self._wait(members, deadline_s)

    def _wait(self, members: list[Member], deadline_s: float) -> None:
        deadline = time.monotonic() + deadline_s
        while (running := [member for member in members if member.is_running]) and time.monotonic() < deadline:
            time.sleep(0.05)
        for member in running:
            before = member.said.stat().st_size
            member.send(signal.SIGUSR1)
            written = time.monotonic() + 2
            while member.said.stat().st_size == before and time.monotonic() < written:
                time.sleep(0.05)
            self.hung[member.name] = member.said.read_bytes()[before:].decode(errors="replace")
            member.send(signal.SIGKILL)
