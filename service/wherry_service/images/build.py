"""One build that runs: whoever wants the image joins it, and when nobody does any more it ends."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TextIO, TypeVar

from wherry_service.store.trouble import in_words

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OnEvent:
    """Hears of a build: lines of its log, steps that have ended (title, seconds, taken from an earlier build), why."""

    log: Callable[[str], None]
    step: Callable[[str, float, bool], None]
    # What goes after "because"; said once, or never where nothing like it was built before.
    reason: Callable[[str], None] = lambda reason: None
    # A step has begun: which, of how many.
    begun: Callable[[int, int], None] = lambda number, count: None


class Build(Generic[T]):
    """Runs `work` as a task of its own; what it says is kept for those who join later, and in a file."""

    def __init__(self, work: Callable[[OnEvent], Awaitable[T]], log_file: Path) -> None:
        self._listeners: list[OnEvent] = []
        self._said: list[Callable[[OnEvent], None]] = []
        # None: it can't be written, and a build is not to fail for that.
        self._file: TextIO | None = None
        self._begin(log_file)
        self._work = work
        self._waiting = 0
        # Nobody waits any more: it is ending, and can't be joined.
        self.is_stopped = False
        self.task: asyncio.Task[T] = asyncio.ensure_future(self._run())

    async def join(self, on_event: OnEvent) -> T:
        """Wait for its end, hearing all that it says; when the last who waits is cancelled, the build is too."""
        for say in self._said:
            say(on_event)
        self._listeners.append(on_event)
        self._waiting += 1
        try:
            return await asyncio.shield(self.task)
        finally:
            self._waiting -= 1
            self._listeners.remove(on_event)
            if not self._waiting and not self.task.done():
                self.is_stopped = True
                self.task.cancel()
                await asyncio.wait([self.task])

    async def _run(self) -> T:
        try:
            return await self._work(OnEvent(self._log, self._step, self._reason, self._begun))
        except Exception as error:
            self._keep(str(error))
            raise
        finally:
            self._end()

    def _log(self, line: str) -> None:
        self._keep(line)
        self._tell(lambda heard: heard.log(line))

    def _step(self, title: str, seconds: float, cached: bool) -> None:
        self._keep(f"{title}: {'cached' if cached else f'{seconds:.1f} s'}")
        self._tell(lambda heard: heard.step(title, seconds, cached))

    def _reason(self, reason: str) -> None:
        self._keep(f"built because {reason}")
        self._tell(lambda heard: heard.reason(reason))

    def _begun(self, number: int, count: int) -> None:
        self._tell(lambda heard: heard.begun(number, count))

    # The file

    def _begin(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("w", encoding="utf-8", errors="replace")
        except OSError as error:
            self._lose(error)

    def _keep(self, line: str) -> None:
        if self._file is None:
            return
        try:
            self._file.write(f"{line}\n")
            self._file.flush()
        except OSError as error:
            self._end()
            self._lose(error)

    def _end(self) -> None:
        if self._file is not None:
            # What it holds is tried once more, and in vain where the disk is full.
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None

    def _lose(self, error: OSError) -> None:
        line = f"this build's log is not kept from here on: {in_words(error)}"
        log.warning("%s", line)
        self._tell(lambda heard: heard.log(line))

    def _tell(self, say: Callable[[OnEvent], None]) -> None:
        self._said.append(say)
        for listener in list(self._listeners):
            say(listener)
