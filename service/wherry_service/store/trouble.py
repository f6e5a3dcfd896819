"""What keeps the service from writing: said in one sentence to whoever asked, and once in a while in its log."""

import errno
import logging
import time
from collections.abc import Callable

from wherry_service.errors import Exhausted, ServiceError, Unready

log = logging.getLogger(__name__)

# Seconds after which the same trouble is told in the log again.
TELL_EVERY_S = 60.0
_SQLITE_FULL, _SQLITE_IOERR, _SQLITE_READONLY, _SQLITE_BUSY, _SQLITE_LOCKED = 13, 10, 8, 5, 6
_REST = "nothing was lost, and what was asked for was not done"


class StorageFull(Exhausted):
    """There is no room on a disk."""


class StorageFailed(Unready):
    """A disk or a database does not take what is to be written."""


def of_disk(error: OSError, what: str) -> ServiceError | None:
    """Return what an error of the host's files means, None for one that is no trouble of its disk.

    `what` says whose disk, for example "the service's files are".
    """
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(f"the disk that {what} on is full: free space on it; {_REST}")
    if error.errno == errno.EROFS:
        return StorageFailed(f"the disk that {what} on can only be read: mount it for writing; {_REST}")
    if error.errno == errno.EIO:
        return StorageFailed(f"the disk that {what} on does not work (input/output error): look at it; {_REST}")
    return None


def is_of_disk(error: BaseException) -> bool:
    """Whether an error is the host's disk's, which may take what is written later."""
    if isinstance(error, OSError):
        return of_disk(error, "") is not None
    return isinstance(error, StorageFull | StorageFailed)


def in_words(error: BaseException) -> str:
    """Return what an error says; where the disk of the service's files is the trouble, as a sentence without a path."""
    told = of_disk(error, "the service keeps its files") if isinstance(error, OSError) else None
    return str(told or error)


def of_sqlite(code: int | None, is_full: Callable[[], bool]) -> ServiceError | None:
    """Return what one of SQLite's error codes means, None for one that is a fault of ours.

    `is_full` tells whether its disk has no room: SQLite calls that an input/output error now and then.
    """
    disk = "the service's database is"
    primary = code & 0xFF if code is not None else None
    if primary == _SQLITE_FULL or (primary == _SQLITE_IOERR and is_full()):
        return of_disk(OSError(errno.ENOSPC, ""), disk)
    if primary == _SQLITE_READONLY:
        return of_disk(OSError(errno.EROFS, ""), disk)
    if primary == _SQLITE_IOERR:
        return of_disk(OSError(errno.EIO, ""), disk)
    if primary in (_SQLITE_BUSY, _SQLITE_LOCKED):
        return StorageFailed(f"another program has locked the service's database for long: end it; {_REST}")
    return None


def of_postgres(state: str | None) -> ServiceError | None:
    """Return what one of PostgreSQL's states means, None for one that is a fault of ours."""
    if state == "53100":
        return StorageFull(f"the disk of the database's server is full: free space on it; {_REST}")
    if state == "58030":
        return StorageFailed(f"the disk of the database's server does not work (input/output error); {_REST}")
    return None


class Told:
    """Tells each trouble in the log at once, and then once in a while, whatever fails for it meanwhile."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._at: dict[type[ServiceError], float] = {}

    def tell(self, error: ServiceError) -> None:
        now = self._now()
        if now - self._at.get(type(error), float("-inf")) >= TELL_EVERY_S:
            self._at[type(error)] = now
            log.error("%s", error)
