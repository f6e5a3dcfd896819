"""What becomes of a pool's containers: each event is noted in the container and in the pool, then told to the host."""

from collections.abc import Sequence
from typing import Generic, Protocol

from wherry_proto.messages import Failure, FailureKind
from wherry_service.node.events import ContainerEvents, ContainerExit, OutputRow, YieldRow
from wherry_service.pools import interruption
from wherry_service.pools.container import A, Container, Ending, Home, State
from wherry_service.pools.events import PoolEvents
from wherry_service.pools.starts import Starts

_SMOOTHING = 0.3


class Heard(Home, Protocol[A]):
    """The pool, as far as its containers' events concern it."""

    @property
    def paused(self) -> bool: ...
    @property
    def starts(self) -> Starts[A]: ...
    @property
    def pace(self) -> "Pace": ...
    def tell_if_warm(self) -> None:
        """Tell who watches how it comes up, if it has."""

    def remove(self, container: Container[A]) -> None:
        """Have one container less."""


class Pace:
    """Seconds that one input takes, as measured; None while nothing has finished."""

    def __init__(self) -> None:
        self.seconds_per_input: float | None = None

    def measure(self, container: Container[A], count: int, now: float) -> None:
        """Note that so many inputs have ended in a container, which still holds them."""
        per_input = (now - container.last_progress) * min(container.slots, len(container.held) or 1) / count
        container.last_progress = container.full_since = now
        known = self.seconds_per_input
        self.seconds_per_input = per_input if known is None else known + _SMOOTHING * (per_input - known)

    def slower(self, seconds: float) -> None:
        """Note that an input takes longer than that."""
        self.seconds_per_input = max(self.seconds_per_input or 0.0, seconds)


class Hearing(ContainerEvents[Container[A]], Generic[A]):
    """Hears of one pool's containers."""

    def __init__(self, pool: Heard[A], host: PoolEvents[A]) -> None:
        self._pool = pool
        self.host = host

    def on_connected(self, container: Container[A], running: Sequence[str], loaded: bool) -> None:
        if lost := container.connected(running, loaded):
            self.on_returned(container, lost)
        if unknown := [input_id for input_id in running if input_id not in container.held]:
            self.host.on_claims(container, unknown)
        self._retire_used(container)
        self.host.on_room(self._pool)

    def on_ready(self, container: Container[A], seconds: float) -> None:
        container.became_ready()
        self._pool.starts.succeeded()
        self._pool.tell_if_warm()
        self.host.on_ready(container, seconds)

    def on_load_failed(self, container: Container[A], failure: Failure) -> None:
        container.could_not_load()
        self.host.on_load_failed(container, failure)
        self.host.on_back(self._pool, container.take_all())
        self._pool.starts.could_not_load(failure)

    def on_outputs(self, container: Container[A], rows: Sequence[OutputRow]) -> None:
        self._pool.pace.measure(container, len(rows), self._pool.now())
        self.host.on_outputs(container, rows)
        self._retire_used(container)
        self.host.on_room(self._pool)

    def on_yields(self, container: Container[A], rows: Sequence[YieldRow]) -> None:
        container.last_progress = self._pool.now()
        self.host.on_yields(container, rows)

    def on_failure(self, container: Container[A], input_id: str, failure: Failure, num_yields: int) -> None:
        self._pool.pace.measure(container, 1, self._pool.now())
        timed_out = container.held.get(input_id) if failure.kind == FailureKind.TIMEOUT else None
        self.host.on_failure(container, input_id, failure, num_yields)
        if timed_out is not None and not interruption.can_be_interrupted(self._pool.plan.load, timed_out):
            # Its thread runs on: the container ends when the others have.
            container.drain()
        self._retire_used(container)
        self.host.on_room(self._pool)

    def _retire_used(self, container: Container[A]) -> None:
        if self._pool.plan.single_use and container.used and not container.held:
            container.drain()

    def on_returned(self, container: Container[A], input_ids: Sequence[str]) -> None:
        released = (container.release(input_id) for input_id in input_ids)
        container.recalled = False
        self.host.on_back(self._pool, [item for item in released if item is not None])
        self.host.on_room(self._pool)

    def on_leaving(self, container: Container[A]) -> None:
        container.leave()

    def on_exit(self, container: Container[A], exit: ContainerExit) -> None:
        pool = self._pool
        container.move(State.STOPPED)
        pool.remove(container)
        self.host.on_exit(container, exit)
        if container.ending is Ending.OVERDUE:
            self._time_out(container)
        inputs = container.take_all()
        running = inputs[: container.slots] if container.ready and container.ending is Ending.NONE else []
        self.host.on_back(pool, inputs[len(running) :])
        if running:
            self.host.on_lost(container, running, exit)
        if not container.ready and not pool.closed and not pool.paused:
            pool.starts.failed(exit)
        pool.starts.give_back(container.container_id)
        self.host.on_room(pool)

    def _time_out(self, container: Container[A]) -> None:
        plan = self._pool.plan
        failure = interruption.timed_out(plan, container.container_id)
        for input_id in container.running(longer_than_s=plan.timeout_s):
            self.host.on_failure(container, input_id, failure, 0)
