"""Functions with other options, and how those that run scale."""

from __future__ import annotations

from wherry._base.blocking import blocking
from wherry._base.hints import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime, timedelta

    from wherry import types
    from wherry._calling.callee import Callee
    from wherry._calling.stats import FunctionStats
    from wherry._calling.variants import Changes
    from wherry.types import CallRecord, FunctionAutoscalerSettings

F = TypeVar("F")
# Stands for a setting that is not given, where None takes it back. Below all that there are.
_UNCHANGED = -1


class Scaling(Generic[F]):
    """What a handle on a function can do about the function's containers."""

    # Who finds the function.
    callee: Callee

    def with_options(self, **options: Any) -> F:
        """Return the function with other options, in containers of its own; the parameters are `@app.function`'s.

        `secrets`, `volumes`, `network_file_systems` and `mounts` replace those it has, `env` is added. Used again, it
        adds to what it changed before. Raises InvalidError for what can't differ. (reference: Function.with_options)
        """
        from wherry._calling.variants import changes_of  # noqa: PLC0415 - start-up cost: loads the messages

        return self._variant(changes_of(options))

    def with_concurrency(self, *, max_inputs: int, target_inputs: int | None = None) -> F:
        """Return the function with this many inputs at once in a container. (reference: Function.with_concurrency)"""
        from wherry._calling.variants import concurrency  # noqa: PLC0415 - start-up cost: as above

        return self._variant(concurrency(max_inputs, target_inputs))

    def with_batching(self, *, max_batch_size: int, wait_ms: int) -> F:
        """Return the batched function with batches of another size. (reference: Function.with_batching)"""
        from wherry._calling.variants import batching  # noqa: PLC0415 - start-up cost: as above

        return self._variant(batching(max_batch_size, wait_ms))

    def _variant(self, changes: Changes) -> F:
        raise NotImplementedError

    @blocking
    def keep_warm(self, warm_pool_size: int) -> None:
        """Keep this many containers from now on, until the app is published again. (reference: Function.keep_warm)"""
        self._update(warm_pool_size, None, None, None)

    @blocking
    def update_autoscaler(
        self,
        *,
        min_containers: int | None = None,
        max_containers: int | None = None,
        buffer_containers: int | None = None,
        scaledown_window: float | None = None,
    ) -> None:
        """Change how the function scales from now on, until its app is published again; None changes nothing.

        Counts of containers, and seconds. Raises InvalidError out of range. (reference: Function.update_autoscaler)
        """
        self._update(min_containers, max_containers, buffer_containers, scaledown_window)

    def _update(self, *scaling: Any) -> None:
        from wherry._calling.variants import update  # noqa: PLC0415 - start-up cost: loads the messages

        update(self.callee.resolved(), *scaling)

    @property
    def autoscaler(self) -> FunctionAutoscalerManager:
        """How the function scales: shows and changes it. (reference: Function.autoscaler)"""
        return FunctionAutoscalerManager(self)

    @blocking
    def get_current_stats(self) -> FunctionStats:
        """Return how busy the function is at this moment. (reference: Function.get_current_stats)"""
        from wherry._calling.stats import stats_of  # noqa: PLC0415 - start-up cost: only for those who ask

        return stats_of(self.callee.resolved())

    @blocking
    def stats(
        self,
        *,
        since: datetime | timedelta | None = None,
        until: datetime | timedelta | None = None,
        container: str | None = None,
        all_variants: bool = False,
    ) -> types.FunctionStats:
        """Return how calls ended and how long they waited and ran, between two times, in whole minutes.

        By default of the last hour; a `timedelta` is so long ago, a time without a zone is local. `container`: only
        what that one ran ("co-…"). `all_variants`: also what ran with other options or parameters. Of a method: of its
        whole class. Raises InvalidError for what is no interval. (reference: Function.stats)
        """
        from wherry._calling.records import stats_of_calls  # noqa: PLC0415 - start-up cost: as above

        return stats_of_calls(self.callee.resolved(), since, until, container, all_variants)

    @blocking
    def calls(
        self,
        *,
        state: str | Collection[str] | None = None,
        since: datetime | timedelta | None = None,
        until: datetime | timedelta | None = None,
        error: str | None = None,
        limit: int | None = 100,
    ) -> list[CallRecord]:
        """Return what became of the function's calls: an entry for each input, the latest first.

        `state`: only those, as "failed" or ["failed", "timeout"]. `since`, `until`: queued from then on, and before
        then; a `timedelta` is so long ago, a time without a zone is local. `error`: a part of the error's first line,
        in whatever case. `limit`: at most so many; None: all that are kept. Raises InvalidError for a state that there
        is not.
        """
        from wherry._calling.records import calls_of  # noqa: PLC0415 - start-up cost: as above

        return calls_of(self.callee.resolved(), state, since, until, error, limit)


class FunctionAutoscalerManager:
    """How a function scales. (reference: Function.autoscaler)"""

    def __init__(self, function: Scaling[Any]) -> None:
        self._function = function

    @blocking
    def settings(self) -> FunctionAutoscalerSettings:
        """Return how the function scales now. (reference: Function.autoscaler)"""
        from wherry._calling.variants import settings_of  # noqa: PLC0415 - start-up cost: loads the messages

        return settings_of(self._function.callee.resolved())

    @blocking
    def update(
        self,
        *,
        min_containers: int | None = _UNCHANGED,
        max_containers: int | None = _UNCHANGED,
        buffer_containers: int | None = _UNCHANGED,
        scaledown_window: float | None = _UNCHANGED,
    ) -> FunctionAutoscalerSettings:
        """Change how the function scales, by what is given; None is no least, no most, no buffer, the usual window.

        Return what holds now. Raises InvalidError out of range. (reference: Function.autoscaler)
        """
        from wherry._calling.variants import update_server  # noqa: PLC0415 - start-up cost: as above
        from wherry._define.options import DEFAULT_WINDOW_S  # noqa: PLC0415 - start-up cost: as above

        if scaledown_window is None:
            scaledown_window = DEFAULT_WINDOW_S
        given: dict[str, float | None] = {
            "min_containers": min_containers, "max_containers": max_containers,
            "buffer_containers": buffer_containers, "scaledown_window": scaledown_window,
        }  # fmt: skip
        update_server(
            self._function.callee.resolved(), {name: value for name, value in given.items() if value != _UNCHANGED}
        )
        return self.settings()
