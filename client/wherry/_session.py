"""The one stream between this process and the service: it carries all calls, and outlives broken connections."""

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from wherry._outbox import Outbox
from wherry._reconnect import Reconnect
from wherry._transport.transport import Outgoing
from wherry._transport.transport import Session as Stream
from wherry.exception import ConnectionError, Error, InternalError, VersionError
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


class Call(Protocol):
    """An open call, as the session sees it. It is told what arrives, on the session's thread: it must not block."""

    call_id: str
    # Whether the service may forget an output as soon as it has arrived here.
    takes_outputs: bool

    def offer(self) -> Iterable[SessionUp]:
        """All that the service needs to know of the call and has not answered: sent anew on each connection."""

    def arrived(self, yields: list[Yield], outputs: list[Output]) -> None: ...
    def accepted(self, input_id: str) -> None: ...
    def state(self, state: CallState) -> None: ...
    def fail(self, error: Error) -> None:
        """The session has ended for good."""


class Listener(Protocol):
    """Who is told what belongs to no call."""

    def log(self, lines: list[LogLine]) -> None: ...
    def notice(self, notice: Notice) -> None: ...


class Session:
    """Sends and receives for all calls of this process."""

    def __init__(
        self, hello: Hello, connect: Callable[[Outgoing], Stream], reconnect: Reconnect, listener: Listener
    ) -> None:
        self._hello = hello
        self._connect = connect
        self._reconnect = reconnect
        self._listener = listener
        self._calls: dict[str, Call] = {}
        self._lock = threading.Lock()
        self._outbox = Outbox(self._expects_more)
        self._stream: Stream | None = None
        self._welcomed = threading.Event()
        self._closing = threading.Event()
        self._error: Error | None = None
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
        self._thread.join(wait_s)
        if self._stream is not None:
            self._stream.cancel()

    # For calls

    def open(self, call: Call) -> None:
        """Put a call on the session: it is offered now and on each new connection until it is dropped."""
        with self._lock:
            if self._error is not None:
                raise self._error
            self._calls[call.call_id] = call
            for message in call.offer():
                self._outbox.put(message)

    def send(self, item: SessionUp | Input) -> None:
        """Send something about an open call whose `offer` would tell it again if the connection broke."""
        # Taken without the lock: should the connection break just now, the new one begins with `offer`.
        self._outbox.put(item)

    def drop(self, call: Call) -> None:
        """Forget a call that has been answered."""
        self._calls.pop(call.call_id, None)

    def cancel(self, call: Call) -> None:
        """Forget a call and tell the service to end it."""
        if self._calls.pop(call.call_id, None) is not None:
            self.cancel_id(call.call_id)

    def cancel_id(self, call_id: str, terminate_containers: bool = False) -> None:
        """Tell the service to end a call."""
        self._outbox.put(SessionUp(cancels=[CallCancel(call_id=call_id, terminate_containers=terminate_containers)]))

    def take(self, input_ids: list[str]) -> None:
        """Tell the service that it may forget these outputs."""
        self._outbox.put(SessionUp(taken=input_ids))

    # The session's thread

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                stream = self._reconnect(self._open_stream, self._closing, awaited=bool(self._calls))
                if stream is not None:
                    self._read(stream)
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
            outbox.put(SessionUp(hello=self._hello))
        stream = self._stream = self._connect(outbox)
        messages = iter(stream)
        try:
            first = next(messages, None)
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
        self._welcomed.set()
        return messages

    def _read(self, messages: Iterator[SessionDown]) -> None:
        try:
            for message in messages:
                self._receive(message)
        except ConnectionError:
            pass  # the loop above connects again, or gives up with a reason

    def _receive(self, message: SessionDown) -> None:
        # Lines come first: they were printed before the outputs that are in the same message.
        if message.logs:
            self._listener.log(message.logs)
        for notice in message.notices:
            self._listener.notice(notice)
        for input_id in message.accepted:
            for call in list(self._calls.values()):
                call.accepted(input_id)
        if message.outputs or message.yields:
            self._deliver(message)
        for state in message.states:
            known = self._calls.get(state.call_id)
            if known is not None:
                known.state(state)

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
        call.arrived(yields, outputs)
        if call.takes_outputs:
            # A blob must stay until it has been read: who reads it acknowledges it.
            self._outbox.take_note([output.input_id for output in outputs if not has_blob(output)])

    def _end(self, error: Error) -> None:
        with self._lock:
            self._error = error
            calls = list(self._calls.values())
            self._calls.clear()
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
