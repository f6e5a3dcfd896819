"""What goes wrong, as a status of HTTP and JSON."""

from typing import Any

from wherry_proto.messages import Failure, FailureKind
from wherry_service.api.statuses import status_of
from wherry_service.errors import ServiceError

STATUSES: dict[str, tuple[int, str]] = {
    "INVALID_ARGUMENT": (400, "invalid"),
    "UNAUTHENTICATED": (401, "unauthenticated"),
    "PERMISSION_DENIED": (403, "denied"),
    "NOT_FOUND": (404, "not_found"),
    "ALREADY_EXISTS": (409, "exists"),
    "RESOURCE_EXHAUSTED": (429, "exhausted"),
    "FAILED_PRECONDITION": (503, "unready"),
    "UNKNOWN": (500, "internal"),
    "INTERNAL": (500, "internal"),
}
FAILURES: dict[int, tuple[int, str]] = {
    FailureKind.EXCEPTION: (500, "exception"),
    FailureKind.TIMEOUT: (504, "timeout"),
    FailureKind.CANCELLED: (409, "cancelled"),
    FailureKind.CONTAINER_LOST: (502, "container_lost"),
    FailureKind.OUT_OF_MEMORY: (502, "out_of_memory"),
    FailureKind.STARTUP: (502, "startup"),
    FailureKind.SERIALIZATION: (500, "serialization"),
    FailureKind.NOT_FOUND: (404, "not_found"),
    FailureKind.EXPIRED: (410, "expired"),
    FailureKind.INTERNAL: (500, "internal"),
    FailureKind.EXHAUSTED: (429, "exhausted"),
}
"""By a failure's kind: the status of a call that failed so, and its code."""


class Problem(Exception):
    """An answer that is an error. `code` is one word for programs; `more` is beside it in the error."""

    def __init__(self, status: int, code: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.error = {"status": status, "code": code, "message": message, **more}


def invalid(message: str) -> Problem:
    """Return the error of a request that is wrong itself."""
    return Problem(400, "invalid", message)


def of_error(what: str, error: Exception) -> Problem:
    """Return the error that a handler's refusal, or fault, is; the latter is logged with its stack."""
    if isinstance(error, Problem):
        return error
    name, text = status_of(what, error)
    status, code = STATUSES[name]
    if not isinstance(error, ServiceError):
        # What it was is for the log: it may tell of others' things.
        text = f"the service failed in {what}: its log says why"
    return Problem(status, code, text)


def of_failure(failure: Failure, call_id: str) -> Problem:
    """Return the error of a call that failed: what the function raised, with its traceback, or why it did not run."""
    status, code = FAILURES.get(failure.kind, (500, "internal"))
    return Problem(
        status,
        code,
        failure.message,
        type=failure.type_name.removeprefix("builtins.") or None,
        traceback=failure.traceback.splitlines(),
        call_id=call_id,
    )
