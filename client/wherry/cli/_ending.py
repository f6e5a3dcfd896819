"""SIGTERM and SIGHUP end a command as Ctrl-C does: what it runs is stopped first."""

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Any

# Windows has no SIGHUP.
_NUMBERS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class Ending:
    """Which signal has told this command to end."""

    def __init__(self) -> None:
        self._number = 0
        self._pid = os.getpid()

    def code(self, code: Any) -> Any:
        """Return the exit code: as a shell has it for a command that the signal ended, unless it ended well."""
        return 128 + self._number if self._number and code not in (0, None) else code

    def __call__(self, number: int, frame: Any) -> None:
        """Handle the signal."""
        if os.getpid() != self._pid:
            # A forked child of the user's: it ends as ever.
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        self._number = number
        # Whatever Ctrl-C would do now, but for a shell's background jobs, for which it does nothing.
        if signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, None):
            raise KeyboardInterrupt
        signal.raise_signal(signal.SIGINT)


@contextlib.contextmanager
def ends_as_ctrl_c() -> Iterator[Ending]:
    """Have both signals mean Ctrl-C within this block, unless they are ignored or have a meaning already."""
    ending = Ending()
    for number in _NUMBERS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, ending)
    try:
        yield ending
    finally:
        for number in _NUMBERS:
            if signal.getsignal(number) is ending:
                signal.signal(number, signal.SIG_DFL)
