"""What a function is called in metrics: its environment, app and name, and nothing that is new with each call."""

import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from wherry_service.errors import NotFound

# A function that has done nothing for so many seconds gives its place to another one.
FORGET_AFTER_S = 3600.0
# Functions whose labels are remembered: some have gone when what became of them is counted.
MAX_KNOWN = 20_000


class Labels(NamedTuple):
    """The only labels that tell functions apart."""

    environment: str
    app: str
    function: str


OTHER = Labels("other", "other", "other")
# The names, as Prometheus has them.
NAMES = Labels._fields


class Functions(Protocol):
    """Who knows running functions; raises `NotFound`."""

    def labels(self, function_id: str) -> Labels: ...


class Named:
    """Gives functions their labels. Only so many have their own; the others share `OTHER`.

    A function that has its own keeps them while it is in use, so that what is counted under them only grows.
    """

    def __init__(self, functions: Functions, most: int, now: Callable[[], float] = time.monotonic) -> None:
        self._functions = functions
        self._most = most
        self._now = now
        # When each was last used.
        self._own: dict[Labels, float] = {}
        self._known: dict[str, Labels] = {}
        # Called with labels that are used no more: what was counted under them is to be forgotten.
        self.on_forgotten: list[Callable[[Labels], None]] = []

    def of(self, function_id: str) -> Labels:
        """Return a function's labels, also for a while after it has gone; `OTHER` if it is not known."""
        try:
            labels = self._functions.labels(function_id)
        except NotFound:
            labels = self._known.get(function_id, OTHER)
        else:
            if function_id not in self._known and len(self._known) >= MAX_KNOWN:
                self._known.pop(next(iter(self._known)))
            self._known[function_id] = labels
        return self.bounded(labels)

    def bounded(self, labels: Labels) -> Labels:
        """Return these labels if there is a place for them, else `OTHER`."""
        if labels == OTHER:
            return OTHER
        now = self._now()
        if labels not in self._own and len(self._own) >= self._most and not self._make_place(now):
            return OTHER
        self._own[labels] = now
        return labels

    def known(self, labels: Labels) -> Labels:
        """Return these labels if they have a place, else `OTHER`: a look at them is no use of them."""
        return labels if labels in self._own else OTHER

    def _make_place(self, now: float) -> bool:
        oldest = min(self._own, key=self._own.__getitem__)
        if now - self._own[oldest] < FORGET_AFTER_S:
            return False
        del self._own[oldest]
        for hear in self.on_forgotten:
            hear(oldest)
        return True
