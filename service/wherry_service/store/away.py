"""Why a database can't be used just now."""

import contextlib
import logging
from collections.abc import Iterator

from wherry_service.errors import Unready
from wherry_service.store.trouble import StorageFailed, StorageFull

log = logging.getLogger(__name__)


class DatabaseAway(Unready):
    """The database does not answer."""


class DatabaseTaken(DatabaseAway):
    """Another service works on the database."""


@contextlib.contextmanager
def left_for_later() -> Iterator[None]:
    """Leave what the database could not be asked for: it is done again later."""
    try:
        yield
    except (DatabaseAway, StorageFull, StorageFailed) as error:
        log.warning("what is to be done again was left for later: %s", error)
