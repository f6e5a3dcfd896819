"""How busy a function is."""

from __future__ import annotations

from wherry._base.hints import TYPE_CHECKING

if TYPE_CHECKING:
    from wherry._calling.caller import Caller


class FunctionStats:
    """How busy a function is: inputs that wait, containers that work, containers in all. (reference: FunctionStats)"""

    __slots__ = ("backlog", "num_active_runners", "num_total_runners")

    def __init__(self, backlog: int, num_active_runners: int, num_total_runners: int) -> None:
        self.backlog = backlog
        self.num_active_runners = num_active_runners
        self.num_total_runners = num_total_runners

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FunctionStats):
            return NotImplemented
        return repr(self) == repr(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return (
            f"FunctionStats(backlog={self.backlog}, num_active_runners={self.num_active_runners}, "
            f"num_total_runners={self.num_total_runners})"
        )


def stats_of(caller: Caller) -> FunctionStats:
    """Return how busy a function is at this moment."""
    from wherry_proto.messages import FunctionStats as Message  # noqa: PLC0415 - start-up cost: not needed to import wherry
    from wherry_proto.messages import FunctionStatsRequest  # noqa: PLC0415 - start-up cost: as above

    stats = caller.client.call("Functions.Stats", FunctionStatsRequest(function_id=caller.function_id), Message)
    return FunctionStats(stats.backlog, stats.num_active_containers, stats.num_total_containers)
