"""The dispatcher: hands waiting inputs to containers, and what becomes of them back to their calls."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence

from wherry_proto.messages import Failure, FailureKind, Payload, Yield
from wherry_service.calls.answers import Answers, lost, may_retry, no_function
from wherry_service.calls.call import Call, Input
from wherry_service.calls.claims import Claims
from wherry_service.calls.client import Clients
from wherry_service.calls.diary import Diary
from wherry_service.calls.journal import Journal
from wherry_service.calls.notices import Notices
from wherry_service.calls.queue import FunctionQueue, QueueLimit
from wherry_service.calls.retry import MAX_LOSSES, RetryPolicy
from wherry_service.calls.waits import Waits
from wherry_service.logs.batch import LogRow
from wherry_service.node.events import ContainerExit, OutputRow, YieldRow
from wherry_service.node.node import FoundContainer
from wherry_service.pools import interruption
from wherry_service.pools.container import Container, Home
from wherry_service.pools.events import PoolEvents
from wherry_service.pools.plan import PoolPlan
from wherry_service.pools.pool import Pool
from wherry_service.pools.pools import Pools
from wherry_service.records.tally import Gauges
from wherry_service.tasks import Tasks


# large: a method for each event of pools, and for each thing that can be done with a function
class Dispatcher(PoolEvents[Input]):
    """Queues, by function, and the inputs that are open."""

    def __init__(
        self, pools: Pools[Input], clients: Clients, journal: Journal, diary: Diary, queue_limit: QueueLimit
    ) -> None:
        self._pools = pools
        self._clients = clients
        self._journal = journal
        self._diary = diary
        self._queue_limit = queue_limit
        self._recorder = journal.recorder
        self._answers = Answers(journal)
        self._claims = Claims(journal, self._answers)
        self._notices = Notices(clients)
        self._tasks = Tasks("containers of an earlier version could not be retired")
        self._queues: dict[str, FunctionQueue] = {}
        self._waits = Waits(clients, self._queues)
        # Called with a pool whose containers end before they can work, and with why.
        self.on_crash_loop: list[Callable[[Home, str], None]] = []
        # Hear of containers that are ready and that have ended, before their pool forgets them.
        self.watchers: list[PoolEvents[Input]] = []

    def keep_durable(self) -> None:
        """Leave durable inputs that are interrupted from now on as they are on disk: the next life runs them."""
        self._answers.keep_durable()

    # Functions

    def open_function(
        self, plan: PoolPlan, retry: RetryPolicy, app_id: str, client_id: str, found: Sequence[FoundContainer] = ()
    ) -> None:
        """Begin to serve a function, with the containers found of it; its min_containers start at once."""
        pool = self._pools.open(plan, self, found)
        self._queues[plan.function_id] = FunctionQueue(
            plan.function_id, app_id, client_id, pool, retry, self._queue_limit
        )

    def prepare_function(self, plan: PoolPlan, watcher: PoolEvents[Input], standing: int) -> Pool[Input]:
        """Start that many containers for a plan by which a function may be served later.

        `watcher` hears how they come up.
        """
        return self._pools.prepare(plan, self, watcher, standing)

    def switch_function(
        self, pool: Pool[Input], retry: RetryPolicy, app_id: str, client_id: str, grace_s: float
    ) -> None:
        """Serve a function by a prepared pool from now on: what waits goes over, what runs gets `grace_s` to end."""
        function_id = pool.plan.function_id
        old = self._queues.pop(function_id, None)
        before = self._pools.put(pool)
        queue = FunctionQueue(function_id, app_id, client_id, pool, retry, self._queue_limit)
        self._queues[function_id] = queue
        if before is not None:
            self._tasks.spawn(self._pools.retire(before, grace_s))
        if old is not None:
            queue.outcomes = old.outcomes
            self.submit(old.take_all())
        self._pump(queue)

    def replace_function(self, plan: PoolPlan, retry: RetryPolicy, app_id: str, client_id: str, grace_s: float) -> None:
        """Serve a function by another plan from now on, as `switch_function`; its containers have yet to start."""
        self.switch_function(self._pools.prepare(plan, self, self), retry, app_id, client_id, grace_s)

    def tune_function(self, plan: PoolPlan, retry: RetryPolicy) -> None:
        """Have a function scale and retry otherwise; its containers stay."""
        queue = self._queues.get(plan.function_id)
        if queue is not None:
            queue.retry = retry
            queue.pool.replan(plan)

    async def close_function(self, function_id: str, grace_s: float, why: str) -> int:
        """Stop serving a function: what waits is cancelled, containers go. Return how many there were."""
        queue = self._queues.pop(function_id, None)
        if queue is None:
            return 0
        failure = Failure(kind=FailureKind.CANCELLED, message=why)
        for item in (*queue.take_all(), *self._claims.old_runs.take_all(function_id)):
            self._answers.fail(item, failure)
        return await self._pools.close(function_id, grace_s)

    def is_working(self, function_id: str) -> bool:
        """Whether inputs of the function wait, run, or are about to be tried again."""
        queue = self._queues.get(function_id)
        if queue is None:
            return False
        waits = len(queue) > 0 or queue.num_retrying > 0 or self._claims.old_runs.waits(function_id)
        return waits or queue.pool.in_flight > 0

    def queue(self, function_id: str) -> FunctionQueue | None:
        """Return the function's queue, if it is served."""
        return self._queues.get(function_id)

    @property
    def num_waiting(self) -> int:
        """How many inputs wait, of all functions."""
        return sum(map(len, self._queues.values()))

    def gauges(self) -> dict[str, Gauges]:
        """Return how much of each function waits and runs."""
        found: dict[str, Gauges] = {}
        for pool in self._pools:
            function_id = pool.plan.function_id
            queue = self._queues.get(function_id)
            # An older version's pool may have its function's queue no more, and still containers.
            waiting = len(queue) if queue is not None and queue.pool is pool else 0
            own = Gauges(waiting, pool.in_flight, len(pool.containers))
            found[function_id] = own.and_also(found[function_id]) if function_id in found else own
        return found

    # Inputs

    def gate(self) -> Callable[[Input], Failure | None]:
        """Return what says of each input of a message why it can't be taken now; None: it can."""
        taken: dict[str, int] = {}

        def refusal(item: Input) -> Failure | None:
            function_id = item.call.function_id
            queue = self._queues.get(function_id)
            more = taken.get(function_id, 0)
            if queue is None or not queue.is_full(more):
                taken[function_id] = more + 1
                return None
            name = queue.pool.plan.name
            message = f"{len(queue)} inputs wait for function {name!r} already: offer more when some have run"
            return Failure(kind=FailureKind.EXHAUSTED, message=message)

        return refusal

    def submit(self, items: Iterable[Input]) -> None:
        """Queue inputs and hand out what can be."""
        touched: dict[str, FunctionQueue] = {}
        has_claims = bool(self._claims)
        for item in items:
            function_id = item.call.function_id
            queue = touched.get(function_id) or self._queues.get(function_id)
            if queue is None:
                self._answers.fail(item, no_function(function_id))
                continue
            touched[function_id] = queue
            if item.call.parent_input_id:
                queue.pool.is_nested = True
            if has_claims and self._claims.settle(item, queue.pool):
                continue
            queue.put(item)
        for function_id, queue in touched.items():
            # While it has a name: once its app has stopped, nobody knows that.
            self._recorder.records.function(function_id)
            queue.pool.starts.retry_now()
            self._pump(queue)

    def cancel(self, call: Call, terminate_containers: bool = False) -> None:
        """Drop the call's waiting inputs and interrupt its running ones."""
        self.cancel_all([call], terminate_containers)

    def cancel_all(
        self, calls: Iterable[Call], terminate_containers: bool = False, alone: Sequence[Input] = ()
    ) -> None:
        """Drop the calls' waiting inputs and interrupt their running ones.

        Likewise those that are `alone`: the other inputs of their calls go on.
        """
        # One for all of them: what is the same is written once.
        failure = Failure(kind=FailureKind.CANCELLED, message="The call was cancelled before it ran.")
        touched: dict[str, FunctionQueue] = {}
        items = list(alone)
        for item in items:
            item.cancelled = True
            queue = self._queues.get(item.call.function_id)
            if queue is not None:
                queue.remove(item)
                touched[item.call.function_id] = queue
        for call in calls:
            call.cancelled = True
            queue = self._queues.get(call.function_id)
            if queue is not None:
                queue.remove_call(call)
                touched[call.function_id] = queue
            items += call.open.values()
        running: dict[Container[Input], list[str]] = {}
        for item in items:
            if item.container is None:
                self._claims.old_runs.withdraw(item)
                self._answers.fail(item, failure)
            else:
                running.setdefault(item.container, []).append(item.input_id)
        for container, input_ids in running.items():
            # Not the queue's where a new version has taken over meanwhile.
            found = self._pools.find(container.container_id)
            if found is None or found[0].plan.function_id not in self._queues:
                container.kill("was ended with its function")
            elif terminate_containers:
                interruption.end_cancelled(container, "was ended with a cancelled call")
            else:
                interruption.cancel(found[0].plan.load, container, input_ids)
        for queue in touched.values():
            self._pump(queue)

    def taken(self, item: Input, index: int) -> None:
        """Let a generator run on: its caller has taken all values below `index`."""
        if item.container is not None and item.container.handle is not None:
            item.container.handle.taken([(item.input_id, index)])

    def _pump(self, queue: FunctionQueue) -> None:
        """Give waiting inputs to containers: fair shares, free slots before places in a row."""
        pool = queue.pool
        if queue:
            pool.backlog = len(queue)
            rooms = pool.with_room()
            now_ms = int(time.time() * 1000) if rooms else 0
            for position, (container, room) in enumerate(rooms):
                share = max(pool.plan.least_share, -(-len(queue) // (len(rooms) - position)))
                batch = queue.take(min(room, share))
                if not batch:
                    break
                for item in batch:
                    item.container = container
                    item.started_ms = now_ms
                container.send(batch)
            if queue or not (rooms and rooms[0][0].ready):
                self._waits.look()
        pool.set_backlog(len(queue))

    # PoolEvents

    def on_room(self, pool: Home) -> None:
        queue = self._queues.get(pool.plan.function_id)
        if queue is not None and queue.pool is pool:
            self._pump(queue)

    def on_claims(self, container: Container[Input], input_ids: Sequence[str]) -> None:
        self._claims.claimed(container, input_ids, self._queues.get(container.pool.plan.function_id))

    def on_outputs(self, container: Container[Input], rows: Sequence[OutputRow]) -> None:
        queue = self._queues.get(container.pool.plan.function_id)
        if queue is not None:
            queue.outcomes.num_succeeded += len(rows)
        ended: list[tuple[Input, int]] = []
        for input_id, payload, num_yields in rows:
            item = container.release(input_id)
            if item is None:
                self._answered_early(container, input_id, payload, num_yields)
            else:
                if item.done:
                    _let_go(container, item)
                else:
                    ended.append((item, payload.size))
                self._answers.succeed(item, payload, num_yields)
        if ended:
            self._recorder.succeeded(container, ended)

    def on_yields(self, container: Container[Input], rows: Sequence[YieldRow]) -> None:
        for input_id, index, payload in rows:
            item = container.held.get(input_id)
            if item is not None:
                self._journal.yielded(
                    item,
                    Yield(
                        input_id=input_id,
                        call_id=item.call_id,
                        index=index,
                        payload=payload,
                        input_index=item.index,
                    ),
                    container.handle,
                )

    def on_failure(self, container: Container[Input], input_id: str, failure: Failure, num_yields: int) -> None:
        error = self._diary.failed(container, input_id, failure)
        item = container.release(input_id)
        if item is None:
            self._answered_early(container, input_id, failure, num_yields)
            return
        if item.done:
            _let_go(container, item)
        if failure.kind == FailureKind.CANCELLED and not item.is_cancelled:
            # The end of a run from our earlier life, which this one was to replace.
            _let_go(container, item)
            self.on_back(container.pool, [item])
            return
        queue = self._queues.get(item.call.function_id)
        if queue is not None and may_retry(item, queue.retry, failure):
            delay = queue.retry.delay(item.retries)
            self._recorder.tried(item, container, failure.kind, error)
            item.retries += 1
            item.container = None
            _let_go(container, item)
            queue.num_retrying += 1
            asyncio.get_running_loop().call_later(delay, self._run_again, item, queue)
            return
        if queue is not None and failure.kind != FailureKind.CANCELLED:
            queue.outcomes.failed(1, error)
        self._answers.fail(item, failure, num_yields, container, error)

    def on_log(self, container: Container[Input], rows: Sequence[LogRow]) -> None:
        batch = self._diary.printed(container, rows)
        queue = self._queues.get(container.pool.plan.function_id)
        client = self._clients.get(queue.client_id) if queue is not None else None
        if client is not None and client.connected:
            client.log(batch.lines(), container.handle)

    def on_load_failed(self, container: Container[Input], failure: Failure) -> None:
        error = self._diary.failed(container, "", failure)
        if (queue := self._queues.get(container.pool.plan.function_id)) is not None:
            queue.outcomes.failed(0, error)

    def on_ready(self, container: Container[Input], seconds: float) -> None:
        self._recorder.ready(container)
        for watcher in self.watchers:
            watcher.on_ready(container, seconds)

    def on_exit(self, container: Container[Input], exit: ContainerExit) -> None:
        self._diary.ended(container, exit)
        for watcher in self.watchers:
            watcher.on_exit(container, exit)
        if again := self._claims.gone(container):
            self.submit(again)

    def on_back(self, pool: Home, inputs: Sequence[Input]) -> None:
        queue = self._queues.get(pool.plan.function_id)
        again: list[Input] = []
        for item in inputs:
            item.container = None
            if item.done:
                continue
            if queue is None or item.is_cancelled:
                self._answers.fail(item, Failure(kind=FailureKind.CANCELLED, message="The call was cancelled."))
            else:
                again.append(item)
        if queue is not None and again:
            queue.put_back(again)
            if queue.pool is not pool:
                # Its function is served by another plan now.
                self._pump(queue)

    def on_lost(self, container: Container[Input], inputs: Sequence[Input], exit: ContainerExit) -> None:
        pool = container.pool
        queue = self._queues.get(pool.plan.function_id)
        # One that another version has taken over from can't run it again, but that one can.
        ends_here = pool.closed and (queue is None or queue.pool is pool)
        again: list[Input] = []
        for item in inputs:
            item.losses += 1
            # Of a request nobody knows what it has done already: who sent it decides whether to send it again.
            if item.losses > MAX_LOSSES or item.is_cancelled or ends_here or item.stream is not None:
                item.container = None
                failure = lost(item, container, exit)
                if queue is not None:
                    queue.outcomes.failed(1, failure.message)
                self._answers.fail(item, failure, container=container)
            else:
                kind = FailureKind.OUT_OF_MEMORY if exit.oom_killed else FailureKind.CONTAINER_LOST
                self._recorder.tried(item, container, kind, f"The container {exit.describe()}.")
                again.append(item)
        for item in again:
            self.on_notice(
                pool,
                f"Container {container.container_id} of {pool.plan.name!r} {exit.describe()}; "
                f"its input runs again ({item.losses} of {MAX_LOSSES})",
            )
        self.on_back(pool, again)

    def on_crashing(self, pool: Home, error: str) -> None:
        for hear in self.on_crash_loop:
            hear(pool, error)

    def on_start_failed(self, pool: Home, failure: Failure) -> None:
        queue = self._queues.get(pool.plan.function_id)
        if queue is not None and queue.pool is pool:
            waiting = queue.take_all()
            queue.outcomes.failed(len(waiting), "")
            if pool.plan.is_server or any(item.stream is not None for item in waiting):
                # Who sent a request is not told why: that is for who runs the app.
                self.on_notice(
                    pool, f"{pool.plan.name} could not start: {failure.message}\n{failure.traceback}".rstrip()
                )
            for item in waiting:
                self._answers.fail(item, failure)
            queue.pool.set_backlog(0)

    def on_notice(self, pool: Home, text: str) -> None:
        queue = self._queues.get(pool.plan.function_id)
        if queue is None:
            return
        self._notices.tell(queue, pool.plan.name, text)

    # Ends of inputs

    def _run_again(self, item: Input, queue: FunctionQueue) -> None:
        queue.num_retrying -= 1
        if item.is_cancelled:
            self._answers.fail(
                item, Failure(kind=FailureKind.CANCELLED, message="The call was cancelled before its retry.")
            )
        elif not item.done:
            self.submit([item])

    def _answered_early(
        self, container: Container[Input], input_id: str, result: Payload | Failure, num_yields: int
    ) -> None:
        """Hear an answer to an input that the container was not given in this life, as far as we know."""
        item = self._claims.answered(container, input_id, result, num_yields)
        if item is not None:
            self.submit([item])


def _let_go(container: Container[Input], item: Input) -> None:
    """Have a container forget an answer that decides nothing."""
    if item.is_durable and container.handle is not None:
        container.handle.kept([item.input_id])
