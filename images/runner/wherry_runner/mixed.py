"""Methods of a class one at a time, some of them coroutine functions: the plain ones run on the main thread as well.

There the object was made, and its enter hooks ran: what is bound to its thread (a database connection, say) works.
"""

from time import monotonic
from typing import Any

from wherry_runner.executor import Desk
from wherry_runner.inputs import Input
from wherry_runner.interrupt import Interrupter
from wherry_runner.tasks import TasksExecutor
from wherry_runner.watch import Keeper, Watch


class MixedExecutor(TasksExecutor):
    """A plain method blocks the loop; meanwhile the keeper reads the socket, and interrupts what is to end."""

    def __init__(self, desk: Desk, watch: Watch, keeper: Keeper, interrupter: Interrupter) -> None:
        super().__init__(desk, watch, keeper, 1, False)
        self._interrupter = interrupter
        self._blocking: Input | None = None
        interrupter.install()

    async def _plainly(self, item: Input, function: Any, *args: Any, **kwargs: Any) -> Any:
        interrupter = self._interrupter
        self._blocking = item
        try:
            interrupter.armed = item
            if item.ended_by:
                interrupter.check()
            return function(*args, **kwargs)
        finally:
            interrupter.armed = None
            self._blocking = None

    async def _close(self, close: Any) -> None:
        close()

    def end(self, item: Input, by: str) -> None:
        if item is not self._blocking:
            super().end(item, by)
        elif not item.ended_by:
            item.ended_by = by
            self._interrupter.interrupt()

    # The keeper's

    def next_deadline(self) -> float | None:
        item = self._blocking
        return None if item is None or item.ended_by else max(0.0, item.deadline - monotonic())

    def on_time(self) -> None:
        item = self._blocking
        if item is not None and monotonic() > item.deadline:
            self.end(item, "timeout")
