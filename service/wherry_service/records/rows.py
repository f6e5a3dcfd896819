"""One input's record as it is kept: a plain tuple of texts and numbers, since there are very many."""

from typing import NamedTuple

from wherry_proto.messages import FailureKind, Record, RecordState

# Of an error only the beginning of its first line.
MAX_ERROR = 500

Facts = tuple[str, int, str, int]
"""What the inputs of a call have in common: its id, its CallKind (SCHEDULE for the run of a schedule), the input that
made it, and the version of the app when its first input ended."""

PlainRow = tuple[int, str, Facts, int, str, int, int, str, int, int, int, int, int]
"""A row as it is kept, in the order of `Row`: the garbage collector leaves plain tuples of texts and numbers alone."""


class Row(NamedTuple):
    """One input: `Row._make(plain)` gives names to what a plain row has.

    Rows sort as records are listed. Times are milliseconds since 1970, 0 for none.
    """

    queued_ms: int
    input_id: str
    facts: Facts
    position: int
    method: str
    started_ms: int
    ended_ms: int
    container_id: str
    retries: int
    losses: int
    argument_bytes: int
    result_bytes: int
    # A RecordState.
    state: int


class Attempt(NamedTuple):
    """One time that a container had an input."""

    container_id: str
    started_ms: int
    ended_ms: int
    # A RecordState.
    outcome: int
    error: str


class Subject:
    """A function as records name it; its environment may be renamed."""

    __slots__ = ("app_id", "app_name", "environment", "function_id", "function_name", "has_durable")

    def __init__(self, environment: str, app_id: str, app_name: str, function_id: str, function_name: str) -> None:
        self.environment = environment
        self.app_id = app_id
        self.app_name = app_name
        self.function_id = function_id
        self.function_name = function_name
        # Whether calls of it were spawned, or scheduled.
        self.has_durable = False

    def is_meant(self, environment: str, app: str, function: str) -> bool:
        """Whether it is of that environment, and the function of that name or id, of such an app; "": any."""
        return (
            self.environment == environment
            and app in ("", self.app_id, self.app_name)
            and function in ("", self.function_id, self.function_name)
        )


_STATES = {
    FailureKind.TIMEOUT: RecordState.TIMEOUT,
    FailureKind.CANCELLED: RecordState.CANCELLED,
    FailureKind.CONTAINER_LOST: RecordState.LOST,
    FailureKind.OUT_OF_MEMORY: RecordState.LOST,
    FailureKind.NOT_FOUND: RecordState.REJECTED,
    FailureKind.EXHAUSTED: RecordState.REJECTED,
}


def state_of(kind: int) -> int:
    """Return the RecordState of an input that ended with a failure of that FailureKind."""
    return _STATES.get(kind, RecordState.FAILED)


def first_line(text: str) -> str:
    """Return what a record has of an error."""
    return text.strip().partition("\n")[0][:MAX_ERROR]


def record_of(subject: Subject, row: Row, error: str = "") -> Record:
    """Return a row as it is told."""
    call_id, kind, parent_input_id, version = row.facts
    return Record(
        input_id=row.input_id,
        call_id=call_id,
        index=row.position,
        parent_input_id=parent_input_id,
        environment=subject.environment,
        app_id=subject.app_id,
        app_name=subject.app_name,
        function_id=subject.function_id,
        function_name=subject.function_name,
        method=row.method,
        version=version,
        kind=kind,
        state=row.state,
        queued_ms=row.queued_ms,
        started_ms=row.started_ms,
        ended_ms=row.ended_ms,
        container_id=row.container_id,
        retries=row.retries,
        losses=row.losses,
        argument_bytes=row.argument_bytes,
        result_bytes=row.result_bytes,
        error=error,
    )
