"""A host of a given size."""

from wherry_service.engines.gpus import Device, Gpus, GpuSettings
from wherry_service.pools.capacity import CONTAINERS_PER_CORE, Capacity


def always_busy() -> tuple[int, float]:
    """Return that the processors have no time to spare (`capacity.Busy`)."""
    return 0, 1.0


def gpus_of(*devices: Device, per_gpu: int = 1) -> Gpus:
    """Return the ledger of a host with these GPUs."""
    gpus = Gpus(GpuSettings(devices, per_gpu))
    gpus.know(devices)
    return gpus


def host_of(cpu: float, memory_mib: int, *devices: Device) -> Capacity:
    """Return what a host carries whose processors are busy: so many containers for each core, and no more."""
    return Capacity(cpu, memory_mib, always_busy, CONTAINERS_PER_CORE, gpus_of(*devices))
