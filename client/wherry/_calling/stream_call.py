"""Calls of many inputs or many values: map and generators."""

import threading
from collections.abc import Callable, Iterable
from typing import Any

from wherry._calling.refusals import Refusals, is_refusal
from wherry._connection.misfit import Misfit
from wherry._connection.outbox import MESSAGE_BYTES
from wherry._connection.session import has_blob
from wherry.exception import InternalError, SerializationError
from wherry_proto.messages import (
    CallStart,
    CallState,
    Failure,
    FailureKind,
    Input,
    InputsEnd,
    Output,
    SessionUp,
    Yield,
    YieldsTaken,
)

# Inputs sent and not answered, and their inline bytes.
MAX_UNANSWERED = 2048
MAX_UNANSWERED_BYTES = 64 << 20
# Results arrived and not consumed: bytes, with an allowance for each object.
MAX_ARRIVED_BYTES = 64 << 20
_OBJECT_BYTES = 512

Event = Yield | Output


# large: what is sent and what has arrived are one state, under one lock, which feeder, session and consumer share
class StreamCall:
    """An open map or generator call: keeps what is unanswered, and gathers what arrives until it is consumed.

    Two threads meet here beside the session's: one feeds inputs and waits for room, one consumes events.
    """

    takes_outputs = True

    def __init__(self, start: CallStart, name: str = "", *, yields: bool = True) -> None:
        self.call_id = start.call_id
        # What is called, for errors; and whether it is a generator.
        self.name = name
        self._yields = yields
        self._start = start
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._news = threading.Condition(self._lock)
        self._on_news: Callable[[], None] | None = None
        self._unanswered: dict[str, Input] = {}
        self._unanswered_bytes = 0
        self._arrived: list[Event] = []
        self._arrived_bytes = 0
        self._next_yield: dict[str, int] = {}
        self._num_sent = 0
        # Rows that could not be sent.
        self._refused: list[int] = []
        self.num_inputs: int | None = None
        # Inputs that the service had no room for, to be offered again; None: refusals are answers like others.
        self._refusals: Refusals | None = None
        # Why there will be no more events: the session's end, or an error of the input iterator.
        self._error: BaseException | None = None
        self._closed = False

    # The session's side

    def offer(self) -> Iterable[SessionUp]:
        with self._lock:
            inputs = list(self._unanswered.values())
            ended = self.num_inputs
            # A generator that begins anew runs on past these without waiting for us.
            taken = [YieldsTaken(input_id=input_id, index=index) for input_id, index in self._next_yield.items()]
        message = SessionUp(calls=[self._start])
        size = 0
        for item in inputs:
            message.inputs.append(item)
            size += _size(item)
            if size > MESSAGE_BYTES:
                yield message
                message, size = SessionUp(), 0
        if ended is not None:
            message.ends = [InputsEnd(call_id=self.call_id, num_inputs=ended)]
        message.yields_taken = taken
        yield message

    def arrived(self, yields: list[Yield], outputs: list[Output]) -> None:
        if not self._yields and (yields or any(output.num_yields for output in outputs)):
            raise Misfit("it has values of a generator, and the function is none")
        with self._lock:
            for value in yields:
                self._arrived_yield(value)
            unanswered = self._unanswered
            for output in outputs:
                if self._error is not None:
                    break  # what comes after a gap, or after the end, is nobody's
                if self._refusals is not None and is_refusal(output):
                    if (item := unanswered.get(output.input_id)) is not None:
                        self._refusals.add(item)
                    continue
                item = unanswered.get(output.input_id)
                if item is None:
                    continue  # delivered twice
                if output.index != item.index:
                    raise Misfit(f"input {item.index} is answered as number {output.index}")
                del unanswered[output.input_id]
                self._unanswered_bytes -= _size(item)
                if self._refusals is not None:
                    self._refusals.answered()
                seen = self._next_yield.pop(output.input_id, 0)
                if seen < output.num_yields:
                    # It would look as if the generator had ended here.
                    self._error = _gap(seen, output.num_yields)
                    break
                output.index = self._row_of(output.index)
                self._arrived.append(output)
                self._arrived_bytes += _event_size(output)
            self._notify()
            if self._has_room_again():
                self._room.notify_all()

    def accepted(self, input_id: str) -> None:
        """Nothing depends on it: these inputs are not durable."""

    def unconfirmed(self) -> Iterable[str]:
        return ()

    def state(self, state: CallState) -> None:
        """Nothing depends on it: this call is not watched."""

    def fail(self, error: BaseException) -> None:
        """End the events with an error, after those that have arrived."""
        with self._lock:
            if self._error is None:
                self._error = error
            self._notify()
            self._room.notify_all()

    # The feeder's side

    def offer_again_by(self, send: Callable[[Input], None]) -> None:
        """Offer inputs that the service has no room for again, later, instead of failing with them."""
        self._refusals = Refusals(send, self._may_feed_again)

    def _may_feed_again(self) -> None:
        with self._lock:
            self._room.notify_all()

    def add(self, item: Input) -> bool:
        """Note an input that is about to be sent; return False where none is wanted any more."""
        with self._lock:
            if self._closed or self._error is not None:
                return False
            self._unanswered[item.input_id] = item
            self._unanswered_bytes += _size(item)
            self._num_sent += 1
            return True

    def refuse(self, error: SerializationError) -> bool:
        """Let a row that can't be sent be answered by its error; return whether more are wanted."""
        with self._lock:
            if self._closed or self._error is not None:
                return False
            row = self._num_sent + len(self._refused)
            self._refused.append(row)
            failure = Failure(kind=FailureKind.SERIALIZATION, message=str(error))
            output = Output(call_id=self.call_id, index=row, failure=failure)
            self._arrived.append(output)
            self._arrived_bytes += _event_size(output)
            self._notify()
            return True

    def _row_of(self, index: int) -> int:
        """Return which row an input is of: those that were refused have no inputs."""
        for row in self._refused:
            if row > index:
                break
            index += 1
        return index

    def wait_for_room(self) -> bool:
        """Wait until another input may be sent; return False when none is wanted any more."""
        if self._closed or self._error is not None:
            return False
        if self._has_room():
            return True
        with self._lock:
            while not self._has_room_again() and not self._closed and self._error is None:
                self._room.wait()
        return not self._closed and self._error is None

    def end_inputs(self, num_inputs: int) -> None:
        """Note that these were all."""
        with self._lock:
            self.num_inputs = num_inputs
            self._notify()

    # The consumer's side

    def take(self) -> list[Event]:
        """Wait for events and return them all; an empty list says that the inputs have ended. Raises `fail`'s error."""
        with self._lock:
            while not (events := self._take()) and not self._over():
                self._news.wait()
            return events

    def take_now(self, on_news: Callable[[], None]) -> tuple[list[Event], bool]:
        """Return the events there are, and whether `on_news` will be called (by another thread) when there are more."""
        with self._lock:
            events = self._take()
            waiting = not events and not self._over()
            self._on_news = on_news if waiting else None
            return events, waiting

    def close(self) -> None:
        """Let the feeder end: nobody consumes any more."""
        with self._lock:
            self._closed = True
            if self._refusals is not None:
                self._refusals.close()
            self._unanswered.clear()
            self._arrived.clear()
            self._room.notify_all()
            self._notify()

    def _take(self) -> list[Event]:
        events = self._arrived
        if not events:
            if self._error is not None:
                raise self._error
            return events
        self._arrived = []
        self._arrived_bytes = 0
        self._room.notify_all()
        return events

    def _over(self) -> bool:
        return self._closed or (self.num_inputs is not None and not self._unanswered)

    def _arrived_yield(self, value: Yield) -> None:
        expected = self._next_yield.get(value.input_id, 0)
        if self._error is not None or value.index < expected or value.input_id not in self._unanswered:
            return  # after a gap, delivered twice, or answered
        if value.index > expected:
            self._error = _gap(expected, value.index)
            return
        self._next_yield[value.input_id] = expected + 1
        self._arrived.append(value)
        self._arrived_bytes += _event_size(value)

    def _notify(self) -> None:
        self._news.notify_all()
        if self._on_news is not None:
            on_news, self._on_news = self._on_news, None
            on_news()

    def _has_room(self) -> bool:
        return (
            len(self._unanswered) < MAX_UNANSWERED
            and self._unanswered_bytes < MAX_UNANSWERED_BYTES
            and self._arrived_bytes < MAX_ARRIVED_BYTES
            and not (self._refusals is not None and self._refusals.pending)
        )

    def _has_room_again(self) -> bool:
        # Below three quarters, so that a feeder that has waited sends many at once.
        return (
            len(self._unanswered) <= MAX_UNANSWERED * 3 // 4
            and self._unanswered_bytes < MAX_UNANSWERED_BYTES
            and self._arrived_bytes < MAX_ARRIVED_BYTES
            and not (self._refusals is not None and self._refusals.pending)
        )


class YieldAcks:
    """Tells the generator how far its caller has come: after every 128 values or 2 MiB."""

    def __init__(self, send: Callable[[SessionUp], None]) -> None:
        self._send = send
        self._pending: dict[str, tuple[int, int, int]] = {}

    def consumed(self, value: Yield) -> None:
        """Note that a value of a generator has been handed out; tell the service of many at once."""
        count, size, _ = self._pending.get(value.input_id, (0, 0, 0))
        # The generator's window counts what it has yielded, in whatever way that travelled.
        count, size = count + 1, size + (value.payload.size if value.payload is not None else 0)
        if count >= 128 or size >= 2 << 20:
            self._pending.pop(value.input_id, None)
            self._send(SessionUp(yields_taken=[YieldsTaken(input_id=value.input_id, index=value.index + 1)]))
        else:
            self._pending[value.input_id] = (count, size, value.index + 1)

    def ended(self, output: Output) -> None:
        """Note that a generator has ended: nothing of it is told any more."""
        self._pending.pop(output.input_id, None)


def blob_to_take(event: Event) -> list[str]:
    """Return the id to acknowledge once an event's blob has been read, if it has one."""
    if isinstance(event, Output) and has_blob(event):
        return [event.input_id]
    return []


def _gap(first: int, end: int) -> InternalError:
    """Return what is raised instead of the values from `first` on, those before `end` being lost."""
    lost = f"value {first}" if end == first + 1 else f"values {first} to {end - 1}"
    return InternalError(f"{lost} of the generator did not arrive, so it ends here: this is a fault of Wherry's")


def _size(item: Input) -> int:
    return len(item.payload.data) if item.payload is not None else 0


def _event_size(event: Any) -> int:
    """Return the memory that an event takes here: a blob is read when its value is handed out."""
    return _OBJECT_BYTES + (len(event.payload.data) if event.payload is not None else 0)
