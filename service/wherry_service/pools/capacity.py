"""What a host can carry: containers beyond it wait, they never fail.

Four limits, each for what it means. Memory: all containers' requests, and an allowance for those that ask for none,
fit what the host has for them. Cores: what `cpu=` sets aside adds up to no more than there are. Processors: containers
that set none aside share what there is, so that many start freely, and more only while the processors have time to
spare: those that are there are idle, or wait for something. GPUs: each is one container's, unless the settings say
otherwise (engines/gpus.py).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wherry_service.engines.engine import Gpu
from wherry_service.engines.gpus import Gpus, in_words

DEFAULT_MEMORY_MIB = 128
# Containers without `cpu=` for each core, whatever the processors do.
CONTAINERS_PER_CORE = 12
# Of the processors' time, while more than that is used nobody is helped by another container.
BUSY_PART = 0.75
# For each core: containers beyond those that are begun before it is seen what they do to the processors.
BEYOND_PER_CORE = 2


@dataclass(frozen=True, slots=True)
class Share:
    """What one container is counted as: cores that are set aside, 0 for none, memory, and GPUs."""

    cpu: float
    memory_mib: int
    # Any one of these will do, the first is preferred.
    gpus: tuple[Gpu, ...] = ()

    def __str__(self) -> str:
        text = f"{self.cpu:g} cores and {self.memory_mib} MiB" if self.cpu else f"{self.memory_mib} MiB"
        return f"{text} and GPUs ({in_words(self.gpus)})" if self.gpus else text


Busy = Callable[[], tuple[int, float]]
"""Returns the number of the latest look at the processors, and the part of their time that was used before it."""


class Capacity:
    """Counts what is given out; whoever was refused is told when something comes back."""

    def __init__(self, cpu: float, memory_mib: int, busy: Busy, per_core: int, gpus: Gpus) -> None:
        self.gpus = gpus
        gpus.on_free.append(self._tell)
        self.cpu = cpu
        self.memory_mib = memory_mib
        self._busy = busy
        self._per_core = per_core
        self._cpu_used = 0.0
        self._memory_used = 0
        # Containers that set no cores aside.
        self._sharing = 0
        # The latest look at the processors, and how many containers were begun on the strength of it.
        self._look = -1
        self._begun = 0
        self._waiting: dict[object, Callable[[], None]] = {}

    @staticmethod
    def share(cpu_request: float | None, memory_request_mib: int | None, gpus: Sequence[Gpu] = ()) -> Share:
        """Return what a container with these requests is counted as."""
        return Share(cpu_request or 0.0, memory_request_mib or DEFAULT_MEMORY_MIB, tuple(gpus))

    def could_ever_fit(self, share: Share) -> bool:
        """Whether the memory and the cores of an empty host are enough for such a container."""
        return share.cpu <= self.cpu + 1e-9 and share.memory_mib <= self.memory_mib

    def take(self, share: Share, holder: str, beyond_cpu: bool = False) -> bool:
        """Reserve for the container `holder`; False when it does not fit now. `beyond_cpu`: whatever the cores do."""
        if self._lacks_memory(share) or (not beyond_cpu and self._lacks_cpu(share)):
            return False
        if not self.gpus.take(holder, share.gpus):
            return False
        if not share.cpu and not beyond_cpu and self._sharing >= self._freely:
            self._begun += 1
        self.add(share)
        return True

    def add(self, share: Share) -> None:
        """Count what is there already, whatever the limits; its GPUs are claimed where it is found."""
        self._cpu_used += share.cpu
        self._sharing += not share.cpu
        self._memory_used += share.memory_mib

    def lack(self, share: Share) -> str:
        """Return which limit holds such a container back, with the figures; "" if none does."""
        if self._lacks_memory(share):
            free = max(0, self.memory_mib - self._memory_used)
            return f"{share.memory_mib} MiB of memory are wanted, and {free} of {self.memory_mib} MiB are free"
        if not self._lacks_cpu(share):
            return self.gpus.lack(share.gpus)
        if share.cpu:
            free_cpu = max(0.0, self.cpu - self._cpu_used)
            return f"{share.cpu:g} cores are wanted, and {free_cpu:.3g} of {self.cpu:g} are not set aside for others"
        _, busy = self._busy()
        return (
            f"{self._sharing} containers that share the processors run or start, and these are {busy:.0%} busy "
            f"(limits.containers_per_core is {self._per_core})"
        )

    def waits_for(self, share: Share) -> str:
        """Return what such a container waits for, as people say it; "" if there is room for it."""
        if self._lacks_memory(share):
            free = max(0, self.memory_mib - self._memory_used)
            return f"{share.memory_mib} MiB of memory: {free} of {self.memory_mib} MiB are free"
        if not self._lacks_cpu(share):
            return self.gpus.waits_for(share.gpus)
        if share.cpu:
            free_cpu = max(0.0, self.cpu - self._cpu_used)
            cores = f"{share.cpu:g} core{'' if share.cpu == 1 else 's'}"
            some = f"{free_cpu:.3g} of {self.cpu:g} are free"
            return f"{cores}: {some if free_cpu >= 0.1 else 'other functions have them'}"
        _, busy = self._busy()
        return f"the processors: {self._sharing} containers share them, and they are {busy:.0%} busy"

    @property
    def _freely(self) -> int:
        """So many containers share the processors whatever these do."""
        return max(1, math.floor((self.cpu - self._cpu_used) * self._per_core + 1e-6))

    def _lacks_memory(self, share: Share) -> bool:
        return self._memory_used + share.memory_mib > self.memory_mib

    def _lacks_cpu(self, share: Share) -> bool:
        if share.cpu:
            return self._cpu_used + share.cpu > self.cpu + 1e-9
        if self._sharing < self._freely:
            return False
        look, busy = self._busy()
        if look != self._look:
            self._look, self._begun = look, 0
        return busy > BUSY_PART or self._begun >= BEYOND_PER_CORE * self.cpu

    def give_back(self, share: Share, holder: str) -> None:
        """Release what the container `holder` has, and tell those who wait."""
        self.gpus.give_back(holder)
        self._cpu_used -= share.cpu
        self._sharing -= not share.cpu
        self._memory_used -= share.memory_mib
        self._tell()

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for tell in waiting.values():
            tell()

    def wait(self, who: object, tell: Callable[[], None]) -> None:
        """Have `tell` called once, when something has been given back."""
        self._waiting[who] = tell

    def forget(self, who: object) -> None:
        """Call nobody on behalf of `who`."""
        self._waiting.pop(who, None)

    def load(self) -> tuple[float, float, int, int, float]:
        """Return cores and those not set aside, MiB and those not asked for, and the part of the processors' time."""
        free = max(0.0, self.cpu - self._cpu_used), max(0, self.memory_mib - self._memory_used)
        return self.cpu, free[0], self.memory_mib, free[1], self._busy()[1]

    @property
    def contended(self) -> bool:
        """Whether somebody waits."""
        return bool(self._waiting)

    def __str__(self) -> str:
        return f"{self.cpu:g} cores and {self.memory_mib} MiB"
