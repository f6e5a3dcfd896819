"""How many containers a pool should have: one pure function."""

import math
from dataclasses import dataclass

# Seconds a container takes to start: work that is done sooner needs no further container.
START_S = 0.4


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked of a pool now."""

    backlog: int
    in_flight: int
    # Seconds one input takes, as measured; None while nothing has finished.
    seconds_per_input: float | None = None
    # Containers whose slots are all taken by inputs that run for longer than a container takes to start.
    taken: int = 0


@dataclass(frozen=True, slots=True)
class Bounds:
    """A pool's settings, with the reference's meaning (reference: min_containers, max_containers, …)."""

    min_containers: int = 0
    # None: no limit but the service's own.
    max_containers: int | None = None
    buffer_containers: int = 0
    # Inputs that one container accepts.
    slots: int = 1
    # Inputs for each container that are aimed at, at most `slots`; 0: the same. A burst fills the slots there are,
    # and further containers come for what is above the target.
    target: float = 0


def wanted_containers(demand: Demand, bounds: Bounds, blocked: int = 0) -> int:
    """Return the number of containers to have, with those that are `blocked` and so do none of the demand's work.

    Enough that the work is done in about the time a container takes to start, and never more than one
    place for each input; the buffer comes on top while there is work; min and max hold always. What the mean
    promises does not hold of the containers that are `taken`: what waits gets others.
    """
    work = demand.backlog + demand.in_flight
    target = bounds.target or bounds.slots
    needed = math.ceil(work / target)
    if work and demand.seconds_per_input is not None:
        rest = work - demand.taken * target
        in_time = math.ceil(rest * demand.seconds_per_input / (target * START_S))
        needed = min(needed, max(1, in_time) + demand.taken)
    if work:
        needed += bounds.buffer_containers
    needed = max(needed + blocked, bounds.min_containers)
    if bounds.max_containers is not None:
        needed = min(needed, bounds.max_containers)
    return needed
