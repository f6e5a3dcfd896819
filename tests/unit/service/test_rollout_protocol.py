"""A new version of an app, checked by trying every order of commits, starts, calls, cuts, failures and kills.

The rules: an answer is of a version that served while its call was open; every call is answered; what serves is what
the disk says serves; whoever was told that a version serves was told the truth; no container of another one stays.
"""

import asyncio
from pathlib import Path

import pytest

from tests.explore import explore, go_well, settle
from tests.fakes.gated_database import GatedDatabase
from tests.fakes.node import FakeContainer, payload
from tests.unit.service.test_deployments import World as Life
from tests.unit.service.test_deployments import spec
from wherry_proto.messages import CallKind, CallStart, DeploymentResult, DeploymentState, DeployStrategy
from wherry_proto.messages import Input as InputMessage
from wherry_service.apps.plans import revision_of
from wherry_service.errors import ServiceError
from wherry_service.ids import new_id
from wherry_service.store.blobs import BlobStore
from wherry_service.store.deployments import DeploymentStore
from wherry_service.store.schema import metadata
from wherry_service.store.trouble import StorageFull

NEW = revision_of(spec("f", 2))


class RolloutWorld:
    """An app with one version that serves, and another that is being deployed."""

    def __init__(
        self,
        database: GatedDatabase,
        blobs: BlobStore,
        calls: int,
        breaks: int,
        failures: int,
        kills: int,
        strategy: int,
    ) -> None:
        self.database, self.blobs, self.strategy = database, blobs, strategy
        database.lose()
        database.empty(*reversed(metadata.sorted_tables))
        self.calls, self.breaks, self.failures, self.kills = calls, breaks, failures, kills
        self.cuts = 1
        # Of each call that is open, or was: its input, what has served since, and what answered.
        self.asked: dict[str, str] = {}
        self.served: dict[str, set[str]] = {}
        self.answers: dict[str, list[str]] = {}
        self.deploying: asyncio.Task[DeploymentResult] | None = None
        self.make_life()

    def make_life(self) -> None:
        self.life = Life(self.database, self.blobs)
        self.life.node.auto = False

    async def prepare(self) -> None:
        """Deploy the first version, and begin with the second."""
        opening = asyncio.ensure_future(self.life.open())
        await self._until_done(opening)
        self.app_id = opening.result()
        first = self.life.begin(self.app_id, spec("f"))
        await self._until_done(first)
        self.function_id = first.result().functions[0].function_id
        self.deploying = self.life.begin(self.app_id, spec("f", 2), strategy=self.strategy)

    async def _until_done(self, task: "asyncio.Future[object]") -> None:
        while not task.done():
            self.do("commit" if len(self.database) else "connect" if self._starting() else "wait")
            await settle()

    @property
    def serving(self) -> str:
        pool = self.life.pools.get(self.function_id)
        return pool.plan.load.revision if pool is not None else ""

    def _starting(self) -> list[FakeContainer]:
        return [one for one in self.life.node.running() if not one.connected]

    def _busy(self) -> list[FakeContainer]:
        return [one for one in self.life.node.running() if one.connected and one.inputs]

    # Steps

    def enabled(self) -> list[str]:
        steps = []
        if len(self.database):
            steps.append("commit")
            if self.failures:
                steps.append("fail")
        if starting := self._starting():
            steps.append("connect")
            # Code that is broken is so before it serves.
            if self.breaks and starting[0].load.revision == NEW != self.serving:
                steps.append("break")
        if self._busy():
            steps.append("answer")
        if self.calls and self.serving:
            steps.append("call")
        if self.cuts and self.deploying is not None and not self.deploying.done():
            steps.append("cut")
        if self.kills:
            steps.append("kill")
        return steps

    def do(self, step: str) -> None:
        getattr(self, f"do_{step}")()

    def do_wait(self) -> None:
        """Nothing is ready: a timer is waited for."""

    def do_commit(self) -> None:
        self.database.commit()

    def do_fail(self) -> None:
        self.failures -= 1
        self.database.fail(StorageFull("the disk is full"))

    def do_connect(self) -> None:
        self._starting()[0].connect()

    def do_break(self) -> None:
        self.breaks -= 1
        self._starting()[0].fail_to_load()

    def do_answer(self) -> None:
        container = self._busy()[0]
        item = container.inputs.pop(0)
        container.events.on_outputs([(item.input_id, payload(container.load.revision.encode()), 0)])
        container.finish(0)

    def do_call(self) -> None:
        self.calls -= 1
        call_id, input_id = new_id("fc"), new_id("in")
        self.asked[input_id] = call_id
        self.served[input_id], self.answers[input_id] = set(), []
        self._offer(call_id, input_id)

    def _offer(self, call_id: str, input_id: str) -> None:
        start = CallStart(call_id=call_id, function_id=self.function_id, kind=CallKind.MAP)
        self.life.journal.start(self.life.client, start)
        message = InputMessage(input_id=input_id, call_id=call_id, payload=payload())
        self.life.dispatcher.submit(self.life.journal.new_inputs([message]))

    def do_cut(self) -> None:
        """The client that deploys goes away."""
        self.cuts -= 1
        assert self.deploying is not None
        self.deploying.cancel()
        self.deploying = None

    def do_kill(self) -> None:
        """Kill the service, and its containers with it."""
        self.kills -= 1
        self.database.lose()
        if self.deploying is not None:
            self.deploying.cancel()
            self.deploying = None
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        for pool in self.life.pools:
            pool.closed = True
        for container in self.life.node.running():
            container.exited = True
        self.make_life()
        asyncio.ensure_future(self._restore()).add_done_callback(lambda done: done.result())

    async def _restore(self) -> None:
        await self.life.apps.restore([])
        await self.life.deployments.restore()
        for input_id, call_id in self.asked.items():
            if not self.answers[input_id]:
                self._offer(call_id, input_id)

    # Rules

    def check(self) -> None:
        for input_id, served in self.served.items():
            if not self.answers[input_id] and self.serving:
                served.add(self.serving)
        outputs = self.life.client._outputs
        while outputs:
            output = outputs.popleft()
            assert output.payload is not None, f"a call failed: {output.failure}"
            revision = output.payload.data.decode()
            assert revision in self.served[output.input_id], "answered by a version that did not serve meanwhile"
            self.answers[output.input_id].append(revision)

    async def finish(self) -> None:
        # Timers: a pool tries again, a rollout looks for room.
        await go_well(self, self._is_over, lambda step: step in ("commit", "connect", "answer"), 0.1, 600)
        ((_, live),) = (await DeploymentStore(self.database).live()).items()
        (stored,) = [one.spec for one in live.functions if one.spec is not None]
        assert revision_of(stored) == self.serving, "what serves is not what the disk says"
        if self.deploying is not None:
            await asyncio.wait([self.deploying])
            error = self.deploying.exception()
            assert error is None or isinstance(error, ServiceError), error
            told = error is None and self.deploying.result().deployment
            assert bool(told and told.state == DeploymentState.LIVE) == (self.serving == NEW), "the deployer was misled"

    def _is_over(self) -> bool:
        if self.deploying is not None and not self.deploying.done():
            return False
        strays = [one for one in self.life.node.running() if one.load.revision != self.serving]
        return not len(self.database) and bool(self.serving) and all(self.answers.values()) and not strays

    def close(self) -> None:
        self.database.lose()


@pytest.mark.parametrize(
    ("calls", "breaks", "failures", "kills", "strategy", "depth"),
    [
        (2, 1, 0, 0, DeployStrategy.ROLLING, 7),
        (1, 1, 1, 1, DeployStrategy.ROLLING, 7),
        (2, 1, 1, 0, DeployStrategy.RECREATE, 6),
    ],
    ids=["broken code", "kills", "recreate"],
)
def test_no_order_of_events_has_half_a_version_serve_or_loses_a_call(
    gated_database: GatedDatabase,
    tmp_path: Path,
    calls: int,
    breaks: int,
    failures: int,
    kills: int,
    strategy: int,
    depth: int,
) -> None:
    blobs = BlobStore(tmp_path / "blobs")
    count = explore(lambda: RolloutWorld(gated_database, blobs, calls, breaks, failures, kills, strategy), depth)
    assert count > 100
