"""Containers in which somebody runs commands: those are not idle."""

from wherry_service.calls.call import Input
from wherry_service.pools.pools import Pools
from wherry_service.sandboxes.sandboxes import Sandboxes


class ContainerUse:
    """Tells pools and sandboxes when a command begins and ends in one of their containers."""

    def __init__(self, pools: Pools[Input], sandboxes: Sandboxes) -> None:
        self._pools = pools
        self._sandboxes = sandboxes

    def begin(self, container_id: str) -> None:
        """Say that a command begins in a container, of whatever kind."""
        self._sandboxes.begin_use(container_id)
        if (found := self._pools.find(container_id)) is not None:
            found[1].num_execs += 1

    def end(self, container_id: str) -> None:
        """Say that it is over."""
        self._sandboxes.end_use(container_id)
        if (found := self._pools.find(container_id)) is not None:
            found[0].left(found[1])
