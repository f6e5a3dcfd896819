"""A session of one request: its calls go the way that all calls go."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import TracebackType

from wherry_proto.messages import CallCancel, Hello, SessionDown, SessionUp
from wherry_service import __version__
from wherry_service.api.callers import Caller, follow
from wherry_service.api.sessions import CLIENT_PROTOCOL
from wherry_service.errors import Unready
from wherry_service.ids import new_id

# Messages that wait to be looked at: what makes more of them waits meanwhile.
_WAITING = 4
# Seconds in which what was said last is heard before the session ends.
_FLUSH_S = 5.0


class CallSession:
    """Open within an `async with` block. One task has all of it: whoever waits for a message may be cancelled."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._up: asyncio.Queue[SessionUp] = asyncio.Queue()
        self._down: asyncio.Queue[SessionDown | Exception] = asyncio.Queue(_WAITING)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "CallSession":
        self.send(SessionUp(hello=Hello(client_id=new_id("cl"), protocol=CLIENT_PROTOCOL, version=__version__)))
        self._task = asyncio.ensure_future(self._pump())
        try:
            await self.next()
        except BaseException:
            # Whoever waited is gone, and nobody leaves a block that was not entered.
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        try:
            if not self._task.done():
                # Whoever cancels is heard.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._up.join(), _FLUSH_S)
        finally:
            await self._end()

    async def _end(self) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])

    def send(self, message: SessionUp) -> None:
        """Say something."""
        self._up.put_nowait(message)

    def cancel(self, call_id: str) -> None:
        """End a call."""
        self.send(SessionUp(cancels=[CallCancel(call_id=call_id)]))

    async def next(self) -> SessionDown:
        """Return what is said next; raise the `ServiceError` that the session has ended with."""
        message = await self._down.get()
        if isinstance(message, Exception):
            raise message
        return message

    async def _pump(self) -> None:
        try:
            async with contextlib.aclosing(follow(self._caller, "Calls.Session", self._said())) as answers:
                async for answer in answers:
                    await self._down.put(answer)
            raise Unready("the service is stopping: ask again")
        except Exception as error:  # noqa: BLE001 - whoever waits raises it
            await self._down.put(error)

    async def _said(self) -> AsyncIterator[SessionUp]:
        while True:
            message = await self._up.get()
            yield message
            # Asked for the next one: this one was heard.
            self._up.task_done()
