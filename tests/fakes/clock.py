"""An event loop whose time passes only when nothing is left to do, and then at once."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any


class FastLoop(asyncio.SelectorEventLoop):
    """Where it would wait for a timer, its clock jumps there instead."""

    def __init__(self) -> None:
        self._now = 1000.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        return self._now

    def jump(self, seconds: float) -> None:
        self._now += seconds

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        # Since Python 3.12 with a limit, to which this clock would jump.
        await super().shutdown_default_executor()


class _Jumping(selectors.DefaultSelector):
    def __init__(self, loop: FastLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        # Without a timer to jump to, only another thread can bring something.
        ready = super().select(0 if timeout is not None else 0.05)
        if not ready and timeout:
            # The loop rounds: it must land after the timer, not just before.
            self._loop.jump(timeout + 1e-9)
        return ready


def run_fast(main: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine on such a loop."""
    with asyncio.Runner(loop_factory=FastLoop) as runner:
        runner.run(main)


class HandClock:
    """A wall clock that stands still until it is moved."""

    def __init__(self, ms: int) -> None:
        self.ms = ms

    def __call__(self) -> float:
        return self.ms / 1000
