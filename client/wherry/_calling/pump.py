"""Feeds the inputs of a map: from iterators, through pickling, to the session."""

import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextvars import copy_context
from typing import Any, Protocol

from wherry._base.ids import id_sequence
from wherry._calling.stream_call import MAX_UNANSWERED
from wherry.exception import SerializationError
from wherry_proto.messages import Input, InputsEnd, Payload, SessionUp

Row = tuple[Any, ...]


class Fed(Protocol):
    """The call that is fed."""

    call_id: str

    def add(self, item: Input) -> bool: ...
    def refuse(self, error: SerializationError) -> bool:
        """Hear of a row that can't be sent, in its turn; return whether more are wanted."""

    def wait_for_room(self) -> bool:
        """Wait until another input may be sent; return False when none is wanted any more."""

    def end_inputs(self, num_inputs: int) -> None:
        """Note how many inputs there are in all."""

    def fail(self, error: BaseException) -> None:
        """Note that there will be no more inputs, and why."""


class Pump:
    """Sends one input for each row of arguments, as far as the call has room."""

    def __init__(
        self,
        call: Fed,
        encode: Callable[[Row], Payload],
        send: Callable[[SessionUp | Input], None],
        method: str = "",
    ) -> None:
        self._call = call
        self._encode = encode
        self._send = send
        self._method = method
        self._ids = id_sequence("in")
        self._count = 0

    def run(self, rows: Iterable[Row]) -> None:
        """Feed all rows, here."""
        self._run(iter(rows))

    def start(self, rows: Iterable[Row], inline: bool) -> None:
        """Feed all rows: here and now when that can't block (`inline`), otherwise in a thread of its own."""
        if inline:
            self._run(iter(rows))
        else:
            # The iterator is the caller's code: it sees the caller's context variables.
            args = (self._run, iter(rows))
            threading.Thread(target=copy_context().run, args=args, name="wherry-inputs", daemon=True).start()

    async def run_async(self, rows: AsyncIterator[Row]) -> None:
        """Feed rows from an asynchronous iterator, on its own event loop."""
        import asyncio  # noqa: PLC0415 - start-up cost: the caller has it already

        try:
            async for row in rows:
                if not await asyncio.to_thread(self._call.wait_for_room):
                    return
                if not self._feed(row):
                    return
            self._end()
        except Exception as error:  # noqa: BLE001 - the iterator is the user's: whatever it raises surfaces at the consumer
            self._call.fail(error)

    def _run(self, rows: Iterator[Row]) -> None:
        call = self._call
        try:
            for row in rows:
                if not call.wait_for_room():
                    return
                if not self._feed(row):
                    return
            self._end()
        except BaseException as error:  # noqa: BLE001 - as above; in a thread of its own nobody else would see it
            call.fail(error)

    def _feed(self, row: Row) -> bool:
        try:
            payload = self._encode(row)
        except SerializationError as error:
            return self._call.refuse(error)
        item = Input(
            input_id=next(self._ids),
            call_id=self._call.call_id,
            index=self._count,
            payload=payload,
            method=self._method,
        )
        # Pickling takes its time.
        if not self._call.add(item):
            return False
        self._send(item)
        self._count += 1
        return True

    def _end(self) -> None:
        self._call.end_inputs(self._count)
        self._send(SessionUp(ends=[InputsEnd(call_id=self._call.call_id, num_inputs=self._count)]))


def fits_at_once(iterables: tuple[Any, ...]) -> bool:
    """Whether all rows can be sent without waiting: some iterable is short, and none runs the user's code."""
    lengths = [len(item) for item in iterables if type(item) in (list, tuple, range, str, bytes, dict, set, frozenset)]
    return len(lengths) == len(iterables) and bool(lengths) and min(lengths) <= MAX_UNANSWERED // 2


def zip_rows(iterables: tuple[Any, ...]) -> Iterator[Row]:
    """Zip iterables; those that are asynchronous are driven by an event loop of this thread's own."""
    if not any(hasattr(item, "__aiter__") for item in iterables):
        yield from zip(*iterables, strict=False)
        return
    import asyncio  # noqa: PLC0415 - start-up cost: only for asynchronous inputs

    with asyncio.Runner() as runner:
        rows = zip_async(iterables)
        try:
            while (row := runner.run(anext(rows, None))) is not None:
                yield row
        finally:
            runner.run(rows.aclose())


async def zip_async(iterables: tuple[Any, ...]) -> Any:
    """Zip asynchronous and other iterables."""
    iterators = [aiter(item) if hasattr(item, "__aiter__") else iter(item) for item in iterables]
    missing = object()
    while True:
        row = []
        for iterator in iterators:
            value = await anext(iterator, missing) if hasattr(iterator, "__anext__") else next(iterator, missing)
            if value is missing:
                return
            row.append(value)
        yield tuple(row)
