"""One campaign: load, faults in the order of the seed, a quiet end, and the evidence of it all."""

import contextlib
import heapq
import itertools
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import docker
import requests

from chaos.crew import Crew
from chaos.faults.fault import Fault, Happened, Hit, Scene, Step
from chaos.faults.table import plan
from chaos.invariants.evidence import Evidence
from chaos.journal import operations, records
from chaos.postgres import rows
from chaos.processes import memory_mib, open_files, until
from chaos.stage import Stage

APP_MODULE = "chaos.functions"
AT_WORK_S = 90.0
# For clients to end what they have begun. Less than they wait themselves for a service that is away.
END_S = 100.0
# For calls whose client was killed while it spawned them: nobody else waits for these.
OPEN_S = 30.0
SAMPLE_S = 2.0


class Campaign:
    """Runs once."""

    def __init__(
        self, stage: Stage, seed: str, kinds: tuple[Fault, ...], every_s: float, say: Callable[[str], None]
    ) -> None:
        self._stage = stage
        self._say = say
        self._crew = Crew(stage, seed)
        self._scene = Scene(stage, self._crew)
        self._kinds: dict[str, Fault] = {kind.name: kind for kind in kinds}
        if not stage.has_small_disk:
            self._kinds.pop("disk full", None)
            say("no faults of a full disk: only root can give the service a small one")
        self._plan = plan(seed, tuple(self._kinds.values()), every_s)
        self._evidence = Evidence()
        # Faults that are on: when they end, and how.
        self._on: list[tuple[float, int, Step, Happened, Hit]] = []
        self._numbers = itertools.count()
        self._ended = threading.Event()
        self._interrupted = threading.Event()

    def run(self, seconds: float) -> Evidence:
        """Load the service, have faults happen for so long, end in order; return what is to be judged.

        Ctrl-C ends the faults, not the campaign: what was seen until then is judged.
        """
        sampler = threading.Thread(target=self._sample)
        try:
            self._deploy()
            self._crew.start()
            until(self._crew.at_work, f"all clients are at work\n{self._stage.log[-2000:]}", AT_WORK_S)
            sampler.start()
            self._say(f"load is on; faults for {seconds:.0f} s")
            with self._interruptible():
                self._do_faults(seconds)
            self._end()
        finally:
            self._ended.set()
            if sampler.is_alive():
                sampler.join()
            self._crew.kill()
        return self._evidence

    def _deploy(self) -> None:
        said = self._stage.command("deploy", "--quiet", APP_MODULE, CHAOS_VERSION="1")
        if said.returncode != 0:
            raise RuntimeError(f"the app can't be deployed: {said.stdout}{said.stderr}\n{self._stage.log[-3000:]}")

    # Faults

    @contextlib.contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Have a Ctrl-C end the faults between two of them: none is left half done. A second one ends it all."""

        def interrupted(number: int, frame: object) -> None:
            if self._interrupted.is_set():
                raise KeyboardInterrupt
            self._interrupted.set()

        before = signal.signal(signal.SIGINT, interrupted)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _do_faults(self, seconds: float) -> None:
        begin = time.monotonic()
        end = begin + seconds
        try:
            for step in self._plan:
                # Not from the end of the one before: on a slow machine there are no fewer.
                begin += step.wait_s
                self._undo_until(min(begin, end))
                if begin >= end or self._interrupted.is_set():
                    return
                self._do(step)
        finally:
            self._undo_all()

    def _do(self, step: Step) -> None:
        kind = self._kinds[step.kind]
        if kind.group:
            self._undo_now(lambda on: self._kinds[on.kind].group == kind.group)
        happened = Happened(step.kind, "", time.monotonic())
        try:
            hit = kind.do(self._scene, step)
        except (docker.errors.DockerException, requests.RequestException):
            # What it would be done to can't be asked for while the engine is dead.
            if not any(self._kinds[on.kind].group == "engine" for _, _, on, _, _ in self._on):
                raise
            return
        if hit is None:
            return
        happened.target = hit.target
        self._evidence.faults.append(happened)
        if hit.undo is None:
            happened.until = time.monotonic()
        else:
            heapq.heappush(self._on, (time.monotonic() + step.lasts_s, next(self._numbers), step, happened, hit))
        with open(self._stage.journals / "faults.txt", "a") as told:
            told.write(f"{happened.at:.3f} {step.kind}: {hit.target}, for {step.lasts_s:.1f} s\n")
        self._say(f"{step.kind}: {hit.target}" + (f", for {step.lasts_s:.1f} s" if hit.undo else ""))

    def _undo_until(self, moment: float) -> None:
        """Wait for a moment, and end what is to end before it."""
        while self._on and self._on[0][0] <= moment and not self._interrupted.is_set():
            self._interrupted.wait(max(0.0, self._on[0][0] - time.monotonic()))
            self._undo(heapq.heappop(self._on))
        self._interrupted.wait(max(0.0, moment - time.monotonic()))

    def _undo_now(self, which: Callable[[Step], bool]) -> None:
        chosen = [on for on in self._on if which(on[2])]
        self._on = [on for on in self._on if not which(on[2])]
        heapq.heapify(self._on)
        for on in sorted(chosen):
            self._undo(on)

    def _undo_all(self) -> None:
        self._undo_now(lambda _: True)

    @staticmethod
    def _undo(on: tuple[float, int, Step, Happened, Hit]) -> None:
        _, _, _, happened, hit = on
        assert hit.undo is not None
        hit.undo()
        happened.until = time.monotonic()

    # The end

    def _end(self) -> None:
        """Let all end what they have begun, read what is left, stop the service, and look for what it has left."""
        self._say("faults are over; clients end what they have begun")
        self._crew.end(END_S)
        self._crew.read_last(END_S)
        evidence = self._evidence
        evidence.ticks = self._ticks()
        evidence.left["inputs that nobody finishes"] = self._open_inputs()
        self._ended.set()
        evidence.hung = self._crew.hung
        for member in self._crew.members:
            evidence.killed[member.name] = member.killed
            if member.code not in (0, None) and member.name not in evidence.hung:
                evidence.broke[member.name] = member.said.read_text(errors="replace")
        for path in sorted(self._stage.journals.glob("*.jsonl")):
            evidence.operations += operations(path.stem, records(path))
        self._say("the service is stopped")
        self._stage.stop_service()
        evidence.log = self._stage.log
        evidence.left.update(self._left())

    def _ticks(self) -> list[tuple[int, str]]:
        query = "select tick_ms, call_id from schedule_runs where asked = '' order by tick_ms"
        return [(int(str(tick)), str(call)) for tick, call in rows(self._stage.database_url, query)]

    def _open_inputs(self) -> list[str]:
        """Wait until all that was spawned has ended, also what nobody was told of; return what has not."""
        query = f"select input_id from inputs where finished_at_ms = 0 and created_at_ms < {int(time.time() * 1000)}"
        deadline = time.monotonic() + OPEN_S
        while (found := rows(self._stage.database_url, query)) and time.monotonic() < deadline:
            time.sleep(0.2)
        return [str(row[0]) for row in found]

    def _left(self) -> dict[str, list[str]]:
        stage = self._stage
        wanted: dict[str, Any] = {"label": f"wherry.instance={stage.instance}"}
        client = stage.engine_client()
        try:
            containers = [str(row["Names"]) for row in client.containers(all=True, filters=wanted)]
            volumes = [str(row["Name"]) for row in client.volumes(filters=wanted)["Volumes"] or []]
            networks = [str(row["Name"]) for row in client.networks(filters=wanted)]
        except docker.errors.DockerException as error:
            containers, volumes, networks = [f"the engine does not answer: {error}"], [], []
        finally:
            client.close()
        return {
            "containers": containers,
            "volumes": volumes,
            "networks": networks,
            "files in run/": [path.name for path in (stage.state_dir / "run").iterdir()],
            "payloads": [path.name for path in (stage.state_dir / "blobs" / "payloads").rglob("*") if path.is_file()],
        }

    def _sample(self) -> None:
        while not self._ended.wait(SAMPLE_S):
            process = self._stage.service()
            if process is not None and (memory := memory_mib(process.pid)):
                self._evidence.memory_mib.append(memory)
                self._evidence.open_files.append(open_files(process.pid))
