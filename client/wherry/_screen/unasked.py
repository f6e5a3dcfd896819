"""What is shown where nobody has turned an output on."""

import sys
from typing import TYPE_CHECKING

from wherry._screen.output import NoProgress, Silent, Waiting
from wherry._screen.stream import ScreenStream
from wherry_proto.messages import Notice

if TYPE_CHECKING:
    from wherry._screen.plain import Cells

# Seconds after which it is told that something is waited for.
TOLD_AFTER_S = 1.0


class Unasked(Silent):
    """Shows nothing but what is waited for, on stderr, and that only where somebody looks: a terminal, a notebook."""

    def __init__(self) -> None:
        self._shown: Cells | None = None

    def notice(self, notice: Notice) -> None:
        if notice.waits and (shown := self._where()) is not None:
            shown.notice(notice)

    def waiting(self, what: str) -> Waiting:
        shown = self._where()
        return shown.waiting(what) if shown is not None else NoProgress()

    def _where(self) -> "Cells | None":
        if self._shown is None and (ScreenStream(sys.stderr).isatty() or in_notebook()):
            from wherry._screen.plain import Cells  # noqa: PLC0415 - start-up cost: only where there is somebody

            self._shown = Cells(TOLD_AFTER_S)
        return self._shown


def in_notebook() -> bool:
    """Whether this is the kernel of a notebook: what is printed appears below the cell that runs."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None
