"""The thread that writes: the event loop hands it whole blocks and never waits for the disk."""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable

from wherry_service.errors import stack_of
from wherry_service.logs.segments import Segments

log = logging.getLogger(__name__)

# A full disk is told of once in so many seconds.
TELL_EVERY_S = 30.0


class Writer:
    """Does what it is given, in order."""

    def __init__(self, segments: Segments) -> None:
        self._segments = segments
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        # A service that can't start must not be kept by it.
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._told_at = -TELL_EVERY_S
        self._lost = 0

    def begin(self) -> None:
        self._jobs.put(self._pack_left_over)
        self._thread.start()

    def write(self, app_id: str, first: int, count: int, data: bytes, written: Callable[[int], None]) -> None:
        """Write a block of `count` lines; `written` hears its bytes on the loop, whether it could be written or not."""
        loop = asyncio.get_running_loop()

        def work() -> None:
            try:
                self._segments.write(app_id, first, data)
            except OSError as error:
                self._failed(count, error)
            loop.call_soon_threadsafe(written, len(data))

        self._jobs.put(work)

    def pack(self, app_id: str) -> None:
        """Pack what an app has, as it has ended."""

        def work() -> None:
            try:
                self._segments.close(app_id)
            except OSError as error:
                log.warning("the log of app %s stays as it is: %s", app_id, error)

        self._jobs.put(work)

    async def reach(self) -> None:
        """Wait until all that was given so far is done."""
        loop = asyncio.get_running_loop()
        reached = loop.create_future()

        def work() -> None:
            loop.call_soon_threadsafe(_resolve, reached)

        self._jobs.put(work)
        await reached

    def close(self) -> None:
        """Do what is left, pack it, and end."""
        if self._thread.is_alive():
            self._jobs.put(self._pack_all)
            self._jobs.put(None)
            self._thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception as error:
                # One bad block must not end the thread that all others need.
                log.error("the log's writer failed: %s", error, exc_info=stack_of(error))

    def _pack_all(self) -> None:
        try:
            self._segments.close_all()
        except OSError as error:
            log.warning("logs stay as they are: %s", error)

    def _pack_left_over(self) -> None:
        try:
            self._segments.pack_left_over()
        except OSError as error:
            log.warning("logs of an earlier life stay as they are: %s", error)

    def _failed(self, count: int, error: OSError) -> None:
        self._lost += count
        now = time.monotonic()
        if now - self._told_at >= TELL_EVERY_S:
            log.error("%d lines that containers printed could not be kept: %s", self._lost, error)
            self._told_at, self._lost = now, 0


def _resolve(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
