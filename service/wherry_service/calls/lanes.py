"""Tells the records of containers: those that are there, and each as it ends."""

import time
from collections.abc import Iterator

from wherry_service.calls.call import Input
from wherry_service.node.events import ContainerExit
from wherry_service.pools.container import Container
from wherry_service.pools.events import PoolEvents
from wherry_service.pools.pools import Pools
from wherry_service.records.lanes import Lanes, Seen, Transition


class LaneKeeper(PoolEvents[Input]):
    """Keeps containers that end (a watcher of the dispatcher)."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes

    def on_exit(self, container: Container[Input], exit: ContainerExit) -> None:
        self._lanes.ended(seen_of(container), exit.describe().partition("\n")[0], exit.is_failure)


def seen_in(pools: Pools[Input]) -> Iterator[Seen]:
    """Yield the containers that are there."""
    for pool in pools:
        for container in pool.containers.values():
            yield seen_of(container)


def seen_of(container: Container[Input]) -> Seen:
    """Return a container with its states, by the clock."""
    now_s, now_ms = container.pool.now(), time.time_ns() // 1_000_000
    transitions = [Transition(str(state), now_ms - int((now_s - at) * 1000)) for state, at in container.history]
    return Seen(container.container_id, container.pool.plan.function_id, transitions)
