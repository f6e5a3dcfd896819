"""Functions one at a time, some of them coroutine functions: the plain ones run on the main thread as well.

They are a class's methods: there the object was made, and its enter hooks ran, so what is bound to its thread (a
database connection, say) works. Or a plain function that wraps a coroutine function: it may run it to its end, or
return the coroutine.
"""

import asyncio
import contextvars
import functools
from collections.abc import Callable
from time import monotonic
from typing import Any

from wherry_runner.executor import Desk
from wherry_runner.inputs import Input
from wherry_runner.interrupt import Interrupter
from wherry_runner.tasks import TasksExecutor
from wherry_runner.watch import Keeper, Watch


class MixedExecutor(TasksExecutor):
    """A plain method blocks the loop; meanwhile the keeper reads the socket, and interrupts what is to end."""

    def __init__(
        self,
        desk: Desk,
        watch: Watch,
        keeper: Keeper,
        interrupter: Interrupter,
        is_generator: bool = False,
        is_async: bool = True,
    ) -> None:
        super().__init__(desk, watch, keeper, 1, is_generator, is_async)
        self._interrupter = interrupter
        self._blocking: Input | None = None
        # An input, and what its plain code sees as its context.
        self._context: tuple[Input | None, contextvars.Context] = (None, contextvars.Context())
        interrupter.install()

    async def _plainly(self, item: Input, function: Any, *args: Any, **kwargs: Any) -> Any:
        # Outside of this task: what the function does with an event loop of its own must not meet ours.
        outcome: asyncio.Future[tuple[BaseException | None, Any]] = self.loop.create_future()
        if self._context[0] is not item:
            self._context = (item, contextvars.copy_context())
        call = functools.partial(function, *args, **kwargs)
        self.loop.call_soon(self._block, item, call, outcome, context=self._context[1])
        error, value = await outcome
        if error is not None:
            raise error
        return value

    def _block(self, item: Input, call: Callable[[], Any], outcome: "asyncio.Future[Any]") -> None:
        if outcome.done():
            return  # it was cancelled meanwhile
        interrupter = self._interrupter
        self._blocking = item
        error, value = None, None
        asyncio._set_running_loop(None)  # noqa: SLF001 - asyncio keeps there which loop runs
        try:
            interrupter.armed = item
            if item.ended_by:
                interrupter.check()
            value = call()
        except BaseException as raised:  # user code  # noqa: BLE001
            error = raised
        finally:
            interrupter.armed = None
            self._blocking = None
            asyncio._set_running_loop(self.loop)  # noqa: SLF001 - asyncio keeps there which loop runs
        if not outcome.done():
            outcome.set_result((error, value))

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
