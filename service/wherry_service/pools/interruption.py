"""How inputs are ended that run: by an interruption, or with their container where that can't be."""

import asyncio
from collections.abc import Collection, Sequence

from wherry_proto.messages import Failure, FailureKind, WebKind
from wherry_service.node.node import Assignment, LoadOrder
from wherry_service.pools.container import A, Container, Ending, State
from wherry_service.pools.plan import PoolPlan

# Seconds that an input which is to end (time-out, cancel) gets to do so, before its container is killed.
END_GRACE_S = 5.0


def can_be_interrupted(load: LoadOrder, item: Assignment) -> bool:
    """Whether an input that runs ends when it is told to; the others end with their container."""
    if load.max_batch_size:
        # Its batch goes on without it.
        return True
    if load.web.get(item.method) is not None:
        return load.web[item.method].kind != WebKind.WSGI
    generators = {name for name, is_generator, _ in load.methods if is_generator}
    if load.is_generator or item.method in generators:
        # It ends where it yields next.
        return True
    tasks = {name for name, _, is_async in load.methods if is_async}
    if load.is_async or item.method in tasks:
        return True
    # On the main thread, unless an event loop is there.
    return load.concurrency == 1 and not tasks


def cancel(load: LoadOrder, container: Container[A], input_ids: Sequence[str]) -> None:
    """Interrupt or drop inputs; the container goes where they can't be ended, or are not in time."""
    if container.handle is None:
        return
    container.handle.cancel(input_ids)
    later = asyncio.get_running_loop().call_later
    running = [container.held[input_id] for input_id in container.running() if input_id in set(input_ids)]
    if container.ready and not all(can_be_interrupted(load, item) for item in running):
        # Threads can't be interrupted: what has not begun goes elsewhere now, what runs beside gets a while.
        container.handle.recall()
        container.drain()
        later(END_GRACE_S, _end_cancelled, container, None)
    else:
        later(END_GRACE_S, _end_cancelled, container, list(input_ids))


def _end_cancelled(container: Container[A], input_ids: Sequence[str] | None) -> None:
    if input_ids is None or any(input_id in container.held for input_id in input_ids):
        end_cancelled(container, "was ended with a cancelled input that did not stop")


def end_cancelled(container: Container[A], why: str) -> None:
    """Kill a container with its cancelled inputs; its other inputs run again elsewhere."""
    if container.ending is Ending.NONE and container.state is not State.STOPPED:
        container.ending = Ending.CANCELLED
        container.kill(why)


def kill_overdue(plan: PoolPlan, containers: Collection[Container[A]], now: float) -> None:
    """Kill the containers whose inputs have not stopped, long after their time-out."""
    limit = plan.timeout_s + END_GRACE_S + plan.load.batch_wait_ms / 1000
    for container in containers:
        since = max(container.last_progress, container.attended_until)
        is_overdue = container.held and container.ready and now - since > limit
        if is_overdue and container.ending is Ending.NONE:
            container.ending = Ending.OVERDUE
            container.kill(f"did not stop its input {END_GRACE_S:.0f} s after its time-out")


def timed_out(plan: PoolPlan, container_id: str) -> Failure:
    """Return the answer to the inputs that ran when their container, long over their timeout, was killed."""
    return Failure(
        kind=FailureKind.TIMEOUT,
        type_name="wherry.exception.FunctionTimeoutError",
        message=f"the function ran over its timeout of {plan.timeout_s:g} s and could not be interrupted, "
        "so its container was killed: native code held the interpreter, or an event loop was blocked",
        container_id=container_id,
    )
