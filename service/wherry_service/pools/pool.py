"""A pool: the containers behind one function, as many as the autoscaler wants and the host carries."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Generic

from wherry_service.node.events import Hearer
from wherry_service.node.node import FoundContainer, Node
from wherry_service.pools import interruption, rooms
from wherry_service.pools.capacity import Capacity
from wherry_service.pools.container import A, Container, State
from wherry_service.pools.events import PoolEvents
from wherry_service.pools.hearing import Hearing, Pace
from wherry_service.pools.plan import PoolPlan
from wherry_service.pools.starts import Starts

TICK_S = 0.25


# large: what its number of containers follows from, each fact once
class Pool(Generic[A]):
    """So many containers (implements `starts.Starting` and `hearing.Heard`).

    `host` hears what becomes of them and of their inputs; `watcher`, instead, how the pool comes up, until it serves.
    """

    def __init__(
        self,
        plan: PoolPlan,
        node: Node,
        capacity: Capacity,
        host: PoolEvents[A],
        watcher: PoolEvents[A],
        make_room: Callable[["Pool[A]"], None],
    ) -> None:
        self.plan = plan
        self.now = asyncio.get_running_loop().time
        self.containers: dict[str, Container[A]] = {}
        self.starts = Starts(self, node, capacity, watcher)
        self.pace = Pace()
        self.backlog = 0
        # Sessions of a server that wait for a container with room.
        self.waiting_sessions = 0
        # Whether inputs of other containers' calls come here, so that those wait for ours.
        self.is_nested = False
        self.closed = False
        # So many containers are kept whatever is asked of them, as soon as possible: a new version's, before it serves.
        self.standing = 0
        # Whether no container is started, and none takes inputs: until `resume`.
        self.paused = False
        self._hearing = Hearing(self, host)
        self._make_room = make_room
        self._tick: asyncio.TimerHandle | None = None
        self._emptied = asyncio.Event()
        self._emptied.set()
        # Since when more containers are wanted than there are.
        self._short_since: float | None = None

    # For the dispatcher

    def serve(self) -> None:
        """Be the pool that serves its function: the host hears everything from now on."""
        self.starts.watcher = self._hearing.host
        self.standing = 0

    def with_room(self) -> list[tuple[Container[A], int]]:
        """Return the containers that may take inputs and how many each, the emptiest first."""
        if self.paused:
            return []
        return rooms.with_room(
            self.containers.values(), self.plan, self.backlog, self.pace.seconds_per_input, self.now()
        )

    def set_backlog(self, backlog: int) -> None:
        """Take note of how many inputs wait, and get or drop containers accordingly."""
        self.backlog = backlog
        self.scale()

    @property
    def in_flight(self) -> int:
        return rooms.held_by(self.containers.values())

    @property
    def is_warm(self) -> bool:
        """Whether as many containers are ready as are to stand, or as many as the host carries and at least one."""
        live = self.live()
        ready = sum(1 for container in live if container.ready)
        return ready >= self.standing or (0 < ready == len(live) and self.starts.lacks_capacity)

    def live(self) -> list[Container[A]]:
        """Return the containers that are not on their way out."""
        return [c for c in self.containers.values() if c.state not in (State.DRAINING, State.STOPPED)]

    # Scaling

    def replan(self, plan: PoolPlan) -> None:
        """Scale by another plan from now on: those above its most containers go, the emptiest first."""
        self.plan = plan
        for container in rooms.above(self.live(), plan.bounds.max_containers):
            container.drain()
        self.scale()
        self._schedule_tick()

    def scale(self) -> None:
        """Start containers up to the wanted number; idle ones go by `_on_tick`."""
        if self.closed or self.paused:
            return
        live = self.live()
        wanted = rooms.wanted(
            self.containers.values(),
            live,
            self.plan,
            self.backlog + self.waiting_sessions,
            self.pace.seconds_per_input,
            self.is_nested,
        )
        missing = max(self.standing, wanted) - len(live)
        if missing <= 0:
            self._short_since = None
        elif self._is_due(len(live)):
            self.starts.start(missing, self._may_exceed_processors)
        if self.containers or self.backlog or self.waiting_sessions or self._least:
            self._schedule_tick()

    def _is_due(self, count: int) -> bool:
        """Whether more containers have been wanted for long enough, with that many there."""
        if self._short_since is None:
            self._short_since = self.now()
        waited = self.now() - self._short_since
        return not self._least <= count or count == 0 or waited >= self.plan.scaleup_window_s

    def wake(self) -> None:
        """Have a container, where there is none, though nothing waits for it."""
        if not self.closed and not self.paused and not self.live():
            self.starts.retry_now()
            self.starts.start(1, self._may_exceed_processors)
            self._schedule_tick()

    def place_of(self, key: bytes) -> Container[A] | None:
        """Return the container that gets a request with this key, b"" being none; None where none is ready."""
        return None if self.paused else rooms.place_of(self.containers.values(), key)

    @property
    def _least(self) -> int:
        return max(self.plan.bounds.min_containers, self.standing)

    def _may_exceed_processors(self) -> bool:
        live = self.live()
        # Nested calls must not starve behind the callers that wait for them, which use no processor.
        starved = self.is_nested and self.backlog > 0 and all(container.is_blocked for container in live)
        # Nor must a new version wait for the processors that the old one, which it will take over from, has.
        return starved or len(live) < self.standing

    def adopt(self, found: FoundContainer) -> None:
        """Take over a container of an earlier life, whatever the capacity."""
        self.starts.adopt(found)
        self._schedule_tick()

    def stand_down(self) -> None:
        """Keep no container that nobody asks for: those that are idle go."""
        self.standing = 0
        for container in self.live()[self.plan.bounds.min_containers :]:
            if container.state is State.IDLE and not container.is_used:
                container.drain()

    def idle_longest(self) -> Container[A] | None:
        """Return the container idle longest of those that may go, for another pool in need."""
        live = self.live()
        return rooms.idle_longest(live) if len(live) > self._least and not self.backlog else None

    def left(self, container: Container[A]) -> None:
        """Hear that a command that ran beside a container's inputs has ended."""
        container.num_execs -= 1
        container.idle_since = max(container.idle_since, self.now())

    def left_session(self, container: Container[A]) -> None:
        """Hear that a session of a container has ended."""
        container.num_sessions -= 1
        container.idle_since = max(container.idle_since, self.now())
        self.scale()

    def _schedule_tick(self) -> None:
        if self._tick is None and not self.closed:
            waits_inside = rooms.wait_inside(self.containers.values())
            delay = rooms.STUCK_S if waits_inside else TICK_S
            self._tick = asyncio.get_running_loop().call_later(delay, self._on_tick)

    def _on_tick(self) -> None:
        self._tick = None
        now = self.now()
        self._recall_stuck(now)
        interruption.kill_overdue(self.plan, self.containers.values(), now)
        for container in rooms.overstayed(self.live(), self.plan, self._least, now):
            container.drain()
        self.scale()

    def _recall_stuck(self, now: float) -> None:
        for container, stuck_s in rooms.stuck(self.containers.values(), self.plan, now):
            container.recalled = True
            self.pace.slower(stuck_s)
            assert container.handle is not None
            container.handle.recall()

    # starts.Starting

    def add(self, container_id: str) -> Hearer[Container[A]]:
        container: Container[A] = Container(container_id, self.plan.bounds.slots, self, self.plan.load.max_batch_size)
        self.containers[container_id] = container
        self._emptied.clear()
        return Hearer(container, self._hearing, self._hearing.host)

    def on_crowded(self) -> None:
        self._make_room(self)
        self.tell_if_warm()

    # hearing.Heard

    def tell_if_warm(self) -> None:
        if self.is_warm:
            self.starts.watcher.on_warm(self)

    def remove(self, container: Container[A]) -> None:
        del self.containers[container.container_id]
        if not self.containers:
            self._emptied.set()

    # Ending

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
        self.starts.end()
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
        self.starts.call_off()
        try:
            await asyncio.wait_for(self._emptied.wait(), grace_s)
        except TimeoutError:
            for container in list(self.containers.values()):
                container.kill(why)
            await self._emptied.wait()


def in_order(pools: Iterable[Pool[A]]) -> list[Container[A]]:
    """Return the pools' idle containers that may go, the one idle longest first."""
    idle = [container for pool in pools if (container := pool.idle_longest()) is not None]
    return sorted(idle, key=lambda container: container.idle_since)
