"""How fast one container may print. What is beyond it waits inside: its socket is read no further for a while."""

import asyncio
from collections.abc import Callable

from wherry_service.node.runner_link import RunnerLink

# Bytes a second, and how many may come at once.
RATE = 8 << 20
BURST = 2 << 20
# A line costs about as much as so many bytes of text.
LINE_BYTES = 128


class Throttle:
    """A bucket that refills. `pause` and `resume` are called in turns."""

    def __init__(
        self, pause: Callable[[], None], resume: Callable[[], None], rate: float = RATE, burst: float = BURST
    ) -> None:
        self._pause = pause
        self._resume = resume
        self._rate = rate
        self._burst = burst
        self._level = burst
        self._seen = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def spend(self, lines: int, size: int) -> None:
        """Note how many lines have come, and of how many bytes; beyond the rate, pause for as long as it takes."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._level = min(self._burst, self._level + (now - self._seen) * self._rate) - size - lines * LINE_BYTES
        self._seen = now
        if self._level < 0 and self._timer is None:
            self._pause()
            self._timer = loop.call_later(-self._level / self._rate, self._go_on)

    def end(self) -> None:
        """Pause no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._go_on()

    def _go_on(self) -> None:
        self._timer = None
        self._resume()


class Valve:
    """Whether one container is read: not while somebody lags behind, or while it prints too fast.

    `link` is its connection; None: there is none, or none that is to be stopped any more.
    """

    def __init__(self, link: Callable[[], RunnerLink | None]) -> None:
        self._link = link
        # How many want it to be read no further.
        self._pauses = 0
        self._throttle = Throttle(self.pause, self.resume)

    def pause(self) -> None:
        """Read nothing more until `resume` was called as often as this."""
        self._pauses += 1
        if self._pauses == 1 and (link := self._link()) is not None:
            link.pause()

    def resume(self) -> None:
        """Read again."""
        self._pauses -= 1
        if not self._pauses and (link := self._link()) is not None:
            link.resume()

    def spend(self, lines: int, size: int) -> None:
        """Note what it has printed."""
        self._throttle.spend(lines, size)

    def opened(self, link: RunnerLink) -> None:
        """Hear of a new connection: what holds for the container holds for it."""
        if self._pauses:
            link.pause()

    def open(self, link: RunnerLink) -> None:
        """Read on, whoever wants to pause."""
        if self._pauses:
            link.resume()

    def end(self) -> None:
        """Pause for no print any more."""
        self._throttle.end()
