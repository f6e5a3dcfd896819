"""What the service's environment says about schedules."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from wherry_service.errors import Unready

NEWEST = "newest"
NONE = "none"


@dataclass(frozen=True, slots=True)
class ScheduleSettings:
    """How schedules are kept."""

    # What runs of the ticks that were due while the service was down: the newest of each function, or none.
    catch_up: str = NEWEST

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "ScheduleSettings":
        """Read WHERRY_SCHEDULE_CATCH_UP; raise `Unready`, which names it, for nonsense."""
        catch_up = environ.get("WHERRY_SCHEDULE_CATCH_UP", "") or NEWEST
        if catch_up not in (NEWEST, NONE):
            raise Unready(f"WHERRY_SCHEDULE_CATCH_UP is {catch_up!r}: it must be {NEWEST!r} or {NONE!r}")
        return cls(catch_up)
