"""The dispatcher: hands waiting inputs to containers, and what becomes of them back to their calls."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence

from wherry_proto.messages import CallKind, Failure, FailureKind, Notice, Output, Payload, Yield
from wherry_service.calls.call import Call, Input
from wherry_service.calls.client import Clients
from wherry_service.calls.diary import Diary
from wherry_service.calls.journal import Journal
from wherry_service.calls.old_runs import OldRuns
from wherry_service.calls.queue import FunctionQueue, QueueLimit
from wherry_service.calls.retry import MAX_LOSSES, RetryPolicy
from wherry_service.logs.batch import LogRow
from wherry_service.logs.masks import Masks
from wherry_service.logs.store import LogStore
from wherry_service.node.events import ContainerExit, OutputRow, YieldRow
from wherry_service.node.node import FoundContainer
from wherry_service.pools import interruption
from wherry_service.pools.container import Container, Home
from wherry_service.pools.events import PoolEvents
from wherry_service.pools.plan import PoolPlan
from wherry_service.pools.pool import Pool
from wherry_service.pools.pools import Pools
from wherry_service.tasks import Tasks

log = logging.getLogger(__name__)

# How an input ends that was not to blame; the last, where its function was closed before its turn came.
_INTERRUPTED = (
    FailureKind.CANCELLED,
    FailureKind.CONTAINER_LOST,
    FailureKind.OUT_OF_MEMORY,
    FailureKind.NOT_FOUND,
)
# The same notice is shown again after this many seconds at the earliest.
NOTICE_EVERY_S = 10.0
# Notices of a function that are remembered for it, before the older ones are looked for.
MAX_NOTICED = 256
# Seconds for which the result of an input that nobody has offered again yet is kept after a restart.
EARLY_RESULT_S = 120.0
# Seconds for which an input that a container had before a restart waits to be offered again.
CLAIM_S = 600.0


class Dispatcher(PoolEvents[Input]):
    """Queues, by function, and the inputs that are open."""

    def __init__(
        self,
        pools: Pools[Input],
        clients: Clients,
        journal: Journal,
        queue_limit: QueueLimit = QueueLimit(),  # noqa: B008 - immutable
        logs: LogStore | None = None,
        masks: Masks | None = None,
    ) -> None:
        self._pools = pools
        self._clients = clients
        self._journal = journal
        self._queue_limit = queue_limit
        self._diary = Diary(logs, masks)
        self._loop = asyncio.get_running_loop()
        self._keeps_durable = False
        self._tasks = Tasks("containers of an earlier version could not be retired")
        self._queues: dict[str, FunctionQueue] = {}
        self._claims: dict[str, Container[Input]] = {}
        self._old_runs = OldRuns()
        self._early: dict[str, tuple[Container[Input], str, Payload | Failure, int]] = {}

    def keep_durable(self) -> None:
        """Leave durable inputs that are interrupted from now on as they are on disk: the next life runs them."""
        self._keeps_durable = True

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
        self._queues[function_id] = FunctionQueue(function_id, app_id, client_id, pool, retry, self._queue_limit)
        if before is not None:
            self._tasks.spawn(self._pools.retire(before, grace_s))
        if old is not None:
            self.submit(old.take_all())
        self._pump(self._queues[function_id])

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
        for item in (*queue.take_all(), *self._old_runs.take_all(function_id)):
            self._fail(item, failure)
        return await self._pools.close(function_id, grace_s)

    def is_working(self, function_id: str) -> bool:
        """Whether inputs of the function wait, run, or are about to be tried again."""
        queue = self._queues.get(function_id)
        if queue is None:
            return False
        waits = len(queue) > 0 or queue.num_retrying > 0 or self._old_runs.waits(function_id)
        return waits or queue.pool.in_flight > 0

    def queue(self, function_id: str) -> FunctionQueue | None:
        """Return the function's queue, if it is served."""
        return self._queues.get(function_id)

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
        for item in items:
            function_id = item.call.function_id
            queue = touched.get(function_id) or self._queues.get(function_id)
            if queue is None:
                self._fail(item, Failure(kind=FailureKind.NOT_FOUND, message=_no_function(function_id)))
                continue
            touched[function_id] = queue
            if item.call.parent_input_id:
                queue.pool.is_nested = True
            if self._old_runs and self._old_runs.hold_back(item):
                continue
            if self._claims and self._attach_claimed(item, queue):
                continue
            if self._early and self._answer_early(item, queue):
                continue
            queue.put(item)
        for queue in touched.values():
            queue.pool.starts.retry_now()
            self._pump(queue)

    def cancel(self, call: Call, terminate_containers: bool = False) -> None:
        """Drop the call's waiting inputs and interrupt its running ones."""
        self.cancel_all([call], terminate_containers)

    def cancel_all(self, calls: Iterable[Call], terminate_containers: bool = False) -> None:
        """Drop the calls' waiting inputs and interrupt their running ones."""
        # One for all of them: what is the same is written once.
        failure = Failure(kind=FailureKind.CANCELLED, message="The call was cancelled before it ran.")
        running: dict[Container[Input], list[str]] = {}
        touched: dict[str, FunctionQueue] = {}
        for call in calls:
            call.cancelled = True
            queue = self._queues.get(call.function_id)
            if queue is not None:
                queue.remove_call(call)
                touched[call.function_id] = queue
            for item in list(call.open.values()):
                if item.container is None:
                    self._old_runs.withdraw(item)
                    self._fail(item, failure)
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
            for position, (container, room) in enumerate(rooms):
                share = max(pool.plan.least_share, -(-len(queue) // (len(rooms) - position)))
                batch = queue.take(min(room, share))
                if not batch:
                    break
                for item in batch:
                    item.container = container
                container.send(batch)
        pool.set_backlog(len(queue))

    def _attach_claimed(self, item: Input, queue: FunctionQueue) -> bool:
        container = self._claims.get(item.input_id)
        if container is None or queue.pool.containers.get(container.container_id) is not container:
            return False
        del self._claims[item.input_id]
        if _is_generator(queue.pool, item):
            self._old_runs.end(container, [item.input_id])
            return self._old_runs.hold_back(item)
        container.hold(item)
        item.container = container
        return True

    def _answer_early(self, item: Input, queue: FunctionQueue) -> bool:
        early = self._early.get(item.input_id)
        if early is None or early[1] != item.call.function_id:
            return False
        del self._early[item.input_id]
        container, _, result, num_yields = early
        if _is_generator(queue.pool, item):
            return False
        item.container = container
        if isinstance(result, Failure):
            self._fail(item, result, num_yields)
        else:
            self._succeed(item, result, num_yields)
        return True

    # PoolEvents

    def on_room(self, pool: Home) -> None:
        queue = self._queues.get(pool.plan.function_id)
        if queue is not None and queue.pool is pool:
            self._pump(queue)

    def on_claims(self, container: Container[Input], input_ids: Sequence[str]) -> None:
        pool = container.pool
        queue = self._queues.get(pool.plan.function_id)
        claimed: list[str] = []
        if pool.plan.load.web and not pool.plan.load.methods:
            # Whoever sent a request to our earlier life is gone.
            if container.handle is not None:
                container.handle.cancel(list(input_ids))
            return
        if pool.plan.load.is_generator:
            # What it yielded to our earlier life may be lost: it runs again, and its caller skips what it has.
            self._old_runs.end(container, input_ids)
            for input_id in input_ids:
                item = self._journal.open_input(input_id)
                if item is not None and queue is not None and queue.remove(item):
                    self._old_runs.hold_back(item)
            return
        for input_id in input_ids:
            item = self._journal.open_input(input_id)
            if item is not None and item.call.function_id == pool.plan.function_id and item.container is None:
                if _is_generator(pool, item):
                    self._old_runs.end(container, [input_id])
                    if queue is not None and queue.remove(item):
                        self._old_runs.hold_back(item)
                elif queue is not None and queue.remove(item):
                    container.hold(item)
                    item.container = container
                else:
                    # Restored, and about to be queued.
                    claimed.append(input_id)
            else:
                claimed.append(input_id)
        if claimed:
            self._claims.update(dict.fromkeys(claimed, container))
            self._loop.call_later(CLAIM_S, self._drop_claims, container, claimed)

    def _drop_claims(self, container: Container[Input], input_ids: Sequence[str]) -> None:
        """End runs from our earlier life that nobody has asked for since."""
        left = [input_id for input_id in input_ids if self._claims.get(input_id) is container]
        for input_id in left:
            del self._claims[input_id]
        if left and container.handle is not None:
            container.handle.cancel(left)

    def on_outputs(self, container: Container[Input], rows: Sequence[OutputRow]) -> None:
        for input_id, payload, num_yields in rows:
            item = container.release(input_id)
            if item is None:
                if not self._old_run_ended(container, input_id):
                    self._keep_early(container, input_id, payload, num_yields)
            else:
                if item.done:
                    _let_go(container, item)
                self._succeed(item, payload, num_yields)

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
        self._diary.failed(container, input_id, failure)
        item = container.release(input_id)
        if item is None:
            if not self._old_run_ended(container, input_id):
                self._keep_early(container, input_id, failure, num_yields)
            return
        if item.done:
            _let_go(container, item)
        if failure.kind == FailureKind.CANCELLED and not item.call.cancelled:
            # The end of a run from our earlier life, which this one was to replace.
            _let_go(container, item)
            self.on_back(container.pool, [item])
            return
        queue = self._queues.get(item.call.function_id)
        if queue is not None and self._may_retry(item, queue, failure):
            delay = queue.retry.delay(item.retries)
            item.retries += 1
            item.container = None
            _let_go(container, item)
            queue.num_retrying += 1
            self._loop.call_later(delay, self._run_again, item, queue)
            return
        self._fail(item, failure, num_yields)

    def on_log(self, container: Container[Input], rows: Sequence[LogRow]) -> None:
        batch = self._diary.printed(container, rows)
        queue = self._queues.get(container.pool.plan.function_id)
        client = self._clients.get(queue.client_id) if queue is not None else None
        if client is not None and client.connected:
            client.log(batch.lines(), container.handle)

    def on_load_failed(self, container: Container[Input], failure: Failure) -> None:
        self._diary.failed(container, "", failure)

    def on_exit(self, container: Container[Input], exit: ContainerExit) -> None:
        self._diary.ended(container, exit)
        if self._claims:
            self._claims = {input_id: one for input_id, one in self._claims.items() if one is not container}
        if self._old_runs and (again := self._old_runs.gone(container)):
            self.submit(again)

    def on_back(self, pool: Home, inputs: Sequence[Input]) -> None:
        queue = self._queues.get(pool.plan.function_id)
        again: list[Input] = []
        for item in inputs:
            item.container = None
            if item.done:
                continue
            if queue is None or item.call.cancelled:
                self._fail(item, Failure(kind=FailureKind.CANCELLED, message="The call was cancelled."))
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
            if item.losses > MAX_LOSSES or item.call.cancelled or ends_here or item.stream is not None:
                item.container = None
                self._fail(item, _lost_failure(item, container, exit))
            else:
                again.append(item)
        for item in again:
            self.on_notice(
                pool,
                f"Container {container.container_id} of {pool.plan.name!r} {exit.describe()}; "
                f"its input runs again ({item.losses} of {MAX_LOSSES})",
            )
        self.on_back(pool, again)

    def on_start_failed(self, pool: Home, failure: Failure) -> None:
        queue = self._queues.get(pool.plan.function_id)
        if queue is not None and queue.pool is pool:
            waiting = queue.take_all()
            if any(item.stream is not None for item in waiting):
                # Who sent a request is not told why: that is for who runs the app.
                self.on_notice(
                    pool, f"{pool.plan.name} could not start: {failure.message}\n{failure.traceback}".rstrip()
                )
            for item in waiting:
                self._fail(item, failure)
            queue.pool.set_backlog(0)

    def on_notice(self, pool: Home, text: str) -> None:
        queue = self._queues.get(pool.plan.function_id)
        if queue is None:
            return
        now = self._loop.time()
        if now - queue.noticed.get(text, -NOTICE_EVERY_S) < NOTICE_EVERY_S:
            return
        if len(queue.noticed) >= MAX_NOTICED:
            queue.noticed = {said: at for said, at in queue.noticed.items() if now - at < NOTICE_EVERY_S}
        queue.noticed[text] = now
        log.warning("%s: %s", pool.plan.name, text)
        client = self._clients.get(queue.client_id)
        if client is not None:
            client.notice(Notice(app_id=queue.app_id, function_id=queue.function_id, text=text, warning=True))

    # Ends of inputs

    def _may_retry(self, item: Input, queue: FunctionQueue, failure: Failure) -> bool:
        return (
            failure.kind in (FailureKind.EXCEPTION, FailureKind.TIMEOUT)
            and item.retries < queue.retry.max_retries
            and item.call.kind not in (CallKind.GENERATOR, CallKind.WEB)
            and not item.call.cancelled
        )

    def _run_again(self, item: Input, queue: FunctionQueue) -> None:
        queue.num_retrying -= 1
        if item.call.cancelled:
            self._fail(item, Failure(kind=FailureKind.CANCELLED, message="The call was cancelled before its retry."))
        elif not item.done:
            self.submit([item])

    def _succeed(self, item: Input, payload: Payload, num_yields: int) -> None:
        self._end(
            item,
            Output(
                input_id=item.input_id,
                call_id=item.call_id,
                index=item.index,
                payload=payload,
                num_yields=num_yields,
            ),
        )

    def _fail(self, item: Input, failure: Failure, num_yields: int = 0) -> None:
        if self._keeps_durable and item.call.durable and not item.call.cancelled and failure.kind in _INTERRUPTED:
            return
        self._end(
            item,
            Output(
                input_id=item.input_id,
                call_id=item.call_id,
                index=item.index,
                failure=failure,
                num_yields=num_yields,
            ),
        )

    def _end(self, item: Input, output: Output) -> None:
        if item.done:
            return
        item.done = True
        container, item.container = item.container, None
        self._journal.ended(item, output, container)

    def _old_run_ended(self, container: Container[Input], input_id: str) -> bool:
        """Note that a run which was to end has ended, whatever it answered; its input runs now."""
        item = self._old_runs.ended(container, input_id)
        if item is not None:
            self.submit([item])
        return item is not None

    def _keep_early(
        self, container: Container[Input], input_id: str, result: Payload | Failure, num_yields: int
    ) -> None:
        """Keep the result of an input that its client, reconnecting after our restart, has yet to offer again."""
        if self._claims.pop(input_id, None) is not None:
            self._early[input_id] = (container, container.pool.plan.function_id, result, num_yields)
            self._loop.call_later(EARLY_RESULT_S, self._drop_early, input_id)

    def _drop_early(self, input_id: str) -> None:
        early = self._early.pop(input_id, None)
        if early is not None and early[0].handle is not None:
            # Nobody asks for it: it was on disk before, or its client is gone.
            early[0].handle.kept([input_id])


def _is_generator(pool: Home, item: Input) -> bool:
    """Whether an input of a class runs a method that yields values: some may be lost with our earlier life."""
    return any(name == item.method and is_generator for name, is_generator, _ in pool.plan.load.methods)


def _let_go(container: Container[Input], item: Input) -> None:
    """Have a container forget an answer that decides nothing."""
    if item.is_durable and container.handle is not None:
        container.handle.kept([item.input_id])


def _no_function(function_id: str) -> str:
    return f"Function {function_id} does not exist, or its app has stopped."


def _lost_failure(item: Input, container: Container[Input], exit: ContainerExit) -> Failure:
    times = f" It was run {item.losses} times." if item.losses > 1 else ""
    times += _advice(exit)
    tail = f"\nThe container's last output:\n{exit.log_tail}" if exit.log_tail else ""
    return Failure(
        kind=FailureKind.OUT_OF_MEMORY if exit.oom_killed else FailureKind.CONTAINER_LOST,
        message=f"The container {exit.describe()} while it ran this input.{times}{tail}",
        container_id=container.container_id,
        exit_code=exit.exit_code or 0,
    )


def _advice(exit: ContainerExit) -> str:
    if exit.oom_killed:
        return " Give the function more with memory=…, or let it hold less at a time."
    if exit.exit_code in (128 + 4, 128 + 6, 128 + 7, 128 + 8, 128 + 11):
        return " Native code crashed: the container's last output, below, shows where."
    if not exit.reason and exit.exit_code == 71:
        # `CLOSED` in the runner.
        return (
            " Code in it closed file descriptors of the container's own, above 4095: close only those that you have "
            "opened, or do it in a child process."
        )
    if not exit.reason and exit.exit_code is not None and exit.exit_code < 128:
        return " Something in it ended the whole process (os._exit, or a library): raise an exception instead."
    return ""
