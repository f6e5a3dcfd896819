"""Coroutine functions and async generators: tasks of one event loop on the main thread."""

import asyncio
import contextlib
import contextvars
import functools
import sys
from _thread import get_ident
from typing import TYPE_CHECKING, Any

from wherry_runner import descriptors
from wherry_runner.executor import Desk
from wherry_runner.inputs import Input, Window
from wherry_runner.link import Link
from wherry_runner.watch import RECONNECT_S, Keeper, Watch

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

MAX_THREADS = 1 << 16


class TasksExecutor:
    """Implements `executor.Executor`. The loop reads the socket; the keeper does while user code blocks the loop."""

    stands_in = False

    def __init__(
        self, desk: Desk, watch: Watch, keeper: Keeper, concurrency: int, is_generator: bool, is_async: bool = True
    ) -> None:
        self.desk = desk
        self._keeper = keeper
        self._watch = watch
        self._concurrency = concurrency
        self._target = (desk.function, is_generator, is_async)
        self.loop = self._loop = asyncio.new_event_loop()
        _hold(self._loop)
        self._thread = get_ident()
        self._done = self._loop.create_future()
        self._flushing = False
        self._threads: ThreadPoolExecutor | None = None

    def run(self) -> None:
        asyncio.set_event_loop(self._loop)
        # For user code: the loop is the container's, which may run other inputs.
        self._stop = self._loop.stop
        self._loop.stop = self._refuse_to_stop  # type: ignore[method-assign]
        try:
            self._loop.add_reader(self._watch.fileno(), self._read)
            while not self._done.done():
                try:
                    self._loop.run_until_complete(self._done)
                except (SystemExit, KeyboardInterrupt) as error:
                    # A task that user code started raised it; asyncio stops the loop for that, the container lives on.
                    from wherry_runner.failures import text_of  # noqa: PLC0415 - start-up cost: 9 ms and 1.7 MiB, only for failures

                    print(f"{type(error).__name__} in a task:", text_of(error), sep="\n", file=sys.stderr)
        finally:
            self._loop.remove_reader(self._watch.fileno())

    def finish(self) -> None:
        """End what async generators are left, last of all: a lifespan, or what an enter hook began, is one of them."""
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())

    def _refuse_to_stop(self) -> None:
        if not self._done.done():
            raise RuntimeError("the event loop can't be stopped: it runs the container; end the function with return")
        self._stop()

    def start_more(self) -> None:
        self._in_loop(self._start)

    def end(self, item: Input, by: str) -> None:
        self._in_loop(self._end, item, by)

    def current(self) -> object:
        return self if self.desk.running else None

    def next_deadline(self) -> float | None:
        return None  # the loop's timers see to them

    def on_time(self) -> None:
        """Nothing to do, as above."""

    def _in_loop(self, call: Any, *args: Any) -> None:
        # Frames may be read by the keeper.
        if get_ident() == self._thread:
            call(*args)
        else:
            self._loop.call_soon_threadsafe(call, *args)

    # In the loop

    def _read(self) -> None:
        if not self._watch.role.acquire(False):
            return
        try:
            self._watch.wait(0)
        finally:
            self._watch.role.release()
        if not self._watch.is_connected:
            self._loop.call_later(RECONNECT_S, self._read)
        self._look_for_end()

    def _look_for_end(self) -> None:
        if self.desk.ending and not self.desk.held and not self._done.done():
            self._done.set_result(None)

    def _start(self) -> None:
        desk = self.desk
        while desk.inbox and len(desk.running) < self._concurrency:
            try:
                item = desk.inbox.popleft()
            except IndexError:
                break  # the keeper has just given it back
            desk.running[item.input_id] = item
            task = self._loop.create_task(self._run(item))
            item.handle = task
            task.add_done_callback(functools.partial(self._finish, item))

    def _end(self, item: Input, by: str) -> None:
        if item.ended_by or item.answered:
            return
        item.ended_by = by
        if not item.deadline:
            # Its task has not had its first step, and a cancelled one would never have it.
            self.desk.fail_ended(item)
        if isinstance(item.handle, asyncio.Task):
            item.handle.cancel()

    async def _run(self, item: Input) -> None:
        desk = self.desk
        desk.begin(item)
        timer = self._loop.call_later(desk.timeout_s, self._end, item, "timeout")
        if self._keeper.parked:
            self._keeper.nudge()
        try:
            target = self._target if desk.methods is None else desk.method(item)
            call = desk.unpickle(item) if target is not None else None
            if call is not None and target is not None:
                function, is_generator, is_async = target
                if is_generator:
                    values = function(*call[0], **call[1])
                    await self._generate(item, values if hasattr(values, "__aiter__") else self._iterated(item, values))
                elif is_async:
                    await self._call(item, function(*call[0], **call[1]))
                else:
                    value = await self._plainly(item, function, *call[0], **call[1])
                    await self._call(item, value if hasattr(value, "__await__") else _done(value))
        except BaseException as error:  # SystemExit, too, is this input's failure; the loop lives on  # noqa: BLE001
            if item.ended_by:
                desk.fail_ended(item, error)
            else:
                desk.fail(item, error)
        finally:
            timer.cancel()

    def _finish(self, item: Input, task: "asyncio.Task[None]") -> None:
        if not item.answered:
            error = None if task.cancelled() else task.exception()
            self.desk.fail(item, error or asyncio.CancelledError("its task ended without an answer"))
        self.desk.finish(item)
        self._start()
        self._flush_soon()

    async def _call(self, item: Input, awaitable: Any) -> None:
        value = await awaitable
        if item.ended_by:
            self.desk.fail_ended(item)
        else:
            self.desk.give(item, value)

    async def _generate(self, item: Input, values: Any) -> None:
        desk, link = self.desk, self.desk.link
        window = item.window = TaskWindow(self._loop, link)
        try:
            async for value in values:
                if not desk.give_yield(item, value):
                    return
                self._flush_soon()
                if window.is_full:
                    await window.wait()
        finally:
            await values.aclose()
        if item.ended_by:
            desk.fail_ended(item)
        else:
            desk.give_end(item)

    # Methods that are no coroutine functions, in classes that have others, and plain functions that wrap one

    async def _plainly(self, item: Input, function: Any, *args: Any, **kwargs: Any) -> Any:
        """Run a plain function, without blocking the loop; given up when its input ends, it runs on unheard."""
        if self._threads is None:
            from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - start-up cost: 0.5 ms, only for plain functions beside coroutine functions

            # Those given up hold their threads: `_concurrency` alone bounds how many inputs run.
            self._threads = ThreadPoolExecutor(MAX_THREADS, "wherry-input")
        call = functools.partial(contextvars.copy_context().run, function, *args, **kwargs)
        return await self._loop.run_in_executor(self._threads, call)

    async def _iterated(self, item: Input, values: Any) -> Any:
        """Iterate a plain generator, or whatever a method that says it is one has returned."""
        iterator, end = iter(values), object()
        try:
            while (value := await self._plainly(item, next, iterator, end)) is not end:
                yield value
                # Cancels and timeouts come by the loop.
                await asyncio.sleep(0)
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                await self._close(close)

    async def _close(self, close: Any) -> None:
        with contextlib.suppress(ValueError):  # its thread, given up, is in it still
            await asyncio.to_thread(close)

    def _flush_soon(self) -> None:
        # At the end of the loop's turn: what other tasks answer in it goes along.
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        self.desk.link.flush(wait=False)
        self._look_for_end()


def _hold(loop: Any) -> None:
    """Keep a loop's own descriptors out of user code's reach, as far as its kind tells them."""
    for name in ("_selector", "_ssock", "_csock"):
        fileno = getattr(getattr(loop, name, None), "fileno", None)
        if fileno is not None:
            descriptors.hold(fileno())


async def _done(value: Any) -> Any:
    return value


class TaskWindow(Window):
    """A window that a task can wait for."""

    def __init__(self, loop: asyncio.AbstractEventLoop, link: Link) -> None:
        super().__init__()
        self._loop = loop
        self._link = link
        self._waiter: asyncio.Future[None] | None = None

    def take(self, below: int) -> None:
        # Perhaps in the keeper's thread, while the loop is blocked.
        self._loop.call_soon_threadsafe(self._take, below)

    def _take(self, below: int) -> None:
        super().take(below)
        if self._waiter is not None and not self.is_full and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self) -> None:
        """Wait until the caller has taken enough."""
        self._link.flush(wait=False)
        while self.is_full:
            self._waiter = self._loop.create_future()
            await self._waiter
