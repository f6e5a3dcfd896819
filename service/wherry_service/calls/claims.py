"""What containers bring along from an earlier life of the service: inputs that they hold, and early answers."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from wherry_proto.messages import Failure, Payload
from wherry_service.calls.answers import Answers
from wherry_service.calls.call import Input
from wherry_service.calls.journal import Journal
from wherry_service.calls.old_runs import OldRuns
from wherry_service.calls.queue import FunctionQueue
from wherry_service.pools.container import Container
from wherry_service.pools.plan import PoolPlan
from wherry_service.pools.pool import Pool

# Seconds for which the result of an input that nobody has offered again yet is kept after a restart.
EARLY_RESULT_S = 120.0
# Seconds for which an input that a container had before a restart waits to be offered again.
CLAIM_S = 600.0


class EarlyAnswer(NamedTuple):
    """The answer to an input that its client, reconnecting after our restart, has yet to offer again."""

    container: Container[Input]
    function_id: str
    result: Payload | Failure
    num_yields: int


class Claims:
    """Who has an input of an earlier life already, until it is offered again.

    Runs of generators are not taken over (`old_runs`): what they yielded may be lost with that life.
    """

    def __init__(self, journal: Journal, answers: Answers) -> None:
        self.old_runs = OldRuns()
        self._journal = journal
        self._answers = answers
        # By input: the container that holds it.
        self._held: dict[str, Container[Input]] = {}
        self._early: dict[str, EarlyAnswer] = {}

    def __len__(self) -> int:
        return len(self._held) + len(self._early) + len(self.old_runs)

    # What containers say

    def claimed(self, container: Container[Input], input_ids: Sequence[str], queue: FunctionQueue | None) -> None:
        """Hear that a container came back holding these inputs; `queue` is its function's, where it is served."""
        plan = container.pool.plan
        if plan.load.web and not plan.load.methods:
            # Whoever sent a request to our earlier life is gone.
            if container.handle is not None:
                container.handle.cancel(list(input_ids))
            return
        if plan.load.is_generator:
            # What it yielded to our earlier life may be lost: it runs again, and its caller skips what it has.
            self._run_again(container, input_ids, queue)
            return
        left = [input_id for input_id in input_ids if not self._joins(container, input_id, queue)]
        if left:
            self._held.update(dict.fromkeys(left, container))
            asyncio.get_running_loop().call_later(CLAIM_S, self._drop, container, left)

    def _run_again(self, container: Container[Input], input_ids: Sequence[str], queue: FunctionQueue | None) -> None:
        """Have old runs end; those of their inputs that wait here begin then."""
        self.old_runs.end(container, input_ids)
        for input_id in input_ids:
            item = self._journal.open_input(input_id)
            if item is not None and queue is not None and queue.remove(item):
                self.old_runs.hold_back(item)

    def _joins(self, container: Container[Input], input_id: str, queue: FunctionQueue | None) -> bool:
        """Join an input that waits here to its run; return whether nothing is left to be claimed."""
        item, plan = self._journal.open_input(input_id), container.pool.plan
        if item is None or item.call.function_id != plan.function_id or item.container is not None:
            return False
        if _yields(plan, item):
            self._run_again(container, [input_id], queue)
            return True
        if queue is None or not queue.remove(item):
            # Restored, and about to be queued.
            return False
        container.hold(item)
        item.container = container
        item.started_ms = item.started_ms or item.queued_ms
        return True

    def _drop(self, container: Container[Input], input_ids: Sequence[str]) -> None:
        """End runs from our earlier life that nobody has asked for since."""
        left = [input_id for input_id in input_ids if self._held.get(input_id) is container]
        for input_id in left:
            del self._held[input_id]
        if left and container.handle is not None:
            container.handle.cancel(left)

    def answered(
        self, container: Container[Input], input_id: str, result: Payload | Failure, num_yields: int
    ) -> Input | None:
        """Hear an answer to an input that a container does not hold; return one that may run now.

        The end of an old run is such an answer, whatever it says. Another may be asked for yet.
        """
        item = self.old_runs.ended(container, input_id)
        if item is None and self._held.pop(input_id, None) is not None:
            self._early[input_id] = EarlyAnswer(container, container.pool.plan.function_id, result, num_yields)
            asyncio.get_running_loop().call_later(EARLY_RESULT_S, self._drop_early, input_id)
        return item

    def _drop_early(self, input_id: str) -> None:
        early = self._early.pop(input_id, None)
        if early is not None and early.container.handle is not None:
            # Nobody asks for it: it was on disk before, or its client is gone.
            early.container.handle.kept([input_id])

    def gone(self, container: Container[Input]) -> list[Input]:
        """Hear that a container has ended; return the inputs that may run now."""
        if self._held:
            self._held = {input_id: one for input_id, one in self._held.items() if one is not container}
        return self.old_runs.gone(container) if self.old_runs else []

    # What is offered

    def settle(self, item: Input, pool: Pool[Input]) -> bool:
        """Return whether an input that is offered needs no container: it has one, or will get one, or is answered."""
        if self.old_runs and self.old_runs.hold_back(item):
            return True
        return (bool(self._held) and self._attach(item, pool)) or (bool(self._early) and self._answer(item, pool))

    def _attach(self, item: Input, pool: Pool[Input]) -> bool:
        container = self._held.get(item.input_id)
        if container is None or pool.containers.get(container.container_id) is not container:
            return False
        del self._held[item.input_id]
        if _yields(pool.plan, item):
            self.old_runs.end(container, [item.input_id])
            return self.old_runs.hold_back(item)
        container.hold(item)
        item.container = container
        item.started_ms = item.started_ms or item.queued_ms
        return True

    def _answer(self, item: Input, pool: Pool[Input]) -> bool:
        early = self._early.get(item.input_id)
        if early is None or early.function_id != item.call.function_id:
            return False
        del self._early[item.input_id]
        if _yields(pool.plan, item):
            return False
        item.container = early.container
        if isinstance(early.result, Failure):
            self._answers.fail(item, early.result, early.num_yields)
        else:
            self._answers.succeed_late(item, early.result, early.num_yields)
        return True


def _yields(plan: PoolPlan, item: Input) -> bool:
    """Whether an input of a class runs a method that yields values: some may be lost with our earlier life."""
    return any(name == item.method and is_generator for name, is_generator, _ in plan.load.methods)
