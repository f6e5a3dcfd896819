"""Errors that a request can end in, each with the gRPC status it becomes at the edge (api/edge.py).

ServiceError
├── NotFound
├── InvalidRequest
├── AlreadyExists
├── Exhausted
├── Unready
├── Unauthenticated
└── Denied
"""

import errno
import time
from collections.abc import Callable, Sequence


class ServiceError(Exception):
    """A request could not be done; the message is meant for the person who asked."""


class NotFound(ServiceError):
    """The named object does not exist."""


class InvalidRequest(ServiceError):
    """The request itself is wrong."""


class AlreadyExists(ServiceError):
    """Something of that name is there already."""


class Exhausted(ServiceError):
    """A limit was reached; the same request may work later."""


class Unready(ServiceError):
    """Something the request needs is not in the right state, for example an engine that does not answer."""


class Unauthenticated(ServiceError):
    """Nobody knows who asks."""


class Denied(ServiceError):
    """Who asks may not."""


class Rarely:
    """Says whether something is to be told again: each of a few things once in `every_s` seconds."""

    def __init__(self, every_s: float = 30.0, now: Callable[[], float] = time.monotonic) -> None:
        self._every_s = every_s
        self._now = now
        self._told: dict[str, float] = {}

    def may_tell(self, what: str) -> bool:
        now = self._now()
        if now - self._told.get(what, -self._every_s) < self._every_s:
            return False
        if len(self._told) >= 64:
            self._told.clear()
        self._told[what] = now
        return True


def stack_of(error: BaseException) -> BaseException | None:
    """Return what a log shows the stack of: nothing where the error says by itself what was wrong."""
    if isinstance(error, ServiceError) or (isinstance(error, OSError) and error.errno in _DISK):
        return None
    return error


# What a full, read-only or broken disk says: where in our code it was met tells nothing.
_DISK = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO))


_NAMED = 5  # names that a message lists
# Characters of a name that is compared with others: whoever sends it decides how long it is.
MOST_COMPARED = 128


def near(name: str, names: Sequence[str]) -> str:
    """Return the end of a message that `name` is not there: which of these may have been meant, or which there are."""
    if len(name) > MOST_COMPARED:
        return ""
    import difflib  # noqa: PLC0415 - start-up cost: only for this message

    close = difflib.get_close_matches(name, names, n=3)
    if close:
        return f"; did you mean {', '.join(map(repr, close))}?"
    known = sorted(set(names))
    if not known:
        return ""
    more = f" and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
    return f"; there {'is' if len(known) == 1 else 'are'} {', '.join(map(repr, known[:_NAMED]))}{more}"
