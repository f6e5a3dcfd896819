"""All pools of the service, by function."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Generic

from wherry_service.node.node import FoundContainer, Node
from wherry_service.pools.capacity import Capacity
from wherry_service.pools.container import A, Container
from wherry_service.pools.events import PoolEvents
from wherry_service.pools.plan import PoolPlan
from wherry_service.pools.pool import Pool, in_order


class Pools(Generic[A]):
    """Opens and closes pools; they share one host's capacity."""

    def __init__(self, node: Node, capacity: Capacity) -> None:
        self._node = node
        self.capacity = capacity
        self._pools: dict[str, Pool[A]] = {}
        # Of versions that do not serve yet, and of those that serve no more and still run inputs.
        self._beside: set[Pool[A]] = set()

    def __iter__(self) -> Iterator[Pool[A]]:
        return iter([*self._pools.values(), *self._beside])

    def get(self, function_id: str) -> Pool[A] | None:
        """Return the function's pool, if it has one."""
        return self._pools.get(function_id)

    def find(self, container_id: str) -> tuple[Pool[A], Container[A]] | None:
        """Return a container and its pool, by the container's id."""
        for pool in self:
            if (container := pool.containers.get(container_id)) is not None:
                return pool, container
        return None

    def open(self, plan: PoolPlan, host: PoolEvents[A], found: Sequence[FoundContainer] = ()) -> Pool[A]:
        """Make the pool of a function, with the containers found of it; its min_containers start at once."""
        pool = self._pools[plan.function_id] = self._made(plan, host, host)
        for item in found:
            pool.adopt(item)
        pool.scale()
        return pool

    def prepare(self, plan: PoolPlan, host: PoolEvents[A], watcher: PoolEvents[A], standing: int = 0) -> Pool[A]:
        """Make a pool that is its function's only once it is `put`; so many containers start at once, and stay.

        `watcher` hears how it comes up until then.
        """
        pool = self._made(plan, host, watcher)
        self._beside.add(pool)
        pool.standing = standing
        pool.scale()
        return pool

    def put(self, pool: Pool[A]) -> Pool[A] | None:
        """Make a prepared pool its function's; return the one before, which `retire` ends."""
        before = self._pools.get(pool.plan.function_id)
        self._beside.discard(pool)
        self._pools[pool.plan.function_id] = pool
        pool.serve()
        if before is not None:
            self._beside.add(before)
            pool.pace.seconds_per_input, pool.is_nested = before.pace.seconds_per_input, before.is_nested
        return before

    async def retire(self, pool: Pool[A], grace_s: float) -> int:
        """Close a pool that is not, or not any more, its function's; return how many containers it had."""
        try:
            return await pool.close(grace_s)
        finally:
            self._beside.discard(pool)

    async def retire_all(self, app_id: str, grace_s: float) -> int:
        """Close what pools an app has beside those of its functions; return how many containers they had."""
        of_app = [pool for pool in self._beside if pool.plan.load.app_id == app_id]
        return sum(await asyncio.gather(*(self.retire(pool, grace_s) for pool in of_app)))

    async def close(self, function_id: str, grace_s: float) -> int:
        """Close the function's pool; return how many containers it had."""
        pool = self._pools.pop(function_id, None)
        return await pool.close(grace_s) if pool is not None else 0

    async def close_all(self, grace_s: float) -> int:
        """Close all pools; return how many containers they had."""
        closing = [self.close(function_id, grace_s) for function_id in list(self._pools)]
        closing += [self.retire(pool, grace_s) for pool in list(self._beside)]
        return sum(await asyncio.gather(*closing))

    async def wait_connected(self, within_s: float) -> None:
        """Wait until every container is connected, or that many seconds."""
        deadline = asyncio.get_running_loop().time() + within_s
        while asyncio.get_running_loop().time() < deadline:
            containers = [container for pool in self for container in pool.containers.values()]
            if all(container.accepts for container in containers):
                return
            await asyncio.sleep(0.05)

    def whose(self) -> Iterator[tuple[str, str]]:
        """Yield the ids of all containers, each with its function's."""
        for pool in self:
            for container_id in pool.containers:
                yield container_id, pool.plan.function_id

    @property
    def num_containers(self) -> int:
        return sum(len(pool.containers) for pool in self)

    def _made(self, plan: PoolPlan, host: PoolEvents[A], watcher: PoolEvents[A]) -> Pool[A]:
        return Pool(plan, self._node, self.capacity, host, watcher, self._make_room)

    def _make_room(self, asking: Pool[A]) -> None:
        """Let a container go for another pool: an idle one, or, so that nobody starves, one of the largest pool's."""
        wanted, gpus = asking.plan.share.gpus, self.capacity.gpus
        # Where GPUs are what it waits for, only the end of one that has such helps.
        for_gpus = bool(gpus.lack(wanted))
        idle = [one for one in in_order(self) if not for_gpus or gpus.suits(wanted, one.container_id)]
        if idle:
            idle[0].drain()
            return
        if asking.live():
            return
        pools = [pool for pool in self if not for_gpus or any(gpus.suits(wanted, one) for one in pool.containers)]
        largest = max(pools, key=lambda pool: len(pool.live()), default=asking)
        live = largest.live()
        if len(live) > max(1, largest.plan.bounds.min_containers, largest.standing):
            min(live, key=lambda container: len(container.held)).drain()
