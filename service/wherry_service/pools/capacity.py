"""What a host can carry: containers beyond it wait, they never fail."""

from collections.abc import Callable
from dataclasses import dataclass

DEFAULT_MEMORY_MIB = 128
CONTAINERS_PER_CORE = 12


@dataclass(frozen=True, slots=True)
class Share:
    """What one container is counted as."""

    cpu: float
    memory_mib: int


class Capacity:
    """Counts what is given out; whoever was refused is told when something comes back."""

    def __init__(self, cpu: float, memory_mib: int) -> None:
        self._cpu = cpu
        self._memory_mib = memory_mib
        self._cpu_used = 0.0
        self._memory_used = 0
        self._waiting: dict[object, Callable[[], None]] = {}

    @staticmethod
    def share(cpu_request: float | None, memory_request_mib: int | None) -> Share:
        """Return what a container with these requests is counted as."""
        return Share(cpu_request or 1 / CONTAINERS_PER_CORE, memory_request_mib or DEFAULT_MEMORY_MIB)

    def could_ever_fit(self, share: Share) -> bool:
        """Whether such a container fits an empty host."""
        return share.cpu <= self._cpu + 1e-9 and share.memory_mib <= self._memory_mib

    def take(self, share: Share, beyond_cpu: bool = False) -> bool:
        """Reserve; False when it does not fit now. `beyond_cpu`: only the memory must fit."""
        if self._memory_used + share.memory_mib > self._memory_mib:
            return False
        if self._cpu_used + share.cpu > self._cpu + 1e-9 and not beyond_cpu:
            return False
        self._cpu_used += share.cpu
        self._memory_used += share.memory_mib
        return True

    def give_back(self, share: Share) -> None:
        """Release, and tell those who wait."""
        self._cpu_used -= share.cpu
        self._memory_used -= share.memory_mib
        waiting, self._waiting = self._waiting, {}
        for tell in waiting.values():
            tell()

    def wait(self, who: object, tell: Callable[[], None]) -> None:
        """Have `tell` called once, when something has been given back."""
        self._waiting[who] = tell

    def forget(self, who: object) -> None:
        """Call nobody on behalf of `who`."""
        self._waiting.pop(who, None)

    @property
    def contended(self) -> bool:
        """Whether somebody waits."""
        return bool(self._waiting)

    def __str__(self) -> str:
        return f"{self._cpu:g} cores and {self._memory_mib} MiB"
