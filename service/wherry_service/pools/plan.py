"""A pool's plan: what its containers are, and how many there may be."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from wherry_service.node.node import ContainerOrder, LoadOrder
from wherry_service.pools.autoscaler import Bounds
from wherry_service.pools.capacity import Share


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
    # Its inputs are requests that go to containers which are ready, and never wait for one.
    is_server: bool = False
    # Sessions that one container has at most; 0: there are none, requests go to any.
    max_sessions: int = 0
    # Seconds for which more containers must be wanted before they start, beside those there are.
    scaleup_window_s: float = 0.0
    # Its containers have no network.
    block_network: bool = False

    @property
    def least_share(self) -> int:
        """How many inputs a container is given at least, as far as there are any and it has room."""
        return max(1, self.load.max_batch_size)
