"""Counts that only grow, kept where things happen and read by who shows them: each costs less than a microsecond."""

from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

# Upper bounds of seconds, of what is quick.
QUICK_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Histogram:
    """How many values there were up to each bound; the last count is of those above all bounds."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float] = QUICK_S) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)


class Histograms(Generic[K]):
    """A histogram for each key. There are at most so many keys: what has another is counted under `rest`."""

    def __init__(self, rest: K, most: int, bounds: Sequence[float] = QUICK_S) -> None:
        self._rest = rest
        self._most = most
        self._bounds = bounds
        self._found: dict[K, Histogram] = {}

    def of(self, key: K) -> Histogram:
        """Return the histogram of a key."""
        found = self._found.get(key)
        if found is None:
            if len(self._found) >= self._most and key != self._rest:
                return self.of(self._rest)
            found = self._found[key] = Histogram(self._bounds)
        return found

    def forget(self, is_gone: Callable[[K], bool]) -> None:
        """Forget the keys that are gone."""
        self._found = {key: found for key, found in self._found.items() if not is_gone(key)}

    def __iter__(self) -> Iterator[tuple[K, Histogram]]:
        return iter(list(self._found.items()))


class Counts(Generic[K]):
    """A number for each key. There are at most so many keys: what has another is counted under `rest`."""

    def __init__(self, rest: K, most: int) -> None:
        self._rest = rest
        self._most = most
        self._found: dict[K, float] = {}

    def add(self, key: K, count: float = 1) -> None:
        """Count something."""
        if key not in self._found and len(self._found) >= self._most:
            key = self._rest
        self._found[key] = self._found.get(key, 0) + count

    def forget(self, is_gone: Callable[[K], bool]) -> None:
        """Forget the keys that are gone."""
        self._found = {key: count for key, count in self._found.items() if not is_gone(key)}

    def __iter__(self) -> Iterator[tuple[K, float]]:
        return iter(list(self._found.items()))
