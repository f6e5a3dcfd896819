"""A pool: the containers behind one function, as many as the autoscaler wants and the host carries."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from wherry_proto.messages import Failure, FailureKind, WebKind
from wherry_service.errors import ServiceError
from wherry_service.ids import new_id
from wherry_service.logs.batch import LogRow
from wherry_service.node.node import (
    Assignment,
    ContainerExit,
    ContainerOrder,
    FoundContainer,
    LoadOrder,
    Node,
    OutputRow,
    YieldRow,
)
from wherry_service.pools.autoscaler import START_S, Bounds, Demand, wanted_containers
from wherry_service.pools.capacity import Capacity, Share
from wherry_service.pools.container import Container, Ending, State

log = logging.getLogger(__name__)

# A container is given inputs beyond its slots worth this many seconds, so that it never waits for us.
PREFETCH_S = 0.005
MAX_PREFETCH = 256
# An input that is behind another for this long goes back, so that an idle container can take it.
STUCK_S = 0.05
TICK_S = 0.25
# Seconds that an input which is to end (time-out, cancel) gets to do so, before its container is killed.
END_GRACE_S = 5.0
# Seconds after which the log says again what a start waits for.
TELL_EVERY_S = 60.0
MAX_STRIKES = 3
MAX_BACKOFF_S = 10.0
_SMOOTHING = 0.3


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """What a pool's containers are and how many there may be."""

    function_id: str
    name: str
    bounds: Bounds
    # Seconds an idle container is kept.
    scaledown_window_s: float
    # Seconds one input may run.
    timeout_s: float
    share: Share
    load: LoadOrder
    # Makes the order for a new container; may wait for an image, may raise ServiceError.
    make_order: Callable[[str], Awaitable[ContainerOrder]]
    # A container takes exactly one input.
    single_use: bool = False


class PoolListener(Protocol):
    """The dispatcher, as its pools tell it what happened."""

    def on_ready(self, pool: "Pool") -> None:
        """Hear that a container has imported the user's code."""

    def on_room(self, pool: "Pool") -> None:
        """Hear that a container may take inputs."""

    def on_claims(self, pool: "Pool", container: Container, input_ids: Sequence[str]) -> None:
        """Hear that a container came back from an earlier life holding these inputs."""

    def on_outputs(self, pool: "Pool", container: Container, rows: Sequence[OutputRow]) -> None: ...
    def on_yields(self, pool: "Pool", container: Container, rows: Sequence[YieldRow]) -> None: ...
    def on_failure(
        self, pool: "Pool", container: Container, input_id: str, failure: Failure, num_yields: int
    ) -> None: ...
    def on_log(self, pool: "Pool", container: Container, rows: Sequence[LogRow]) -> None: ...
    def on_load_failed(self, pool: "Pool", container: Container, failure: Failure) -> None:
        """Hear that a container could not import the user's code; what follows from it is told next."""

    def on_exit(self, pool: "Pool", container: Container, exit: ContainerExit) -> None:
        """Hear that a container has ended; what it held is told next."""

    def on_returned(self, pool: "Pool", inputs: Sequence[Assignment]) -> None:
        """Hear that inputs came back without having run."""

    def on_lost(self, pool: "Pool", container: Container, inputs: Sequence[Assignment], exit: ContainerExit) -> None:
        """Hear that inputs were running in a container that ended."""

    def on_start_failed(self, pool: "Pool", failure: Failure) -> None:
        """Hear that the pool can't get a container to run; what waits must not wait on."""

    def on_notice(self, pool: "Pool", text: str) -> None:
        """Hear something the people who wait should know."""


class Pool:
    """Implements `container.Owner`."""

    def __init__(
        self,
        plan: PoolPlan,
        node: Node,
        capacity: Capacity,
        listener: PoolListener,
        make_room: Callable[["Pool"], None],
    ) -> None:
        self.plan = plan
        # Who hears what happens: it changes when a new version of a function takes over.
        self.listener = listener
        self.containers: dict[str, Container] = {}
        self.seconds_per_input: float | None = None
        self.backlog = 0
        # Whether inputs of other containers' calls come here, so that those wait for ours.
        self.is_nested = False
        self.closed = False
        # So many containers are kept whatever is asked of them, as soon as possible: a new version's, before it serves.
        self.standing = 0
        # Whether no container is started, and none takes inputs: until `resume`.
        self.paused = False
        self._node = node
        self._capacity = capacity
        self._make_room = make_room
        self._loop = asyncio.get_running_loop()
        # Of containers that are not with the node yet.
        self._orders: dict[Container, asyncio.Task[None]] = {}
        self._tick: asyncio.TimerHandle | None = None
        self._strikes = self._absences = 0
        self._retry_at = 0.0
        # Starting a container failed in a way that will not change until somebody asks anew.
        self._gave_up = False
        self._lacks_capacity = False
        self._told_at = -math.inf
        self._emptied = asyncio.Event()
        self._emptied.set()

    def now(self) -> float:
        return self._loop.time()

    # For the dispatcher

    def with_room(self) -> list[tuple[Container, int]]:
        """Return the containers that may take inputs and how many each, the emptiest first.

        Free slots come first; only when nothing is free anywhere may inputs queue inside containers.
        """
        if self.paused:
            return []
        accepting = [container for container in self.containers.values() if container.accepts]
        ahead = self._prefetch() if self.backlog else 0

        def room(container: Container) -> int:
            # Nothing is to wait inside for what waits itself, or runs longer than the mean said.
            waits = container.is_blocked or container.full_s > START_S
            return container.slots + (0 if waits else ahead) - len(container.held)

        rooms = [(container, room(container)) for container in accepting]
        rooms = [(c, room) for c, room in rooms if room > 0 and not (self.plan.single_use and c.used)]
        if self.plan.load.max_batch_size:
            # A batch that gathers is filled before another is begun.
            rooms.sort(key=lambda pair: (not self._gathers(pair[0]), len(pair[0].held)))
        else:
            rooms.sort(key=lambda pair: len(pair[0].held))
        return rooms

    def least_share(self) -> int:
        """Return how many inputs a container is given at least, as far as there are any and it has room."""
        return max(1, self.plan.load.max_batch_size)

    def _gathers(self, container: Container) -> bool:
        load = self.plan.load
        since = self.now() - container.gathers_since
        return len(container.held) % load.max_batch_size > 0 and since < load.batch_wait_ms / 1000

    def set_backlog(self, backlog: int) -> None:
        """Take note of how many inputs wait, and get or drop containers accordingly."""
        self.backlog = backlog
        self.scale()

    @property
    def in_flight(self) -> int:
        return sum(len(container.held) for container in self.containers.values())

    @property
    def lacks_capacity(self) -> bool:
        """Whether it would start another container if the host carried it."""
        return self._lacks_capacity

    @property
    def is_warm(self) -> bool:
        """Whether as many containers are ready as are to stand, or as many as the host carries and at least one."""
        ready = sum(1 for container in self.live() if container.ready)
        return ready >= self.standing or (0 < ready == len(self.live()) and self._lacks_capacity)

    def live(self) -> list[Container]:
        """Return the containers that are not on their way out."""
        return [c for c in self.containers.values() if c.state not in (State.DRAINING, State.STOPPED)]

    # Scaling

    def replan(self, plan: PoolPlan) -> None:
        """Scale by another plan from now on: those above its most containers go, the emptiest first."""
        self.plan = plan
        live = sorted(self.live(), key=lambda container: (len(container.held), container.idle_since))
        most = plan.bounds.max_containers
        for container in live[: len(live) - most] if most is not None and len(live) > most else []:
            container.drain()
        self.scale()
        self._schedule_tick()

    def scale(self) -> None:
        """Start containers up to the wanted number; idle ones go by `_on_tick`."""
        if self.closed or self.paused:
            return
        live = self.live()
        # What waits for calls of its own, perhaps for these very inputs, will not take more.
        blocked = [container for container in live if container.is_blocked] if self.is_nested else []
        in_flight = self.in_flight - sum(len(container.held) for container in blocked)
        # Where each input needs a container of its own, none comes sooner for being short.
        seconds = None if self.plan.single_use else self.seconds_per_input
        # However short inputs are in the mean, these are not: a stream that stays open, say.
        taken = [c for c in live if c.full_s > START_S and c not in blocked] if self.backlog else []
        demand = Demand(self.backlog, in_flight, seconds, len(taken))
        wanted = max(self.standing, wanted_containers(demand, self.plan.bounds, len(blocked)))
        if wanted > len(live) and self.now() >= self._retry_at and not self._gave_up:
            for _ in range(wanted - len(live)):
                if not self._start_one():
                    break
        if self.containers or self.backlog or self._least:
            self._schedule_tick()

    @property
    def _least(self) -> int:
        return max(self.plan.bounds.min_containers, self.standing)

    def _start_one(self) -> bool:
        # Nested calls must not starve behind the callers that wait for them, which use no processor.
        starved = self.is_nested and self.backlog > 0 and all(container.is_blocked for container in self.live())
        # Nor must a new version wait for the processors that the old one, which it will take over from, has.
        beyond_cpu = starved or len(self.live()) < self.standing
        self._lacks_capacity = not self._capacity.take(self.plan.share, beyond_cpu=beyond_cpu)
        if self._lacks_capacity:
            if not self._capacity.could_ever_fit(self.plan.share):
                self._fail_start(
                    f"needs {self.plan.share}, this host has {self._capacity} for containers: ask for less"
                )
                return False
            self._say_what_lacks()
            # Told when something comes back; asked for again at each tick meanwhile.
            self._capacity.wait(self, self.scale)
            self._make_room(self)
            if self.is_warm:
                self.listener.on_ready(self)
            return False
        container = Container(new_id("co"), self.plan.bounds.slots, self, self.plan.load.max_batch_size)
        self._add(container)
        task = self._orders[container] = asyncio.ensure_future(self._order(container))
        task.add_done_callback(lambda _: self._orders.pop(container, None))
        return True

    @property
    def lack(self) -> str:
        """Which of the host's limits holds another container back; "" if none does."""
        return self._capacity.lack(self.plan.share) if self._lacks_capacity else ""

    def _say_what_lacks(self) -> None:
        now = self.now()
        if now - self._told_at >= TELL_EVERY_S:
            self._told_at = now
            log.info("%s has %d containers and waits for another: %s", self.plan.name, len(self.live()), self.lack)

    async def _order(self, container: Container) -> None:
        try:
            order = await self.plan.make_order(container.container_id)
        except ServiceError as error:
            container.on_exit(ContainerExit(reason=f"lacks what it needs: {error}", not_started=True, permanent=True))
            return
        if container.state is State.DRAINING or self.closed:
            container.on_exit(ContainerExit(reason="was not needed any more", not_started=True))
            return
        container.handle = self._node.start(order, container)

    def adopt(self, found: FoundContainer) -> None:
        """Take over a container of an earlier life, whatever the capacity."""
        container = Container(found.container_id, self.plan.bounds.slots, self, self.plan.load.max_batch_size)
        container.move(State.STARTING)
        # As far as anyone knows.
        container.used = True
        self._capacity.add(self.plan.share)
        self._add(container)
        container.handle = self._node.adopt(found, self.plan.load, container)
        self._schedule_tick()

    def _add(self, container: Container) -> None:
        self.containers[container.container_id] = container
        self._emptied.clear()

    def stand_down(self) -> None:
        """Keep no container that nobody asks for: those that are idle go."""
        self.standing = 0
        for container in self.live()[self.plan.bounds.min_containers :]:
            if container.state is State.IDLE and not container.num_execs:
                container.drain()

    def idle_longest(self) -> Container | None:
        """Return the container idle longest of those that may go, for another pool in need."""
        live = self.live()
        if len(live) <= self._least or self.backlog:
            return None
        idle = [c for c in live if c.state is State.IDLE and c.ready and not c.num_execs]
        return min(idle, key=lambda c: c.idle_since, default=None)

    def left(self, container: Container) -> None:
        """Hear that a command that ran beside a container's inputs has ended."""
        container.num_execs -= 1
        container.idle_since = max(container.idle_since, self.now())

    def _schedule_tick(self) -> None:
        if self._tick is None and not self.closed:
            self._tick = self._loop.call_later(TICK_S if not self._prefetched() else STUCK_S, self._on_tick)

    def _on_tick(self) -> None:
        self._tick = None
        now = self.now()
        self._recall_stuck(now)
        self._kill_overdue(now)
        self._drop_idle(now)
        self.scale()

    def _drop_idle(self, now: float) -> None:
        live = self.live()
        spare = len(live) - self._least
        window = self.plan.scaledown_window_s
        idle = [c for c in live if c.state is State.IDLE and not c.num_execs and now - c.idle_since >= window]
        for container in sorted(idle, key=lambda c: c.idle_since)[: max(0, spare)]:
            container.drain()

    def _prefetch(self) -> int:
        if self.seconds_per_input is None or self.plan.single_use or self.plan.load.max_batch_size:
            return 0
        return min(MAX_PREFETCH, int(PREFETCH_S / max(self.seconds_per_input, 1e-6)))

    def _prefetched(self) -> bool:
        return any(len(container.held) > container.slots for container in self.containers.values())

    def _recall_stuck(self, now: float) -> None:
        # What waits inside for the end of another batch can begin at once where nothing runs.
        idle = bool(self.plan.load.max_batch_size) and any(
            not container.held for container in self.containers.values() if container.accepts
        )
        for container in self.containers.values():
            if not container.held:
                continue
            stuck_s = now - container.last_progress
            waits_inside = len(container.held) > container.slots or (idle and not self._gathers(container))
            if (
                waits_inside
                and container.ready
                and not container.recalled
                and stuck_s > STUCK_S
                and container.handle is not None
            ):
                container.recalled = True
                self.seconds_per_input = max(self.seconds_per_input or 0.0, stuck_s)
                container.handle.recall()

    def _kill_overdue(self, now: float) -> None:
        limit = self.plan.timeout_s + END_GRACE_S + self.plan.load.batch_wait_ms / 1000
        for container in self.containers.values():
            since = max(container.last_progress, container.attended_until)
            is_overdue = container.held and container.ready and now - since > limit
            if is_overdue and container.ending is Ending.NONE:
                container.ending = Ending.OVERDUE
                container.kill(f"did not stop its input {END_GRACE_S:.0f} s after its time-out")

    def cancel(self, container: Container, input_ids: Sequence[str]) -> None:
        """Interrupt or drop inputs; the container goes where they can't be ended, or are not in time."""
        if container.handle is None:
            return
        container.handle.cancel(input_ids)
        running = [container.held[input_id] for input_id in container.running() if input_id in set(input_ids)]
        if container.ready and not all(map(self._can_be_interrupted, running)):
            # Threads can't be interrupted: what has not begun goes elsewhere now, what runs beside gets a while.
            container.handle.recall()
            container.drain()
            self._loop.call_later(END_GRACE_S, self._end_cancelled, container, None)
        else:
            self._loop.call_later(END_GRACE_S, self._end_cancelled, container, list(input_ids))

    def _can_be_interrupted(self, item: Assignment) -> bool:
        load = self.plan.load
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

    def _end_cancelled(self, container: Container, input_ids: Sequence[str] | None) -> None:
        if input_ids is None or any(input_id in container.held for input_id in input_ids):
            self.end_cancelled(container, "was ended with a cancelled input that did not stop")

    def end_cancelled(self, container: Container, why: str) -> None:
        """Kill a container with its cancelled inputs; its other inputs run again elsewhere."""
        if container.ending is Ending.NONE and container.state is not State.STOPPED:
            container.ending = Ending.CANCELLED
            container.kill(why)

    # container.Owner

    def on_connected(self, container: Container, unknown: Sequence[str]) -> None:
        if unknown:
            self.listener.on_claims(self, container, unknown)
        self._retire_used(container)
        self.listener.on_room(self)

    def on_ready(self, container: Container, seconds: float) -> None:
        self._strikes = self._absences = 0
        self._retry_at = 0.0
        self.listener.on_ready(self)

    def on_load_failed(self, container: Container, failure: Failure) -> None:
        self.listener.on_load_failed(self, container, failure)
        inputs = self._take_all(container)
        self.listener.on_returned(self, inputs)
        self._strikes += 1
        self._back_off()
        self.listener.on_start_failed(self, failure)

    def on_outputs(self, container: Container, rows: Sequence[OutputRow]) -> None:
        self._measure(container, len(rows))
        self.listener.on_outputs(self, container, rows)
        self._retire_used(container)
        self.listener.on_room(self)

    def on_yields(self, container: Container, rows: Sequence[YieldRow]) -> None:
        self.listener.on_yields(self, container, rows)

    def on_failure(self, container: Container, input_id: str, failure: Failure, num_yields: int) -> None:
        self._measure(container, 1)
        item = container.held.get(input_id)
        self.listener.on_failure(self, container, input_id, failure, num_yields)
        if failure.kind == FailureKind.TIMEOUT and item is not None and not self._can_be_interrupted(item):
            # Its thread runs on: the container ends when the others have.
            container.drain()
        self._retire_used(container)
        self.listener.on_room(self)

    def _retire_used(self, container: Container) -> None:
        if self.plan.single_use and container.used and not container.held:
            container.drain()

    def on_log(self, container: Container, rows: Sequence[LogRow]) -> None:
        self.listener.on_log(self, container, rows)

    def on_returned(self, container: Container, input_ids: Sequence[str]) -> None:
        released = (container.release(input_id) for input_id in input_ids)
        container.recalled = False
        self.listener.on_returned(self, [item for item in released if item is not None])
        self.listener.on_room(self)

    def on_exit(self, container: Container, exit: ContainerExit) -> None:
        del self.containers[container.container_id]
        if not self.containers:
            self._emptied.set()
        self.listener.on_exit(self, container, exit)
        if container.ending is Ending.OVERDUE:
            self._time_out(container)
        inputs = self._take_all(container)
        running = inputs[: container.slots] if container.ready and container.ending is Ending.NONE else []
        self.listener.on_returned(self, inputs[len(running) :])
        if running:
            self.listener.on_lost(self, container, running, exit)
        if not container.ready and not self.closed and not self.paused:
            self._not_started(exit)
        self._capacity.give_back(self.plan.share)
        self.listener.on_room(self)

    def _time_out(self, container: Container) -> None:
        """Answer for the inputs that ran when the container, long over their timeout, was killed."""
        failure = Failure(
            kind=FailureKind.TIMEOUT,
            type_name="wherry.exception.FunctionTimeoutError",
            message=f"the function ran over its timeout of {self.plan.timeout_s:g} s and could not be interrupted, "
            "so its container was killed: native code held the interpreter, or an event loop was blocked",
            container_id=container.container_id,
        )
        for input_id in container.running(longer_than_s=self.plan.timeout_s):
            self.listener.on_failure(self, container, input_id, failure, 0)

    def _take_all(self, container: Container) -> list[Assignment]:
        inputs = list(container.held.values())
        container.held.clear()
        return inputs

    def _measure(self, container: Container, count: int) -> None:
        now = self.now()
        per_input = (now - container.last_progress) * min(container.slots, len(container.held) or 1) / count
        container.last_progress = container.full_since = now
        known = self.seconds_per_input
        self.seconds_per_input = per_input if known is None else known + _SMOOTHING * (per_input - known)

    def _not_started(self, exit: ContainerExit) -> None:
        if exit.host_failed:
            # Counted by itself: it says nothing of the function, however often it comes.
            self._absences += 1
            self._back_off()
            self.listener.on_notice(self, f"{exit.describe()}; trying again")
            return
        self._strikes += 1
        self._gave_up = exit.permanent
        if exit.permanent or self._strikes >= MAX_STRIKES:
            tail = f"\nIts last output:\n{exit.log_tail}" if exit.log_tail else ""
            self._fail_start(f"{exit.describe()}{tail}")
        self._back_off()

    def _fail_start(self, text: str) -> None:
        failure = Failure(
            kind=FailureKind.STARTUP, message=f"No container of function {self.plan.name!r} could start: it {text}"
        )
        self.listener.on_start_failed(self, failure)

    def _back_off(self) -> None:
        delay = min(MAX_BACKOFF_S, 0.25 * 2 ** min(10, self._strikes + self._absences))
        self._retry_at = self.now() + delay
        self._loop.call_later(delay + 0.01, self.scale)

    # Ending

    def retry_now(self) -> None:
        """Forget earlier failures to start: somebody asks anew."""
        if self._strikes >= MAX_STRIKES:
            self._strikes = 0
        self._retry_at = 0.0
        self._gave_up = False

    async def pause(self, grace_s: float) -> None:
        """Let all containers end, in at most `grace_s`, and start none until `resume`."""
        self.paused = True
        await self._empty(grace_s, "was ended for another version")

    def resume(self) -> None:
        """Start containers again as they are needed."""
        self.paused = False
        self.scale()

    async def close(self, grace_s: float) -> int:
        """Drain all containers, kill what is left after `grace_s`; return how many there were."""
        self.closed = True
        self._capacity.forget(self)
        if self._tick is not None:
            self._tick.cancel()
        count = len(self.containers)
        await self._empty(grace_s, "was ended with its app")
        return count

    async def _empty(self, grace_s: float, why: str) -> None:
        for container in list(self.containers.values()):
            if container.handle is not None and len(container.held) > container.slots:
                # What waits inside is as well off elsewhere.
                container.handle.recall()
            container.drain()
        for container, order in list(self._orders.items()):
            if container.handle is None and container.container_id in self.containers:
                # It waits for its image, perhaps for long.
                order.cancel()
                container.on_exit(ContainerExit(reason="was not needed any more", not_started=True))
        try:
            await asyncio.wait_for(self._emptied.wait(), grace_s)
        except TimeoutError:
            for container in list(self.containers.values()):
                container.kill(why)
            await self._emptied.wait()


def in_order(pools: Iterable[Pool]) -> list[Container]:
    """Return the pools' idle containers that may go, the one idle longest first."""
    idle = [container for pool in pools if (container := pool.idle_longest()) is not None]
    return sorted(idle, key=lambda container: container.idle_since)
