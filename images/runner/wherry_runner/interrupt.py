"""Ending an input that runs on the main thread: a private signal; its handler raises in user code and nowhere else."""

import sys

# The C half of `signal`: enum, which the other half needs, costs 2 ms.
from _signal import SIGRTMIN, pthread_kill, signal  # type: ignore[import-not-found]
from _thread import get_ident

from wherry_runner.inputs import Input

SIGNAL = SIGRTMIN + 9


class _InputCancellation(BaseException):
    """This input was cancelled, or ran over its timeout."""


_InputCancellation.__name__ = _InputCancellation.__qualname__ = "InputCancellation"


def cancellation() -> type[BaseException]:
    """Return the class that user code sees: the SDK's own where user code has imported it."""
    sdk = sys.modules.get("wherry.exception")
    found = getattr(sdk, "InputCancellation", None)
    return found if isinstance(found, type) and issubclass(found, BaseException) else _InputCancellation


class Interrupter:
    """Belongs to the main thread. `armed` is the input whose user code runs there right now.

    Runner code that user code calls (print) runs between `shield` and `unshield`: an interrupt waits for its end,
    as a lock or a half-sent frame can't be left behind.
    """

    def __init__(self) -> None:
        self.armed: Input | None = None
        self.main_thread = get_ident()
        self._depth = 0
        self._late = False

    def install(self) -> None:
        signal(SIGNAL, self._handle)

    def interrupt(self) -> None:
        """Have the main thread look whether its input is to end. From any thread."""
        pthread_kill(self.main_thread, SIGNAL)

    def check(self) -> None:
        """On the main thread, after arming: the wish to end may have come before."""
        item = self.armed
        if item is not None and item.ended_by:
            self.armed = None
            raise cancellation()(_MESSAGES[item.ended_by])

    def _handle(self, number: int, frame: object) -> None:
        if self._depth:
            self._late = True
        else:
            self.check()

    def shield(self) -> None:
        self._depth += 1

    def unshield(self) -> None:
        self._depth -= 1
        if self._late and not self._depth:
            self._late = False
            self.check()


_MESSAGES = {"cancelled": "the input was cancelled", "timeout": "the input ran over its timeout"}
