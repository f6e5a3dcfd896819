"""Which status, by gRPC's names, an error becomes at every edge."""

import logging

from wherry_service.errors import (
    AlreadyExists,
    Denied,
    Exhausted,
    InvalidRequest,
    NotFound,
    ServiceError,
    Unauthenticated,
    Unready,
)
from wherry_service.store.trouble import Told, of_disk

log = logging.getLogger(__name__)
_told = Told()

_STATUS: dict[type[ServiceError], str] = {
    NotFound: "NOT_FOUND",
    InvalidRequest: "INVALID_ARGUMENT",
    AlreadyExists: "ALREADY_EXISTS",
    Exhausted: "RESOURCE_EXHAUSTED",
    Unready: "FAILED_PRECONDITION",
    Unauthenticated: "UNAUTHENTICATED",
    Denied: "PERMISSION_DENIED",
}


def status_of(method: str, error: Exception) -> tuple[str, str]:
    """Return status and text for the one who asked; what is a fault of ours is logged with its stack."""
    if isinstance(error, ServiceError):
        return next((code for kind, code in _STATUS.items() if isinstance(error, kind)), "UNKNOWN"), str(error)
    if isinstance(error, OSError) and (told := of_disk(error, "the service keeps its files")) is not None:
        _told.tell(told)
        return status_of(method, told)
    log.error("%s failed", method, exc_info=error)
    return "INTERNAL", f"the service failed in {method}: {type(error).__name__}: {error}; see its log"
