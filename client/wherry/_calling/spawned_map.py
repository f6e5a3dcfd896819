"""A durable call of many inputs: open until all of them are on the service's disk."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future

from wherry._calling.refusals import Refusals, is_refusal
from wherry._connection.outbox import MESSAGE_BYTES
from wherry.exception import SerializationError
from wherry_proto.messages import CallStart, CallState, Input, InputsEnd, Output, SessionUp, Yield

# Inputs sent and not yet on disk.
MAX_UNSTORED = 4096


class SpawnedMap:
    """Keeps the inputs that are not on disk; `stored` completes when all are."""

    takes_outputs = False

    def __init__(
        self,
        start: CallStart,
        send: Callable[[Input], None],
        confirm: Callable[[str, "SpawnedMap"], None],
        name: str = "",
    ) -> None:
        self.call_id = start.call_id
        # What is called, for errors.
        self.name = name
        # Has `accepted` called for an input.
        self._confirm = confirm
        self._send = send
        self._refusals = Refusals(self._offer_again, self._may_feed_again)
        self.stored: Future[None] = Future()
        self._start = start
        self._unstored: dict[str, Input] = {}
        self.num_inputs: int | None = None
        self._changed = threading.Condition()

    # The session's side

    def offer(self) -> Iterable[SessionUp]:
        with self._changed:
            inputs, ended = list(self._unstored.values()), self.num_inputs
        message, size = SessionUp(calls=[self._start]), 0
        for item in inputs:
            message.inputs.append(item)
            size += len(item.payload.data) if item.payload is not None else 0
            if size > MESSAGE_BYTES:
                yield message
                message, size = SessionUp(), 0
        if ended is not None:
            message.ends = [InputsEnd(call_id=self.call_id, num_inputs=ended)]
        yield message

    def accepted(self, input_id: str) -> None:
        with self._changed:
            if self._unstored.pop(input_id, None) is not None:
                self._refusals.answered()
                self._changed.notify_all()
                self._complete()

    def unconfirmed(self) -> Iterable[str]:
        with self._changed:
            return list(self._unstored)

    def arrived(self, yields: list[Yield], outputs: list[Output]) -> None:
        for output in outputs:
            if not is_refusal(output):
                self.accepted(output.input_id)
            elif (item := self._unstored.get(output.input_id)) is not None:
                self._refusals.add(item)

    def state(self, state: CallState) -> None:
        """Nothing depends on it: only watched calls are told more."""

    def fail(self, error: BaseException) -> None:
        """End it with an error: the session's, or one of the input iterator."""
        self._refusals.close()
        with self._changed:
            if not self.stored.done():
                self.stored.set_exception(error)
            self._changed.notify_all()

    # The feeder's side

    def add(self, item: Input) -> bool:
        """Note a row that is about to be sent; return whether it is wanted still."""
        with self._changed:
            if self.stored.done():
                return False
            self._unstored[item.input_id] = item
        self._confirm(item.input_id, self)
        return True

    def refuse(self, error: SerializationError) -> bool:
        """Raise why a row could not be sent: nobody would hear of it later."""
        raise error  # nobody would hear of the one, later

    def _offer_again(self, item: Input) -> None:
        self._confirm(item.input_id, self)
        self._send(item)

    def _may_feed_again(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def wait_for_room(self) -> bool:
        """Wait until another input may be sent; return False when none is wanted any more."""
        with self._changed:
            while (len(self._unstored) >= MAX_UNSTORED or self._refusals.pending) and not self.stored.done():
                self._changed.wait()
            return not self.stored.done()

    def end_inputs(self, num_inputs: int) -> None:
        """Note how many rows there are in all."""
        with self._changed:
            self.num_inputs = num_inputs
            self._complete()

    def _complete(self) -> None:
        if self.num_inputs is not None and not self._unstored and not self.stored.done():
            self.stored.set_result(None)
