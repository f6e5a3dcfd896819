"""Calls of one input: waited for (remote), left alone (spawn), or watched (FunctionCall.get)."""

from collections.abc import Iterable
from concurrent.futures import Future

from wherry._connection.misfit import Misfit
from wherry.exception import Error, ResourceExhaustedError
from wherry_proto.messages import (
    CallStart,
    CallState,
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
