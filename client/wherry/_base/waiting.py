"""Waiting in a thread of its own, for coroutines: as many as wanted, and not for each other."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[], T], cancel: Callable[[], None] | None = None) -> T:
    """Run what blocks; `cancel` is called, in a thread too, when whoever awaits this is cancelled.

    Not in the event loop's pool: a few that wait there would keep all others from being done.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def tell(value: T | None, error: BaseException | None) -> None:
        if not future.done():
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(value)  # type: ignore[arg-type]

    def run() -> None:
        value: T | None = None
        error: BaseException | None = None
        try:
            value = work()
        except BaseException as raised:  # noqa: BLE001 - it is raised where it is awaited
            error = raised
        try:
            loop.call_soon_threadsafe(tell, value, error)
        except RuntimeError:  # the loop was closed meanwhile: nobody awaits it
            return

    threading.Thread(target=run, name="wherry-waiting", daemon=True).start()
    try:
        return await future
    except asyncio.CancelledError:
        if cancel is not None:
            threading.Thread(target=cancel, name="wherry-cancelling").start()
        raise


async def entered_in_thread(manager: Any) -> Any:
    """Enter a context manager in a thread; when whoever awaits this is cancelled, leave it as soon as it is entered."""
    lock = threading.Lock()
    entered = given_up = False

    def enter() -> Any:
        nonlocal entered
        found = manager.__enter__()
        with lock:
            entered = True
            is_wanted = not given_up
        if not is_wanted:
            manager.__exit__(None, None, None)
        return found

    try:
        return await asyncio.to_thread(enter)
    except asyncio.CancelledError:
        with lock:
            given_up = True
        if entered:
            threading.Thread(target=manager.__exit__, args=(None, None, None), name="wherry-leaving").start()
        raise
