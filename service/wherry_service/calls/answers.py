"""How inputs end: with a value, or with a failure that says what became of them."""

from wherry_proto.messages import CallKind, Failure, FailureKind, Output, Payload
from wherry_service.calls.call import Input
from wherry_service.calls.journal import Journal
from wherry_service.calls.retry import RetryPolicy
from wherry_service.node.events import ContainerExit
from wherry_service.pools.container import Container

# How an input ends that was not to blame; the last, where its function was closed before its turn came.
_INTERRUPTED = (
    FailureKind.CANCELLED,
    FailureKind.CONTAINER_LOST,
    FailureKind.OUT_OF_MEMORY,
    FailureKind.NOT_FOUND,
)


class Answers:
    """Ends inputs, each once."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._recorder = journal.recorder
        self._keeps_durable = False

    def keep_durable(self) -> None:
        """Leave durable inputs that are interrupted from now on as they are on disk: the next life runs them."""
        self._keeps_durable = True

    def succeed_late(self, item: Input, payload: Payload, num_yields: int) -> None:
        """End an input with a value that its container has brought along from an earlier life."""
        container = item.container
        if not item.done and container is not None:
            self._recorder.succeeded(container, [(item, payload.size)])
        self.succeed(item, payload, num_yields)

    def succeed(self, item: Input, payload: Payload, num_yields: int) -> None:
        """End an input with its value; the records are told of a container's inputs together, by the dispatcher."""
        self._end(
            item,
            Output(
                input_id=item.input_id,
                call_id=item.call_id,
                index=item.index,
                payload=payload,
                num_yields=num_yields,
            ),
        )

    def fail(
        self,
        item: Input,
        failure: Failure,
        num_yields: int = 0,
        container: Container[Input] | None = None,
        error: str = "",
    ) -> None:
        """End an input with a failure; `container` is the one that had it, `error` what may be shown of it."""
        if self._keeps_durable and item.call.durable and not item.is_cancelled and failure.kind in _INTERRUPTED:
            return
        if not item.done:
            self._recorder.failed(item, failure, container or item.container, error)
        self._end(
            item,
            Output(
                input_id=item.input_id,
                call_id=item.call_id,
                index=item.index,
                failure=failure,
                num_yields=num_yields,
            ),
        )

    def _end(self, item: Input, output: Output) -> None:
        if item.done:
            return
        item.done = True
        container, item.container = item.container, None
        self._journal.ended(item, output, container)


def may_retry(item: Input, policy: RetryPolicy, failure: Failure) -> bool:
    """Whether a failed input is tried again."""
    return (
        failure.kind in (FailureKind.EXCEPTION, FailureKind.TIMEOUT)
        and item.retries < policy.max_retries
        and item.call.kind not in (CallKind.GENERATOR, CallKind.WEB)
        and not item.is_cancelled
    )


def no_function(function_id: str) -> Failure:
    """Return the answer to inputs of a function that is not served."""
    message = f"Function {function_id} does not exist, or its app has stopped."
    return Failure(kind=FailureKind.NOT_FOUND, message=message)


def lost(item: Input, container: Container[Input], exit: ContainerExit) -> Failure:
    """Return the answer to an input that ran in a container which ended."""
    times = f" It was run {item.losses} times." if item.losses > 1 else ""
    times += _advice(exit)
    tail = f"\nThe container's last output:\n{exit.log_tail}" if exit.log_tail else ""
    return Failure(
        kind=FailureKind.OUT_OF_MEMORY if exit.oom_killed else FailureKind.CONTAINER_LOST,
        message=f"The container {exit.describe()} while it ran this input.{times}{tail}",
        container_id=container.container_id,
        exit_code=exit.exit_code or 0,
    )


def _advice(exit: ContainerExit) -> str:
    if exit.oom_killed:
        return " Give the function more with memory=…, or let it hold less at a time."
    if exit.exit_code in (128 + 4, 128 + 6, 128 + 7, 128 + 8, 128 + 11):
        return " Native code crashed: the container's last output, below, shows where."
    if not exit.reason and exit.exit_code == 71:
        # `CLOSED` in the runner.
        return (
            " Code in it closed file descriptors of the container's own, above 4095: close only those that you have "
            "opened, or do it in a child process."
        )
    if not exit.reason and exit.exit_code is not None and exit.exit_code < 128:
        return " Something in it ended the whole process (os._exit, or a library): raise an exception instead."
    return ""
