"""Calls of one input: waited for (remote), left alone (spawn), or watched (FunctionCall.get)."""

import threading
from collections.abc import Iterable
from concurrent.futures import Future

from wherry._connection.misfit import Misfit
from wherry.exception import Error, RemoteError, ResourceExhaustedError
from wherry_proto.messages import (
    CallStart,
    CallState,
    CallWatch,
    FailureKind,
    Input,
    InputsEnd,
    Output,
    SessionUp,
    Yield,
)


class _OneInput:
    """What the calls of one input share."""

    takes_outputs = True

    def __init__(self, start: CallStart, first: Input, name: str = "") -> None:
        self.call_id = start.call_id
        # What is called, for errors.
        self.name = name
        self._message = SessionUp(calls=[start], inputs=[first], ends=[InputsEnd(call_id=start.call_id, num_inputs=1)])
        self._input_id = first.input_id

    def offer(self) -> Iterable[SessionUp]:
        return (self._message,)

    def state(self, state: CallState) -> None:
        """Nothing depends on it: only watched calls are told more."""

    def accepted(self, input_id: str) -> None:
        """Nothing depends on it: only spawned inputs are confirmed."""

    def _own(self, outputs: list[Output]) -> Output | None:
        """Return the one output there can be, None for none yet; raise Misfit for those of other inputs."""
        for output in outputs:
            if output.input_id != self._input_id or output.index:
                raise Misfit(f"it is of input {output.input_id[:40]!r}, number {output.index}, not of its own")
        return outputs[0] if outputs else None

    def unconfirmed(self) -> Iterable[str]:
        return ()


class LoneCall(_OneInput):
    """One input, one output: `future` completes with it."""

    def __init__(self, start: CallStart, first: Input, name: str = "") -> None:
        super().__init__(start, first, name)
        self.future: Future[Output] = Future()

    def offer(self) -> Iterable[SessionUp]:
        # Answered, and open only until its value has been read: it is not to run again.
        return () if self.future.done() else super().offer()

    def arrived(self, yields: list[Yield], outputs: list[Output]) -> None:
        if self.future.done():
            return
        if yields or any(output.num_yields for output in outputs):
            raise Misfit("it has values of a generator, and the function is none")
        output = self._own(outputs)
        if output is None:
            return
        if output.payload is None and output.failure is None:
            raise Misfit("it has neither a value nor a failure")
        self.future.set_result(output)

    def fail(self, error: Error) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class SpawnedCall(_OneInput):
    """One durable input: `stored` completes when it is on the service's disk."""

    takes_outputs = False

    def __init__(self, start: CallStart, first: Input, name: str = "") -> None:
        super().__init__(start, first, name)
        self.stored: Future[None] = Future()

    def accepted(self, input_id: str) -> None:
        if not self.stored.done():
            self.stored.set_result(None)

    def unconfirmed(self) -> Iterable[str]:
        return (self._input_id,)

    def arrived(self, yields: list[Yield], outputs: list[Output]) -> None:
        if self.stored.done() or (output := self._own(outputs)) is None:
            return
        failure = output.failure
        if failure is not None and failure.kind == FailureKind.EXHAUSTED:
            self.stored.set_exception(ResourceExhaustedError(failure.message))
        else:
            # An output says as much: the input was there.
            self.stored.set_result(None)

    def fail(self, error: Error) -> None:
        if not self.stored.done():
            self.stored.set_exception(error)


class WatchedCall:
    """A call made elsewhere or earlier. `known` completes with how it stands, each of its outputs as it arrives."""

    takes_outputs = False
    name = ""

    def __init__(self, call_id: str) -> None:
        self.call_id = call_id
        self.known: Future[CallState] = Future()
        self._outputs: dict[int, Future[Output]] = {}
        self._error: Error | None = None
        self._lock = threading.Lock()
        # How many threads wait for it; guarded by the lock of `Watches`.
        self.waiting = 0

    def offer(self) -> Iterable[SessionUp]:
        return (SessionUp(watches=[CallWatch(call_id=self.call_id)]),)

    def arrived(self, yields: list[Yield], outputs: list[Output]) -> None:
        for output in outputs:
            future = self.output(output.index)
            if not future.done():
                future.set_result(output)

    def output(self, index: int) -> Future[Output]:
        """Return what completes with the output of that index."""
        with self._lock:
            future = self._outputs.setdefault(index, Future())
            error = self._error
        if error is not None and not future.done():
            future.set_exception(error)
        return future

    def state(self, state: CallState) -> None:
        if not self.known.done():
            self.known.set_result(state)
        elif not state.known:
            # Known once, and forgotten by a service that has restarted: nothing will come.
            self._fail_outputs(RemoteError(f"the service no longer knows {self.call_id}, after a restart"))

    def _fail_outputs(self, error: Error) -> None:
        with self._lock:
            self._error = error
            waiting = [future for future in self._outputs.values() if not future.done()]
        for future in waiting:
            future.set_exception(error)

    def accepted(self, input_id: str) -> None:
        """Nothing depends on it."""

    def unconfirmed(self) -> Iterable[str]:
        return ()

    def fail(self, error: Error) -> None:
        if not self.known.done():
            self.known.set_exception(error)
        self._fail_outputs(error)


class Watches:
    """The calls that are watched now: one watch serves all threads that wait for the same call."""

    def __init__(self) -> None:
        self._by_id: dict[str, WatchedCall] = {}
        self._lock = threading.Lock()

    def join(self, call_id: str) -> tuple[WatchedCall, bool]:
        """Return the watch of a call, and whether it is new and must be opened."""
        with self._lock:
            watch = self._by_id.get(call_id)
            new = watch is None
            if watch is None:
                watch = self._by_id[call_id] = WatchedCall(call_id)
            watch.waiting += 1
            return watch, new

    def leave(self, watch: WatchedCall) -> bool:
        """Return whether nobody is left, so that the watch must be dropped."""
        with self._lock:
            watch.waiting -= 1
            if watch.waiting:
                return False
            self._by_id.pop(watch.call_id, None)
            return True
