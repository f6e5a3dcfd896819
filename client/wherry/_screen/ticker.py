"""Where nothing can move: a line from time to time on what takes long."""

import threading
import time
from collections.abc import Callable

# Seconds between two lines on the same thing.
EVERY_S = 10.0


class Ticker:
    """Says a line on each thing that goes on, in a thread that lives while there are such."""

    def __init__(
        self, say: Callable[[str], None], every_s: float = EVERY_S, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._say = say
        self._every_s = every_s
        self._now = now
        self._changed = threading.Condition()
        # When each is told of next, and what is said then.
        self._due: dict[object, tuple[float, Callable[[], str]]] = {}
        self._runs = False
        # When the thread looks again: a program may make thousands of short maps, which must not wake it each time.
        self._looks_at = 0.0

    def add(self, what: object, tell: Callable[[], str], first_s: float | None = None) -> None:
        """Tell of something from now on, for the first time after so many seconds."""
        with self._changed:
            at = self._now() + (self._every_s if first_s is None else first_s)
            self._due[what] = (at, tell)
            if not self._runs:
                self._runs = True
                threading.Thread(target=self._run, name="wherry-ticker", daemon=True).start()
            elif at < self._looks_at:
                self._changed.notify()

    def remove(self, what: object) -> None:
        """Tell no more of it."""
        with self._changed:
            self._due.pop(what, None)

    def tick(self) -> float | None:
        """Say what is due; return in how many seconds the next is, None where nothing goes on."""
        with self._changed:
            now = self._now()
            due = [(what, tell) for what, (at, tell) in self._due.items() if at <= now]
            for what, tell in due:
                self._due[what] = (now + self._every_s, tell)
        for _, tell in due:
            self._say(tell())
        with self._changed:
            return max(0.0, min(at for at, _ in self._due.values()) - self._now()) if self._due else None

    def _run(self) -> None:
        while True:
            self.tick()
            with self._changed:
                if not self._due:
                    self._runs = False
                    return
                # With what came meanwhile.
                self._looks_at = min(at for at, _ in self._due.values())
                self._changed.wait(max(0.0, self._looks_at - self._now()))
