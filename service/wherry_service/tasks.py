"""Tasks that run beside everything else, kept in one place until they end."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

from wherry_service.errors import stack_of

T = TypeVar("T")

log = logging.getLogger(__name__)

# Seconds that tasks get to end once they are cancelled: one that ignores it must not hold up the service.
END_WITHIN_S = 30.0


class Tasks:
    """Keeps tasks until they end, and logs the error of each one that fails, once.

    `failure` begins that line in the log, for example "the journal could not be written".
    """

    def __init__(self, failure: str) -> None:
        self._failure = failure
        self._running: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def spawn(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Run a coroutine beside everything else. Whoever awaits the task is told of its error as well as the log."""
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def cancel(self) -> None:
        """Cancel what runs, without waiting for it."""
        for task in list(self._running):
            task.cancel()

    async def wait(self) -> None:
        """Wait until all that runs now has ended."""
        await asyncio.gather(*self._running, return_exceptions=True)

    async def close(self, within_s: float = END_WITHIN_S) -> None:
        """Cancel what runs and wait until it has ended, also what it began meanwhile; at most so many seconds."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + within_s
        while self._running and (left_s := deadline - loop.time()) > 0:
            self.cancel()
            await asyncio.wait(self._running, timeout=left_s)
        for task in self._running:
            log.error("%s: %s does not end", self._failure, _origin(task))

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s, in %s: %s", self._failure, _origin(task), error, exc_info=stack_of(error))


def _origin(task: "asyncio.Task[Any]") -> str:
    return getattr(task.get_coro(), "__qualname__", task.get_name())
