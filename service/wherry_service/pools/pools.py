"""All pools of the service, by function."""

import asyncio
from collections.abc import Iterator, Sequence

from wherry_service.node.node import FoundContainer, Node
from wherry_service.pools.capacity import Capacity
from wherry_service.pools.container import Container
from wherry_service.pools.pool import Pool, PoolListener, PoolPlan, in_order


class Pools:
    """Opens and closes pools; they share one host's capacity."""

    def __init__(self, node: Node, capacity: Capacity) -> None:
        self._node = node
        self._capacity = capacity
        self._pools: dict[str, Pool] = {}

    def __iter__(self) -> Iterator[Pool]:
        return iter(list(self._pools.values()))

    def get(self, function_id: str) -> Pool | None:
        """Return the function's pool, if it has one."""
        return self._pools.get(function_id)

    def find(self, container_id: str) -> tuple[Pool, Container] | None:
        """Return a container and its pool, by the container's id."""
        for pool in self._pools.values():
            if (container := pool.containers.get(container_id)) is not None:
                return pool, container
        return None

    def open(self, plan: PoolPlan, listener: PoolListener, found: Sequence[FoundContainer] = ()) -> Pool:
        """Make the pool of a function, with the containers found of it; its min_containers start at once."""
        pool = Pool(plan, self._node, self._capacity, listener, self._make_room)
        self._pools[plan.function_id] = pool
        for item in found:
            pool.adopt(item)
        pool.scale()
        return pool

    def take_out(self, function_id: str) -> Pool | None:
        """Have no pool for the function any more; what becomes of the one there was is the caller's business."""
        return self._pools.pop(function_id, None)

    async def close(self, function_id: str, grace_s: float) -> int:
        """Close the function's pool; return how many containers it had."""
        pool = self._pools.pop(function_id, None)
        return await pool.close(grace_s) if pool is not None else 0

    async def close_all(self, grace_s: float) -> int:
        """Close all pools; return how many containers they had."""
        counts = await asyncio.gather(*(self.close(function_id, grace_s) for function_id in list(self._pools)))
        return sum(counts)

    async def wait_connected(self, within_s: float) -> None:
        """Wait until every container is connected, or that many seconds."""
        deadline = asyncio.get_running_loop().time() + within_s
        while asyncio.get_running_loop().time() < deadline:
            containers = [container for pool in self for container in pool.containers.values()]
            if all(container.accepts for container in containers):
                return
            await asyncio.sleep(0.05)

    @property
    def num_containers(self) -> int:
        return sum(len(pool.containers) for pool in self)

    def _make_room(self, asking: Pool) -> None:
        """Let a container go for another pool: an idle one, or, so that nobody starves, one of the largest pool's."""
        idle = in_order(self)
        if idle:
            idle[0].drain()
            return
        if asking.live():
            return
        largest = max(self, key=lambda pool: len(pool.live()))
        live = largest.live()
        if len(live) > max(1, largest.plan.bounds.min_containers):
            min(live, key=lambda container: len(container.held)).drain()
