"""Containers that say nothing: how long they may, and those that can't reach this service at all.

The engine of these sees other files, or its sockets end at a virtual machine.
"""

import asyncio
from collections.abc import Callable

from wherry_service.engines.engine import Engine, EngineError

# What the runner prints where it finds no service at its socket; its own words for why follow.
MARK = "wherry: no service is reached at "
# Seconds between the looks at what a container that has not come prints. An engine that is only slow has none of it.
LOOKS_AFTER_S = (0.6, 0.6, 1.2, 2.4, 4.8)
_LINES = 20


class Silence:
    """The silence of one container, which is ended when that lasts too long; `kill` takes the reason."""

    def __init__(self, kill: Callable[[str], None]) -> None:
        # Whether it runs where this service can't be reached.
        self.is_unreached = False
        self._kill = kill
        self._timer: asyncio.TimerHandle | None = None
        # Set when it has come, or ends.
        self._came = asyncio.Event()

    def watch(self, seconds: float, reason: str) -> None:
        """Have it ended unless something is heard in time."""
        self._stop()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._kill, reason)

    def heard(self) -> None:
        """Hear of it: it has come, or it ends."""
        self._came.set()
        self._stop()

    async def look_into(self, engine: Engine, engine_id: str) -> None:
        """Find out early where a container that was just started can't reach this service, and have it ended."""
        told = await unreached(engine, engine_id, self._came)
        if told and not self._came.is_set():
            # The next one would not reach it either.
            self.is_unreached = True
            self._kill(told)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


async def unreached(engine: Engine, engine_id: str, gone: asyncio.Event) -> str:
    """Return what a container that was just started could not do, and what to do about it; "" if it came, or ended.

    `gone` is set when it need not be looked at any more.
    """
    for seconds in LOOKS_AFTER_S:
        try:
            await asyncio.wait_for(gone.wait(), seconds)
        except TimeoutError:
            pass
        else:
            return ""
        try:
            printed = await engine.log_tail(engine_id, _LINES)
        except EngineError:
            continue
        if not gone.is_set() and MARK in printed:
            return f"runs, and {(await engine.status()).as_elsewhere}"
    return ""
