"""The protocol of inputs and their answers, checked by trying every order of commits, cuts, failures and restarts.

The rules: an input runs only while its argument is there; what was accepted, or offered until it was answered, is
answered, and right; no argument stays behind, and no call in memory.
"""

import asyncio
from collections import deque
from typing import Any

import pytest

from tests.explore import explore, go_well
from tests.fakes.calls import journal_of
from tests.fakes.gated_database import GatedDatabase
from wherry_proto.messages import CallKind, CallStart, Failure, FailureKind, Format, Output, Payload
from wherry_proto.messages import Input as InputMessage
from wherry_service.calls import journal as journal_module
from wherry_service.calls import writing
from wherry_service.calls.call import Input
from wherry_service.calls.client import Client
from wherry_service.recovery import restored
from wherry_service.store.calls import CallStore
from wherry_service.store.schema import inputs
from wherry_service.store.trouble import StorageFull


class Blobs:
    """Knows which there are."""

    def __init__(self) -> None:
        self.here: set[str] = set()

    def delete(self, blob_id: str) -> None:
        self.here.discard(blob_id)


class Asked:
    """One input of a client's: a map's, or a spawned one; offered until it is answered, or accepted."""

    def __init__(self, world: "JournalWorld", name: str, kind: CallKind) -> None:
        self.world = world
        self.kind = kind
        self.call_id, self.input_id, self.blob_id = f"fc-{name:0>26}", f"in-{name:0>26}", f"bl-{name:0>26}"
        self.accepted = False
        self.answers: list[bytes] = []
        # Its output came, and the service was not told yet.
        self.untaken = False
        self.gone = False
        # It was refused: it is offered again.
        self.refused = False

    @property
    def is_over(self) -> bool:
        return self.gone or (self.accepted if self.kind == CallKind.SPAWN else bool(self.answers))

    def offer(self) -> None:
        world, self.refused = self.world, False
        world.blobs.here.add(self.blob_id)
        start = CallStart(call_id=self.call_id, function_id="fu-1", kind=self.kind)
        call = world.journal.start(world.client, start)
        payload = Payload(format=Format.PICKLE, blob_id=self.blob_id, size=2 << 20)
        message = InputMessage(input_id=self.input_id, call_id=self.call_id, index=0, payload=payload)
        fresh = world.journal.new_inputs([message])
        if call.durable and fresh:
            world.journal.save(world.client, fresh, world.queue.extend)
        elif call.durable:
            world.journal.confirm_known(world.client, [message])
        else:
            world.queue.extend(fresh)
        world.journal.end(call, 1)

    def hear(self, output: Output) -> None:
        if output.failure is not None and output.failure.kind == FailureKind.EXHAUSTED:
            self.refused = True
            return
        assert output.payload is not None, output.failure
        self.answers.append(output.payload.data)
        self.untaken = True


class JournalWorld:
    """Some inputs of one client, a function that runs one at a time, and a disk that commits when it is told to."""

    def __init__(
        self, database: GatedDatabase, kinds: list[CallKind], failures: int, restarts: int, cuts: int, goes: bool
    ) -> None:
        self.database = database
        database.empty(inputs)
        database.lose()
        self.failures, self.restarts, self.cuts, self.goes = failures, restarts, cuts, goes
        self.blobs = Blobs()
        self.client = Client("cl-1", "")
        self.begin_life()
        self.asked = [Asked(self, str(number), kind) for number, kind in enumerate(kinds)]
        for one in self.asked:
            one.offer()

    def begin_life(self) -> None:
        self.queue: deque[Input] = deque()
        self.running: list[Input] = []
        blobs: Any = self.blobs
        self.journal = journal_of(self.database, blobs)

    def enabled(self) -> list[str]:
        steps: list[str] = []
        if len(self.database):
            steps.append("commit")
            if self.failures:
                steps.append("fail")
        if any(not item.done for item in self.queue):
            steps.append("begin")
        if self.running:
            steps.append("answer")
        if self.client._outputs or self.client._accepted:
            steps.append("hear")
        if any(one.untaken for one in self.asked):
            steps.append("take")
        if any(one.refused for one in self.asked):
            steps.append("offer again")
        if self.cuts:
            steps.append("cut")
        if self.restarts:
            steps.append("restart")
        if self.goes and any(one.kind == CallKind.MAP and not one.gone for one in self.asked):
            steps.append("client goes")
        return steps

    def do(self, step: str) -> None:
        getattr(self, "do_" + step.replace(" ", "_"))()

    def do_commit(self) -> None:
        self.database.commit()

    def do_fail(self) -> None:
        self.failures -= 1
        self.database.fail(StorageFull("the disk is full"))

    def do_begin(self) -> None:
        while (item := self.queue.popleft()).done:
            pass
        assert item.payload.blob_id in self.blobs.here, "an input runs whose argument is gone"
        self.running.append(item)

    def do_answer(self) -> None:
        item = self.running.pop(0)
        if item.done:
            return
        assert item.payload.blob_id in self.blobs.here, "an argument went while its input ran"
        self.end(item, payload=Payload(format=Format.PICKLE, data=item.input_id.encode(), size=4))

    def end(self, item: Input, **how: Any) -> None:
        item.done = True
        self.journal.ended(item, Output(input_id=item.input_id, call_id=item.call_id, index=0, **how))

    def do_hear(self) -> None:
        asked = {one.input_id: one for one in self.asked}
        while self.client._outputs:
            output = self.client._outputs.popleft()
            if not asked[output.input_id].gone:
                asked[output.input_id].hear(output)
        for input_id in self.client._accepted:
            asked[input_id].accepted = True
        self.client._accepted.clear()

    def do_take(self) -> None:
        for one in self.asked:
            if one.untaken:
                one.untaken = False
                self.journal.take([one.input_id])

    def do_offer_again(self) -> None:
        for one in self.asked:
            if one.refused:
                one.offer()

    def do_cut(self) -> None:
        self.cuts -= 1
        self.client._outputs.clear()
        self.client._accepted.clear()
        self.journal.resume(self.client)
        for one in self.asked:
            if not one.is_over:
                one.offer()

    def do_restart(self) -> None:
        """Kill the service and its containers: what waits to be written is lost, and what it knew."""
        self.restarts -= 1
        self.journal._tasks.cancel()
        self.database.lose()
        self.begin_life()
        self.client = Client("cl-1", "")
        asyncio.ensure_future(self._restore()).add_done_callback(lambda done: done.result())

    async def _restore(self) -> None:
        items = restored(await CallStore(self.database).open_inputs(), set())
        self.journal.restore(items)
        self.queue.extend(items)
        for one in self.asked:
            one.untaken = False
            if not one.is_over:
                one.offer()

    def do_client_goes(self) -> None:
        """As the server does it: its open inputs are cancelled, its calls forgotten."""
        self.goes = False
        cancelled = Failure(kind=FailureKind.CANCELLED, message="its client is gone")
        for one in self.asked:
            call = self.journal.call(one.call_id)
            if one.kind == CallKind.MAP:
                one.gone, one.untaken, one.refused = True, False, False
            if call is not None and not call.durable:
                call.cancelled = True
                for item in list(call.open.values()):
                    self.end(item, failure=cancelled)
                self.journal.forget(call)

    def check(self) -> None:
        for one in self.asked:
            assert all(value == one.input_id.encode() for value in one.answers), f"a wrong answer: {one.answers}"

    async def finish(self) -> None:
        await go_well(self, self._is_over, lambda step: step not in ("fail", "cut", "restart", "client goes"))
        for one in self.asked:
            if one.kind == CallKind.SPAWN:
                stored = await CallStore(self.database).outputs(one.call_id)
                assert stored is not None, "what was accepted is unknown"
                (output,) = stored.outputs
                assert output.payload is not None
                assert output.payload.data == one.input_id.encode()
        # What a killed service left is swept: nothing here may refer to it.
        assert not self.journal.blob_ids(), "an argument is kept that nobody needs"
        assert not self.journal._inputs, "an input is kept that is over"
        assert not self.journal._calls, "a call is kept that is over"

    def _is_over(self) -> bool:
        waits = len(self.database) or self.running or any(not item.done for item in self.queue)
        return not waits and all(one.is_over and not one.untaken for one in self.asked)

    def close(self) -> None:
        self.database.lose()


@pytest.mark.parametrize(
    ("kinds", "failures", "restarts", "cuts", "goes", "depth"),
    [
        ([CallKind.MAP], 0, 1, 1, True, 7),
        ([CallKind.SPAWN], 1, 1, 1, False, 7),
        ([CallKind.MAP, CallKind.SPAWN], 1, 1, 0, False, 5),
        ([CallKind.SPAWN, CallKind.SPAWN], 1, 0, 1, False, 5),
    ],
    ids=["map", "spawn", "both", "two spawned"],
)
def test_no_order_of_events_loses_an_input_its_argument_or_its_answer(
    gated_database: GatedDatabase,
    monkeypatch: pytest.MonkeyPatch,
    kinds: list[CallKind],
    failures: int,
    restarts: int,
    cuts: int,
    goes: bool,
    depth: int,
) -> None:
    async def kept(blobs: Any, blob_ids: list[str]) -> None:
        """Keep what is kept already: it waits for no thread here."""

    monkeypatch.setattr(journal_module, "keep_patiently", kept)
    monkeypatch.setattr(writing, "FIRST_PAUSE_S", 0.0)
    count = explore(lambda: JournalWorld(gated_database, kinds, failures, restarts, cuts, goes), depth)
    assert count > 100
