"""How fast one container may print. What is beyond it waits inside: its socket is read no further for a while."""

import asyncio
from collections.abc import Callable

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
