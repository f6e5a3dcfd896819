"""The one stream between this process and the service: it carries all calls, and outlives broken connections."""

import collections
import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from wherry._connection.misfit import misfit_error
from wherry._connection.outbox import Outbox
from wherry._connection.reconnect import Reconnect
from wherry._connection.transport.transport import Outgoing, SessionStream, Unreadable
from wherry.exception import (
    ConnectionError,
    Error,
    InternalError,
    InvalidError,
    RemoteError,
    ResourceExhaustedError,
    VersionError,
)
from wherry_proto.messages import (
    CallCancel,
    CallState,
    Hello,
    Input,
    LogLine,
    Notice,
    Output,
    SessionDown,
    SessionUp,
    Yield,
)

log = logging.getLogger("wherry")

# A connection that ends with an answer that can't be read is replaced so often; then the open calls fail.
MAX_FAULTS = 5
_FIRST_PAUSE_S = 0.01
_LONGEST_PAUSE_S = 5.0


class Call(Protocol):
    """An open call, as the session sees it. It is told what arrives, on the session's thread: it must not block.

    Whatever `arrived`, `accepted` and `state` raise fails this call alone.
    """

    call_id: str
    # What was called, for errors; "" where that is not known.
    name: str
    # Whether the service may forget an output as soon as it has arrived here.
    takes_outputs: bool

    def offer(self) -> Iterable[SessionUp]:
        """All that the service needs to know of the call and has not answered: sent anew on each connection."""

    def arrived(self, yields: list[Yield], outputs: list[Output]) -> None:
        """Values and outputs of the call have come."""

    def accepted(self, input_id: str) -> None:
        """An input is on the service's disk: one that `Session.confirm` was told of."""

    def unconfirmed(self) -> Iterable[str]:
        """The inputs that `Session.confirm` was told of and that are not known to be on the service's disk."""

    def state(self, state: CallState) -> None:
        """How a watched call stands."""

    def fail(self, error: Error) -> None:
        """Nothing more will arrive: the session has ended for good, or what has arrived made no sense."""


class Listener(Protocol):
    """Who is told what belongs to no call."""

    def log(self, lines: list[LogLine]) -> None:
        """Lines that containers printed."""

    def notice(self, notice: Notice) -> None:
        """What the service says of an app."""


# Cancels that are sent again on a new connection: who put them can't know whether they had left.
_KEPT_CANCELS = 256


# large: what one stream has, over all its connections; two threads share it, under one lock
class Session:
    """Sends and receives for all calls of this process."""

    def __init__(
        self, hello: Hello, connect: Callable[[Outgoing], SessionStream], reconnect: Reconnect, listener: Listener
    ) -> None:
        self._hello = hello
        self._connect = connect
        self._reconnect = reconnect
        self._listener = listener
        self._calls: dict[str, Call] = {}
        # Durable inputs that are not known to be on the service's disk, each with its call: one message confirms
        # thousands of them, and thousands of calls may be open.
        self._unconfirmed: dict[str, Call] = {}
        self._cancels: collections.deque[CallCancel] = collections.deque(maxlen=_KEPT_CANCELS)
        self._lock = threading.Lock()
        self._outbox = Outbox(self._expects_more)
        self._stream: SessionStream | None = None
        self._welcomed = threading.Event()
        self._closing = threading.Event()
        self._error: Error | None = None
        # Inputs that have been answered, which is told at the end of a run.
        self.num_answered = 0
        # Connections in a row that ended with a fault and brought no answer.
        self._faults = 0
        # What is said of calls that have failed for it, with the next hello.
        self._given_up = SessionUp()
        self._thread = threading.Thread(target=self._run, name="wherry-session", daemon=True)

    def start(self) -> None:
        """Connect; return when the service has welcomed us. Raises what connecting raises."""
        self._thread.start()
        self._welcomed.wait()
        if self._error is not None:
            raise self._error

    def close(self, wait_s: float = 1.0) -> None:
        """Send what waits, and end the stream."""
        self._closing.set()
        self._outbox.close()
        if self._thread.is_alive():  # not when it was interrupted before it began
            self._thread.join(wait_s)
        if self._stream is not None:
            self._stream.cancel()

    def abandon(self) -> None:
        """After a fork: let go of the parent's connection without a word on it."""
        if self._stream is not None:
            self._stream.abandon()

    # For calls

    def open(self, call: Call) -> None:
        """Put a call on the session: it is offered now and on each new connection until it is dropped."""
        with self._lock:
            if self._error is not None:
                raise self._error
            if self._closing.is_set():
                raise ConnectionError(
                    "the connection to the service is closed, since this program ends: call before its end, "
                    "not from atexit or a daemon thread"
                )
            self._calls[call.call_id] = call
            for message in call.offer():
                self._outbox.put(message)

    def send(self, item: SessionUp | Input) -> None:
        """Send something about an open call whose `offer` would tell it again if the connection broke."""
        # Taken without the lock: should the connection break just now, the new one begins with `offer`.
        self._outbox.put(item)

    def confirm(self, input_id: str, call: Call) -> None:
        """Have the call told, once, when that input of it is on the service's disk. To be said before it is sent."""
        self._unconfirmed[input_id] = call

    def drop(self, call: Call) -> None:
        """Forget a call that has been answered."""
        self._calls.pop(call.call_id, None)
        self._forget_unconfirmed(call)

    def cancel(self, call: Call) -> None:
        """Forget a call and tell the service to end it."""
        if self._calls.pop(call.call_id, None) is not None:
            self.cancel_id(call.call_id)
        self._forget_unconfirmed(call)

    def _forget_unconfirmed(self, call: Call) -> None:
        for input_id in call.unconfirmed():
            self._unconfirmed.pop(input_id, None)

    def cancel_id(self, call_id: str, terminate_containers: bool = False) -> None:
        """Tell the service to end a call."""
        cancel = CallCancel(call_id=call_id, terminate_containers=terminate_containers)
        self._cancels.append(cancel)
        self._outbox.put(SessionUp(cancels=[cancel]))

    def take(self, input_ids: list[str]) -> None:
        """Tell the service that it may forget these outputs."""
        self._outbox.put(SessionUp(taken=input_ids))

    # The session's thread

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                stream = self._reconnect(self._open_stream, self._closing, awaited=bool(self._calls))
                if stream is not None and (fault := self._read(stream)) is not None:
                    self._bear(fault)
        except Error as error:
            self._end(error)
        except Exception as error:  # noqa: BLE001 - a fault of ours must end the calls, not hang them
            fault = InternalError(f"the session broke: {type(error).__name__}: {error}")
            fault.__cause__ = error
            self._end(fault)

    def _open_stream(self) -> Iterator[SessionDown]:
        """Open a stream and offer everything that is unanswered; return it when it has been welcomed."""
        with self._lock:
            self._outbox.close()
            self._outbox = outbox = Outbox(self._expects_more)
            given_up, self._given_up = self._given_up, SessionUp()
            outbox.put(SessionUp(hello=self._hello, taken=given_up.taken, cancels=given_up.cancels))
        stream = self._stream = self._connect(outbox)
        messages = iter(stream)
        try:
            first = next(messages, None)
        except ResourceExhaustedError as error:
            outbox.close()
            if self._welcomed.is_set():
                raise ConnectionError(str(error)) from None  # of many connections some will end
            raise
        except Error:
            outbox.close()
            raise
        if first is None or first.welcome is None:
            outbox.close()
            raise ConnectionError("the service ended the session before it began")
        if first.welcome.protocol != self._hello.protocol:
            outbox.close()
            raise VersionError(
                f"the service speaks protocol {first.welcome.protocol} (wherry {first.welcome.version}), this client "
                f"{self._hello.protocol} (wherry {self._hello.version}): install the same version on both sides"
            )
        with self._lock:
            for call in list(self._calls.values()):
                for message in call.offer():
                    outbox.put(message)
            if self._cancels:
                outbox.put(SessionUp(cancels=list(self._cancels)))
        self._welcomed.set()
        return messages

    def _read(self, messages: Iterator[SessionDown]) -> Error | None:
        """Read until the connection ends; return what was wrong with it, other than that it broke."""
        try:
            for message in messages:
                self._receive(message)
        except ConnectionError:
            pass  # the loop above connects again, or gives up with a reason
        except (Unreadable, InternalError, InvalidError, ResourceExhaustedError) as error:
            return error
        return None

    def _bear(self, fault: Error) -> None:
        """Go on after a connection that ended with a fault: all is offered again, but not for ever.

        What brings it about may be one call's, and come again on every connection. Nobody can tell whose: after some
        attempts all that are open fail, and those that are made later are served.
        """
        self._faults += 1
        if self._stream is not None:
            self._stream.cancel()
        if self._faults > MAX_FAULTS:
            self._give_up_calls(fault)
        elif self._faults == 1:
            log.warning("wherry: the connection to the service is replaced: %s", fault)
        self._closing.wait(min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(self._faults, 16)))

    def _give_up_calls(self, fault: Error) -> None:
        with self._lock:
            calls = list(self._calls.values())
            self._calls.clear()
        for call in calls:
            if call.takes_outputs:
                # The service is to send nothing of it again.
                self._given_up.cancels.append(CallCancel(call_id=call.call_id))
                self._given_up.taken += [item.input_id for message in call.offer() for item in message.inputs]
            times = f"{MAX_FAULTS + 1} times in a row"
            call.fail(RemoteError(f"the service's answers could not be read, {times}; at last: {fault}"))

    def _receive(self, message: SessionDown) -> None:
        # Lines come first: they were printed before the outputs that are in the same message.
        if message.logs:
            self._show(self._listener.log, message.logs)
        for notice in message.notices:
            self._show(self._listener.notice, notice)
        for input_id in message.accepted:
            call = self._unconfirmed.pop(input_id, None)
            if call is not None:
                self._tell(call, call.accepted, input_id)
        if message.outputs or message.yields:
            self._deliver(message)
        for state in message.states:
            known = self._calls.get(state.call_id)
            if known is not None:
                self._tell(known, known.state, state)

    def _show(self, show: Callable[[Any], None], what: Any) -> None:
        try:
            show(what)
        except Exception as error:  # noqa: BLE001 - what a screen can't show, or one that is gone, ends no call
            log.debug("wherry: what a container printed could not be shown: %s", error)

    def _tell(self, call: Call, tell: Callable[..., None], *what: Any) -> bool:
        """Tell a call something; where that makes no sense to it, it fails, and no other. Return whether it did not."""
        try:
            tell(*what)
        except Exception as error:  # noqa: BLE001 - what arrives was made in a container, which may make anything
            # Who waits for it hears this, and then cancels or drops it; if even that fails, nobody waits any more.
            with contextlib.suppress(Exception):
                call.fail(misfit_error(call, error))
                return False
            self.cancel(call) if call.takes_outputs else self.drop(call)
            return False
        return True

    def _deliver(self, message: SessionDown) -> None:
        if len(message.outputs) == 1 and not message.yields:
            output = message.outputs[0]
            self._deliver_to(output.call_id, [], message.outputs)
            return
        by_call: dict[str, tuple[list[Yield], list[Output]]] = {}
        for value in message.yields:
            by_call.setdefault(value.call_id, ([], []))[0].append(value)
        for output in message.outputs:
            by_call.setdefault(output.call_id, ([], []))[1].append(output)
        for call_id, (yields, outputs) in by_call.items():
            self._deliver_to(call_id, yields, outputs)

    def _deliver_to(self, call_id: str, yields: list[Yield], outputs: list[Output]) -> None:
        call = self._calls.get(call_id)
        if call is None:
            # Cancelled, or answered already: nobody waits for it here.
            self._outbox.take_note([output.input_id for output in outputs])
            return
        if outputs:
            self._faults = 0
            self.num_answered += len(outputs)
        if self._unconfirmed and not call.takes_outputs:
            # An answer says as much as a confirmation; an input that is offered again is to be confirmed again.
            for output in outputs:
                if self._unconfirmed.get(output.input_id) is call:
                    del self._unconfirmed[output.input_id]
        fits = self._tell(call, call.arrived, yields, outputs)
        if call.takes_outputs:
            # A blob must stay until it has been read: who reads it acknowledges it.
            self._outbox.take_note([output.input_id for output in outputs if not fits or not has_blob(output)])

    def _end(self, error: Error) -> None:
        with self._lock:
            self._error = error
            calls = list(self._calls.values())
            self._calls.clear()
            self._unconfirmed.clear()
        for call in calls:
            call.fail(error)
        self._welcomed.set()

    def _expects_more(self) -> bool:
        return bool(self._calls)


def has_blob(output: Output) -> bool:
    """Whether the service holds a part of the output that has not come along."""
    if output.payload is not None:
        return bool(output.payload.blob_id)
    return (
        output.failure is not None and output.failure.exception is not None and bool(output.failure.exception.blob_id)
    )
