"""A host of a given size."""

from wherry_service.pools.capacity import CONTAINERS_PER_CORE, Capacity


def always_busy() -> tuple[int, float]:
    """Return that the processors have no time to spare (`capacity.Busy`)."""
    return 0, 1.0


def host_of(cpu: float, memory_mib: int) -> Capacity:
    """Return what a host carries whose processors are busy: so many containers for each core, and no more."""
    return Capacity(cpu, memory_mib, always_busy, CONTAINERS_PER_CORE)
