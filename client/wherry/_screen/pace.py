"""How fast something goes on, and how long it still takes, in words."""

import time
from collections.abc import Callable


def span(seconds: float) -> str:
    """Return "12 s", "3 min 05 s", "2 h 10 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def took(seconds: float | None) -> str:
    """Return "12 ms", "3.4 s", "2 min 05 s"; "" for None."""
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 60 else span(seconds)


def amount(size: float) -> str:
    """Return a number of bytes as people read it: "512 B", "1.5 MB"."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if size >= 10 or unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


class Pace:
    """What has been done of something, since when, and what failed. Measured from the first part on that was done."""

    def __init__(self, total: int | None, now: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        self.done = 0
        self.failed = 0
        self._now = now
        self._began = now()
        # When the first part was done, and how much that was: what came before was a start, not its speed.
        self._first: tuple[float, int] | None = None

    def advance(self, count: int = 1) -> None:
        """Note that so much more has been done."""
        self.done += count
        if self._first is None:
            self._first = (self._now(), self.done)

    @property
    def seconds(self) -> float:
        """How long it has gone on."""
        return self._now() - self._began

    @property
    def rate(self) -> float:
        """How much is done in a second; 0.0: that is not known yet."""
        if self._first is None:
            return 0.0
        at, before = self._first
        passed = self._now() - at
        if self.done > before and passed > 0:
            return (self.done - before) / passed
        return self.done / self.seconds if self.seconds > 0 else 0.0

    def inputs(self) -> str:
        """Return "16/50, 3.2/s, 11 s left, 2 failed"."""
        of = f"/{self.total:,}" if self.total is not None else ""
        rate = self.rate
        speed = f", {rate:,.0f}/s" if rate >= 10 else f", {rate:.1f}/s" if rate >= 0.1 else ""
        failed = f", {self.failed:,} failed" if self.failed else ""
        return f"{self.done:,}{of}{speed}, {self._left()}{failed}"

    def bytes(self) -> str:
        """Return "120 MB/400 MB, 12 MB/s, 23 s left"."""
        of = f"/{amount(self.total)}" if self.total is not None else ""
        speed = f", {amount(self.rate)}/s" if self.rate else ""
        return f"{amount(self.done)}{of}{speed}, {self._left()}"

    def _left(self) -> str:
        if self.total is None or not self.rate:
            return span(self.seconds)
        return f"{span(max(0, self.total - self.done) / self.rate)} left"
