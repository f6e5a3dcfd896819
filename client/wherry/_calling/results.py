"""What map and remote_gen return: results that arrive while they are iterated, with `for` or `async for`."""

import os
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from wherry._calling.opening import Opening
from wherry._calling.stream_call import Event, StreamCall, YieldAcks, blob_to_take
from wherry.exception import ExecutionError, UserCodeException, as_returned
from wherry_proto.messages import Payload, Yield

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from wherry._calling.pump import Pump
    from wherry._connection.client import Client
    from wherry._screen.output import Progress

T = TypeVar("T")


class Opened:
    """A call that has begun, and what is needed to consume it."""

    def __init__(
        self,
        client: "Client",
        call: "StreamCall",
        fail: Callable[[Any], BaseException],
        *,
        pump: "Pump | None" = None,
        rows: "AsyncIterator[Any] | None" = None,
        total: int | None = None,
    ) -> None:
        self.client = client
        self.call = call
        self.fail = fail
        # Rows still to be fed on the consumer's event loop.
        self.pump = pump
        self.rows = rows
        self.total = total
        self.pid = os.getpid()
        self.acks = YieldAcks(client.session.send)
        # What shows it; set by whoever consumes it.
        self.progress: Progress | None = None


class Results(Generic[T]):
    """Iterable once. Nothing runs before the first step; dropping it early cancels what still runs."""

    # Set by generators: their outputs only end them.
    _is_generator = False

    def __init__(
        self,
        name: str,
        open_call: "Callable[[Opening, bool], Opened]",
        *,
        ordered: bool = False,
        return_exceptions: bool = False,
        wrap_exceptions: bool | None = None,
    ) -> None:
        self._name = name
        self._open_call = open_call
        # Made with the call: in a thread it may be opened still when nobody wants it any more.
        self._opening: Opening | None = None
        self._ordered = ordered
        self._return_exceptions = return_exceptions
        self._wrap_exceptions = wrap_exceptions
        self._opened: Opened | None = None
        self._ready: deque[Event] = deque()
        # Outputs that came before their turn, by index.
        self._early: dict[int, Event] = {}
        self._next_index = 0
        self._over = False
        self._task: Any = None

    # for

    def __iter__(self) -> "Results[T]":
        return self

    def __next__(self) -> T:
        if self._over:
            raise StopIteration
        try:
            opened = self._opened or self._open(False)
            _check_process(opened)
            while True:
                while self._ready:
                    value = self._consume(opened, self._ready.popleft())
                    if value is not _NOTHING:
                        return value  # type: ignore[no-any-return]
                events = opened.call.take()
                if not events:
                    self._finish(opened)
                    raise StopIteration
                self._sort(events)
        except StopIteration:
            raise
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Cancel what still runs; nothing happens when all is done."""
        if self._over:
            return
        self._over = True
        opened = self._opened
        if opened is None:
            if self._opening is not None:
                self._opening.give_up()
            return
        if opened.pid != os.getpid():
            return  # in a forked child it is the parent's
        opened.client.session.cancel(opened.call)
        opened.call.close()
        self._end_progress()

    # async for

    def __aiter__(self) -> "Results[T]":
        return self

    async def __anext__(self) -> T:
        if self._over:
            raise StopAsyncIteration
        import asyncio  # noqa: PLC0415 - start-up cost: the caller has it already

        try:
            # Opening may wait: for the service, for the function's id.
            opened = self._opened
            if opened is None:
                self._opening = Opening()
                opened = await asyncio.to_thread(self._open, True)
            _check_process(opened)
            if opened.rows is not None and opened.pump is not None and self._task is None:
                self._task = asyncio.ensure_future(opened.pump.run_async(opened.rows))
            while True:
                while self._ready:
                    value = await self._consume_async(opened, self._ready.popleft())
                    if value is not _NOTHING:
                        return value  # type: ignore[no-any-return]
                events = await self._events(opened)
                if not events:
                    self._finish(opened)
                    raise StopAsyncIteration
                self._sort(events)
        except StopAsyncIteration:
            raise
        except BaseException:
            self.close()
            if self._task is not None:
                self._task.cancel()
            raise

    async def aclose(self) -> None:
        """Cancel what still runs."""
        self.close()
        if self._task is not None:
            self._task.cancel()

    async def _events(self, opened: Opened) -> "list[Event]":
        import asyncio  # noqa: PLC0415 - start-up cost: as above

        loop = asyncio.get_running_loop()
        while True:
            news = asyncio.Event()

            def wake(news: asyncio.Event = news) -> None:
                loop.call_soon_threadsafe(news.set)

            events, waiting = opened.call.take_now(wake)
            if not waiting:
                return events
            await news.wait()

    async def _consume_async(self, opened: Opened, event: "Event") -> Any:
        if _is_remote(event.payload):
            import asyncio  # noqa: PLC0415 - start-up cost: as above

            return await asyncio.to_thread(self._consume, opened, event)
        return self._consume(opened, event)

    # Both

    def __del__(self) -> None:
        if getattr(self, "_over", True):
            return
        if self._opened is None:
            import logging  # noqa: PLC0415 - start-up cost: takes 6 ms, which importing wherry should not

            logging.getLogger("wherry").warning(
                "wherry: the results of %s were not consumed, so nothing was executed; "
                "use a for-loop, for example `for result in %s(...): ...`",
                self._name,
                self._name,
            )
            return
        self.close()

    def _open(self, on_loop: bool) -> Opened:
        opened = self._open_call(self._opening or Opening(), on_loop)
        opened.progress = opened.client.listener.progress(self._name, opened.total)
        self._opened = opened
        if self._over:
            self._end_progress()  # closed while it was opened
        return opened

    def _sort(self, events: "list[Event]") -> None:
        """Put events into the order in which they are handed out."""
        if not self._ordered:
            self._ready.extend(events)
            return
        early = self._early
        for event in events:
            early[event.index] = event
        while (event_now := early.pop(self._next_index, None)) is not None:
            self._ready.append(event_now)
            self._next_index += 1

    def _consume(self, opened: Opened, event: "Event") -> Any:
        """Return the value of an event, or _NOTHING; raise when it is a failure that is to be raised."""
        taken = blob_to_take(event)
        try:
            if type(event) is Yield:
                value = opened.client.blobs.load(event.payload) if event.payload is not None else None
                opened.acks.consumed(event)
                return value
            assert not isinstance(event, Yield)
            opened.acks.ended(event)
            if opened.progress is not None:
                opened.progress.advance()
                if event.failure is not None:
                    opened.progress.failed()
            if event.failure is None:
                if event.num_yields or self._is_generator:
                    return _NOTHING
                return opened.client.blobs.load(event.payload) if event.payload is not None else None
            error = opened.fail(event)
            if not self._return_exceptions:
                raise error
            if self._wrap_exceptions is None:
                return as_returned(error)
            return UserCodeException(error) if self._wrap_exceptions else error
        finally:
            if taken:
                opened.client.session.take(taken)

    def _finish(self, opened: Opened) -> None:
        self._over = True
        opened.client.session.drop(opened.call)
        self._end_progress()

    def _end_progress(self) -> None:
        if self._opened is not None and self._opened.progress is not None:
            self._opened.progress.end()


class GeneratorResults(Results[T]):
    """The values of generators."""

    _is_generator = True


_NOTHING = object()


def _check_process(opened: Opened) -> None:
    if opened.pid != os.getpid():
        raise ExecutionError("these results belong to the process that began to iterate them, not to a fork of it")


def _is_remote(payload: "Payload | None") -> bool:
    return payload is not None and bool(payload.blob_id)
