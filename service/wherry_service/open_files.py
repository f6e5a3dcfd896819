"""Files and connections that this process may have open: as many as the system grants, and a word before the last."""

import asyncio
import logging
import os
import resource
from collections.abc import Callable

log = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0
# Of those that may be open, this part is told of: what comes beyond all of them is refused, by the event loop, unsaid.
FULL_PART = 0.9
TELL_EVERY_S = 60.0


def raise_limit() -> int:
    """Let this process open as many files as it may at most; return how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError) as error:
            # Some systems grant less than they say.
            log.warning("at most %d files can be open: %s", soft, error)
            return soft
    return hard


def count_open() -> int:
    """Return how many are open; 0 where the system does not say."""
    try:
        return len(os.listdir("/proc/self/fd")) - 1
    except OSError:
        return 0


class OpenFiles:
    """Says in the log when almost as many files are open as may be."""

    def __init__(self, limit: int, count: Callable[[], int] = count_open) -> None:
        self._limit = limit
        self._count = count
        self._told_at: float | None = None

    async def watch(self) -> None:
        """Look from time to time, for as long as the service runs."""
        while True:
            self.look(asyncio.get_running_loop().time())
            await asyncio.sleep(LOOK_EVERY_S)

    def look(self, now: float) -> None:
        """Look once, at this time of the event loop's."""
        count = self._count()
        if count < self._limit * FULL_PART:
            self._told_at = None
        elif self._told_at is None or now - self._told_at >= TELL_EVERY_S:
            self._told_at = now
            log.warning(
                "%d of %d files and connections are open: what comes beyond them is refused. End clients, or raise the "
                "limit: LimitNOFILE= of a systemd unit, `ulimit -n`, `ulimits:` in compose.yaml",
                count,
                self._limit,
            )
