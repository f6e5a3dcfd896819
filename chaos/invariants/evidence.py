"""What a campaign leaves to be judged."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field

from chaos.faults.fault import Happened
from chaos.journal import Operation

# Faults after which there is no service for a while.
SERVICE_AWAY = ("service killed", "service killed again while it starts", "service stopped")
NETWORK = ("connections cut", "connections stalled", "network down", "connections cut on a slow disk")


@dataclass
class Evidence:
    """All that was written down."""

    operations: list[Operation] = field(default_factory=list)
    faults: list[Happened] = field(default_factory=list)
    # When clients were killed, by name.
    killed: dict[str, list[float]] = field(default_factory=dict)
    # Clients that did not end when told to, with where they hung; and those that ended by themselves, with why.
    hung: dict[str, str] = field(default_factory=dict)
    broke: dict[str, str] = field(default_factory=dict)
    # Ticks that the database says were run, in milliseconds, each with its call.
    ticks: list[tuple[int, str]] = field(default_factory=list)
    # What is left after the service was stopped, by kind.
    left: dict[str, list[str]] = field(default_factory=dict)
    # Of the service: resident MiB and open descriptors, every few seconds.
    memory_mib: list[float] = field(default_factory=list)
    open_files: list[int] = field(default_factory=list)
    log: str = ""

    def of(self, kind: str, *whats: str) -> Iterator[Operation]:
        """Give what clients of a kind have asked for."""
        for operation in self.operations:
            if operation.client.rpartition("-")[0] == kind and (not whats or operation.what in whats):
                yield operation

    def during(self, operation: Operation, *kinds: str, grace_s: float = 3.0) -> bool:
        """Whether one of these faults was on while something was asked for, or shortly before."""
        until = operation.ended_at if operation.ended_at is not None else float("inf")
        return any(fault.overlaps(operation.asked_at, until, grace_s) for fault in self.faults if fault.kind in kinds)

    def was_away(self, operation: Operation, grace_s: float) -> bool:
        """Whether the service was dead, stopped or starting at any time while something was asked for.

        It is back when the lone caller is answered.
        """
        until = operation.ended_at if operation.ended_at is not None else float("inf")
        return any(since <= until and operation.asked_at <= back + grace_s for since, back in self._away)

    def was_cut_off(self, operation: Operation) -> bool:
        """Whether the connection to the service broke while something was asked for."""
        return self.was_away(operation, 2.0) or self.during(operation, *NETWORK)

    def had_met(self, operation: Operation) -> bool:
        """Whether the same life of its client had been answered before something was asked for."""
        if operation.what == "deploy":
            return False  # each is a program of its own
        return self._met.get((operation.client, operation.life), float("inf")) < operation.asked_at

    @functools.cached_property
    def _met(self) -> dict[tuple[str, str], float]:
        """When each life of a client was first answered."""
        found: dict[tuple[str, str], float] = {}
        for one in self.operations:
            if one.did and one.ended_at is not None:
                key = one.client, one.life
                found[key] = min(found.get(key, float("inf")), one.ended_at)
        return found

    @functools.cached_property
    def _away(self) -> list[tuple[float, float]]:
        answered = sorted(one.ended_at for one in self.of("lone") if one.did and one.ended_at is not None)
        found = []
        for fault in self.faults:
            if fault.kind in SERVICE_AWAY:
                # An answer may have been under way when it was killed.
                over = (fault.until if fault.until is not None else fault.at) + 0.05
                found.append((fault.at, next((at for at in answered if at > over), float("inf"))))
        return found

    def was_killed(self, operation: Operation) -> bool:
        """Whether its client was killed before it had an answer."""
        if operation.ended_at is not None:
            return False
        return any(at >= operation.heard_at for at in self.killed.get(operation.client, []))


@dataclass
class Verdict:
    """What an invariant found."""

    name: str
    # In one line: how much was checked.
    found: str
    violations: list[str] = field(default_factory=list)
    # Errors that were told where they may be: those that no invariant excuses are violations of "errors".
    excused: list[Operation] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not self.violations


def first_of(items: list[str], count: int = 5) -> str:
    """Return the first of many, and how many more there are."""
    more = len(items) - count
    return ", ".join(items[:count]) + (f" and {more} more" if more > 0 else "")
