"""Lines in the log about clients that are refused: some of each minute, since anybody can send as many as they like."""

import logging
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

LINES = 20
WITHIN_S = 60.0


class Refusals:
    """Logs the first refusals of each minute, and how many there were besides when the next one comes."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._began = -WITHIN_S
        self._count = 0

    def add(self, client: str, status: int, text: str) -> None:
        """Note that a client is refused."""
        now = self._now()
        if now - self._began >= WITHIN_S:
            self.close()
            self._began, self._count = now, 0
        self._count += 1
        if self._count <= LINES:
            log.warning("a client at %s is refused, %d: %s", client, status, text)

    def close(self) -> None:
        """Say how many there were beside those in the log."""
        if self._count > LINES:
            log.warning("%d more requests were refused within %.0f s", self._count - LINES, WITHIN_S)
        self._count = 0
