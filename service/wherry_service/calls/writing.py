"""What must be written some time: tried again while the disk does not take it."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import tenacity

from wherry_service.store.trouble import StorageFailed, StorageFull

T = TypeVar("T")

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0


async def until_written(write: Callable[[], Awaitable[T]]) -> T:
    """Do `write`, again and again while a disk is full or does not work; the store tells that in the log."""
    async for attempt in tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception_type((StorageFull, StorageFailed)),
        wait=tenacity.wait_exponential(FIRST_PAUSE_S, LONGEST_PAUSE_S),
        reraise=True,
    ):
        with attempt:
            return await write()
    raise AssertionError("it is tried without end")
