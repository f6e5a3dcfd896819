"""What keeps a container from starting for a while, and says nothing of the container."""

from wherry_service.engines.engine import EngineUnreachable
from wherry_service.store.away import DatabaseAway
from wherry_service.store.trouble import is_of_disk


def is_passing(error: BaseException) -> bool:
    """Whether an error, or what it came of, is an engine's or a database's that is away, or a disk's."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, EngineUnreachable | DatabaseAway) or is_of_disk(found):
            return True
        found = found.__cause__
    return False
