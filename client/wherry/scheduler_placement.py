"""Where a cloud's scheduler puts containers."""

from __future__ import annotations

from collections.abc import Sequence


class SchedulerPlacement:
    """Accepted, and without effect: containers run where the service runs. (reference: SchedulerPlacement)"""

    def __init__(
        self,
        region: str | Sequence[str] | None = None,
        zone: str | None = None,
        spot: bool | None = None,
        instance_type: str | Sequence[str] | None = None,
    ) -> None:
        self.region = region
        self.zone = zone
        self.spot = spot
        self.instance_type = instance_type
