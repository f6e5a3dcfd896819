"""Where there is room, and how much is wanted: pure functions over a pool's containers and its plan."""

import hashlib
from collections.abc import Collection, Sequence

from wherry_service.pools.autoscaler import START_S, Demand, wanted_containers
from wherry_service.pools.container import A, Container, State
from wherry_service.pools.plan import PoolPlan

# A container is given inputs beyond its slots worth this many seconds, so that it never waits for us.
PREFETCH_S = 0.005
MAX_PREFETCH = 256
# An input that is behind another for this long goes back, so that an idle container can take it.
STUCK_S = 0.05


def with_room(
    containers: Collection[Container[A]], plan: PoolPlan, backlog: int, seconds_per_input: float | None, now: float
) -> list[tuple[Container[A], int]]:
    """Return the containers that may take inputs and how many each, the emptiest first.

    Free slots come first; only when nothing is free anywhere may inputs queue inside containers.
    """
    accepting = [one for one in containers if one.accepts and (one.ready or not plan.is_server)]
    ahead = prefetch(plan, seconds_per_input) if backlog else 0

    def room(container: Container[A]) -> int:
        # Nothing is to wait inside for what waits itself, or runs longer than the mean said.
        waits = container.is_blocked or container.full_s > START_S
        return container.slots + (0 if waits else ahead) - len(container.held)

    def order(found: tuple[Container[A], int]) -> tuple[bool, int]:
        container, _ = found
        # A batch that gathers is filled before another is begun.
        comes_later = bool(plan.load.max_batch_size) and not gathers(container, plan, now)
        return comes_later, len(container.held)

    rooms = [(container, room(container)) for container in accepting]
    return sorted(((c, room) for c, room in rooms if room > 0 and not (plan.single_use and c.used)), key=order)


def place_of(containers: Collection[Container[A]], key: bytes) -> Container[A] | None:
    """Return which of the containers that are ready gets a request: the emptiest, or that of a key; None: none is.

    Of a fixed set of containers, those with one key have one; where one comes or goes, few keys change theirs.
    """
    ready = [container for container in containers if container.accepts and container.ready]
    if not key:
        # Of those that are as empty, in turn.
        return min(ready, key=lambda container: (len(container.held), container.last_progress), default=None)

    def weight(container: Container[A]) -> bytes:
        return hashlib.blake2b(container.container_id.encode(), key=hashlib.blake2b(key).digest()).digest()

    return max(ready, key=weight, default=None)


def with_fewest_sessions(containers: Collection[Container[A]], plan: PoolPlan) -> Container[A] | None:
    """Return the container that has a session next; None where none is ready that has room for one."""
    ready = [one for one in containers if one.accepts and one.ready and one.num_sessions < plan.max_sessions]
    return min(ready, key=lambda one: (one.num_sessions, one.last_progress), default=None)


def prefetch(plan: PoolPlan, seconds_per_input: float | None) -> int:
    """Return how many inputs a container is given beyond its slots."""
    if seconds_per_input is None or plan.single_use or plan.load.max_batch_size:
        return 0
    return min(MAX_PREFETCH, int(PREFETCH_S / max(seconds_per_input, 1e-6)))


def gathers(container: Container[A], plan: PoolPlan, now: float) -> bool:
    """Whether the last batch in a container is not full, and still waits for more."""
    since = now - container.gathers_since
    return len(container.held) % plan.load.max_batch_size > 0 and since < plan.load.batch_wait_ms / 1000


def wanted(
    containers: Collection[Container[A]],
    live: Sequence[Container[A]],
    plan: PoolPlan,
    backlog: int,
    seconds_per_input: float | None,
    is_nested: bool,
) -> int:
    """Return how many containers a pool should have, of which `live` are not on their way out."""
    # What waits for calls of its own, perhaps for these very inputs, will not take more.
    blocked = [container for container in live if container.is_blocked] if is_nested else []
    in_flight = held_by(containers) - held_by(blocked)
    if plan.max_sessions:
        in_flight = sum(container.num_sessions for container in containers)
    # However short inputs are in the mean, these are not: a stream that stays open, say.
    taken = [c for c in live if c.full_s > START_S and c not in blocked] if backlog else []
    # Where each input needs a container of its own, none comes sooner for being short; and servers are scaled by how
    # many requests there are at once.
    seconds = None if plan.single_use or plan.is_server else seconds_per_input
    return wanted_containers(Demand(backlog, in_flight, seconds, len(taken)), plan.bounds, len(blocked))


def held_by(containers: Collection[Container[A]]) -> int:
    """Return how many inputs containers hold."""
    return sum(len(container.held) for container in containers)


def wait_inside(containers: Collection[Container[A]]) -> bool:
    """Whether inputs wait in a container for its slots."""
    return any(len(container.held) > container.slots for container in containers)


def stuck(containers: Collection[Container[A]], plan: PoolPlan, now: float) -> list[tuple[Container[A], float]]:
    """Return the containers whose waiting inputs are better off elsewhere, and for how many seconds nothing came."""
    # What waits inside for the end of another batch can begin at once where nothing runs.
    idle = bool(plan.load.max_batch_size) and any(not one.held for one in containers if one.accepts)
    found: list[tuple[Container[A], float]] = []
    for container in containers:
        if not container.held or not container.ready or container.recalled or container.handle is None:
            continue
        waits_inside = len(container.held) > container.slots or (idle and not gathers(container, plan, now))
        stuck_s = now - container.last_progress
        if waits_inside and stuck_s > STUCK_S:
            found.append((container, stuck_s))
    return found


def overstayed(live: Sequence[Container[A]], plan: PoolPlan, least: int, now: float) -> list[Container[A]]:
    """Return the containers that have been idle for their whole window, but for the `least` that are to be there."""
    window = plan.scaledown_window_s
    idle = [c for c in live if c.state is State.IDLE and not c.is_used and now - c.idle_since >= window]
    return sorted(idle, key=lambda c: c.idle_since)[: max(0, len(live) - least)]


def above(live: Sequence[Container[A]], most: int | None) -> list[Container[A]]:
    """Return the containers above the most there may be, the emptiest first."""
    if most is None or len(live) <= most:
        return []
    return sorted(live, key=lambda one: (one.num_sessions, len(one.held), one.idle_since))[: len(live) - most]


def idle_longest(live: Sequence[Container[A]]) -> Container[A] | None:
    """Return the container that has been idle longest of those that may go, for another pool in need."""
    idle = [c for c in live if c.state is State.IDLE and c.ready and not c.is_used]
    return min(idle, key=lambda c: c.idle_since, default=None)
