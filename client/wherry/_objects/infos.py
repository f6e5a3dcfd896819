"""What is known of objects that programs share."""

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class DictInfo:
    """A dict's name, and when it was created. `created_by` is None: nobody writes it down. (reference: DictInfo)"""

    name: str | None
    created_at: datetime
    created_by: str | None


@dataclass(frozen=True)
class QueueInfo:
    """A queue's name, and when it was created; as `DictInfo`. (reference: QueueInfo)"""

    name: str | None
    created_at: datetime
    created_by: str | None


@dataclass(frozen=True)
class VolumeInfo:
    """A volume's name, and when it was created; as `DictInfo`. (reference: VolumeInfo)"""

    name: str | None
    created_at: datetime
    created_by: str | None


@dataclass(frozen=True)
class SecretInfo:
    """What is known of a secret: all but its values, of which `keys` has the names. (reference: SecretInfo)

    Times are in UTC; `last_used` and `created_by` may be None.
    """

    name: str | None
    environment_name: str
    created_at: datetime
    created_by: str | None
    last_used: datetime | None
    secret_id: str = ""
    keys: tuple[str, ...] = ()
    updated_at: datetime | None = None


def time_of(milliseconds: int) -> datetime:
    """Return the time, in UTC, that the service tells in milliseconds since 1970."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
