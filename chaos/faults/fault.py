"""What all faults have in common."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from chaos.crew import Crew
from chaos.stage import Stage

T = TypeVar("T")


@dataclass(frozen=True)
class Scene:
    """What faults happen to."""

    stage: Stage
    crew: Crew


@dataclass(frozen=True)
class Step:
    """One fault of a plan. All of it comes from the seed."""

    wait_s: float
    kind: str
    lasts_s: float
    # From 0 to 1: which of those that there are.
    chance: float

    def pick(self, among: Sequence[T]) -> T | None:
        """Choose one; None of none."""
        return among[min(int(self.chance * len(among)), len(among) - 1)] if among else None


@dataclass(frozen=True)
class Hit:
    """What a fault did."""

    target: str
    # Ends it, when the step's time is over; None: it is over at once.
    undo: Callable[[], object] | None = None


Do = Callable[[Scene, Step], Hit | None]


@dataclass(frozen=True)
class Fault:
    """One kind of fault."""

    name: str
    do: Do
    weight: float
    # Seconds, from and to.
    lasts: tuple[float, float] = (0.0, 0.0)
    # Two of one group are not on at a time: the second waits for the first's end.
    group: str = ""


@dataclass
class Happened:
    """A fault that was done, by the clock of the journals."""

    kind: str
    target: str
    at: float
    until: float | None = None

    def overlaps(self, since: float, until: float, grace_s: float = 0.0) -> bool:
        """Whether it was on at a time, or had ended less than `grace_s` before."""
        return self.at <= until and (self.until is None or self.until + grace_s >= since)
