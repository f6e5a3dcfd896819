"""The connections to one container's runner socket: one that counts, a few that have yet to say hello."""

import logging
from collections.abc import Callable

from wherry_service.node.runner_link import RunnerLink

log = logging.getLogger(__name__)

# Connections that have not said hello; and how many may be refused in all.
MAX_CALLERS = 4
MAX_REFUSED = 100


class Callers:
    """`link` is the connection that counts. `kill` ends the container, with a reason."""

    def __init__(self, container_id: str, kill: Callable[[str], None]) -> None:
        self.link: RunnerLink | None = None
        self.refused = 0
        # Whether its runner has said hello.
        self.was_greeted = False
        # Whose hello waits for its answer; and those that have said none, the oldest first.
        self.greeting: RunnerLink | None = None
        self.waiting: dict[RunnerLink, None] = {}
        self._container_id = container_id
        self._kill = kill

    def connected(self, link: RunnerLink) -> None:
        """Hear of one more connection; of too many, the oldest is closed."""
        if len(self.waiting) >= MAX_CALLERS:
            oldest = next(iter(self.waiting))
            del self.waiting[oldest]
            self._refuse(oldest, "has too many connections to its runner's socket")
        self.waiting[link] = None

    def greeted(self, link: RunnerLink) -> bool:
        """Hear a hello; return whether it is the runner's. A second one is refused while the first is held."""
        self.waiting.pop(link, None)
        present = self.link or self.greeting
        if present is not None and present.is_alive():
            self._refuse(link, "has connected to its runner's socket a second time")
            return False
        if present is not None:
            # Broken, and not yet heard of.
            present.close()
        self.greeting = link
        self.was_greeted = True
        return True

    def welcomed(self, link: RunnerLink) -> None:
        """Note that this is the connection that counts."""
        self.link, self.greeting = link, None

    def lost(self, link: RunnerLink) -> bool:
        """Hear that a connection has ended; return whether it was the one that counts."""
        self.waiting.pop(link, None)
        if link is self.greeting:
            self.greeting = None
        if link is not self.link:
            return False
        self.link = None
        return True

    def _refuse(self, link: RunnerLink, why: str) -> None:
        self.refused += 1
        if self.refused == 1:
            log.warning("container %s %s: it is closed", self._container_id, why)
        elif self.refused == MAX_REFUSED:
            log.warning("container %s %s, %d times", self._container_id, why, MAX_REFUSED)
            self._kill(f"{why}, {MAX_REFUSED} times")
        link.close()
