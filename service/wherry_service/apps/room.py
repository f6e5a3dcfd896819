"""Whether the host can ever carry what an app's functions ask for: said before anything begins."""

from collections.abc import Callable, Sequence

from wherry_proto.messages import FunctionChangeKind
from wherry_service.apps.change import Change
from wherry_service.calls.call import Input
from wherry_service.errors import InvalidRequest
from wherry_service.pools.capacity import Capacity
from wherry_service.pools.plan import PoolPlan
from wherry_service.pools.pools import Pools
from wherry_service.store.apps import FunctionRecord

Plan = Callable[[FunctionRecord, bool], PoolPlan]
"""By what a function's containers would be made; those that only import its code, where that is true."""


def expect_room(app: str, change: Change, plan: Plan, pools: Pools[Input], is_beside: bool = False) -> None:
    """Raise `InvalidRequest` where the containers that a change of an app wants can never fit the host.

    `is_beside`: those that it replaces are there until others have started.
    """
    own = {record.function_id for record in (*change.records, *change.removed)}
    plans = {
        record.function_id: plan(record, record.spec.needs_parameters and record.spec.parameters is None)
        for record in change.records
    }
    fresh = [
        function_id
        for function_id, kind in change.kinds.items()
        if kind in (FunctionChangeKind.ADDED, FunctionChangeKind.REPLACED)
    ]
    others = [pool.plan for pool in pools if not pool.closed and pool.plan.function_id not in own]
    known = [pool.plan for function_id in fresh if (pool := pools.get(function_id)) is not None]
    changed = [plans[function_id] for function_id in fresh]
    check_room(app, list(plans.values()), others, known if is_beside else [], changed, pools.capacity)


def check_room(
    app: str,
    plans: Sequence[PoolPlan],
    others: Sequence[PoolPlan],
    replaced: Sequence[PoolPlan],
    changed: Sequence[PoolPlan],
    capacity: Capacity,
) -> None:
    """Raise `InvalidRequest`, with the sums, where the containers that are always to run do not fit the host together.

    `plans` are what the app is to be, `others` those of other apps. Of a deploy beside the version that serves,
    `replaced` are its plans that have others in their place, once one container of each of `changed` has started.
    """
    for plan in plans:
        if not capacity.could_ever_fit(plan.share):
            raise InvalidRequest(
                f"{app}: a container of function {plan.name!r} needs {plan.share}, and this host has {capacity} for "
                "containers: ask for less"
            )
    beside = f", beside {_memory(others)} MiB of other apps' min_containers" if _memory(others) else ""
    if _memory(plans) + _memory(others) > capacity.memory_mib:
        raise InvalidRequest(
            f"{app} does not fit this host: its min_containers need {_memory(plans)} MiB together{beside} "
            f"({_sums(plans)}), and there are {capacity.memory_mib} MiB for containers: lower min_containers or memory="
        )
    if _cores(plans) + _cores(others) > capacity.cpu + 1e-9:
        raise InvalidRequest(
            f"{app} does not fit this host: its min_containers set {_cores(plans):g} cores aside together "
            f"(other apps' {_cores(others):g}), and there are {capacity.cpu:g}: lower min_containers or cpu="
        )
    largest = max((plan.share.memory_mib for plan in changed), default=0)
    if _memory(replaced) and _memory(replaced) + _memory(others) + largest > capacity.memory_mib:
        raise InvalidRequest(
            f"{app}: the version that serves keeps {_memory(replaced)} MiB by its min_containers{beside}, so of the "
            f"{capacity.memory_mib} MiB for containers no {largest} MiB are left for one of the new version: "
            "deploy with --strategy recreate, which ends the old containers first"
        )


def _memory(plans: Sequence[PoolPlan]) -> int:
    return sum(plan.bounds.min_containers * plan.share.memory_mib for plan in plans)


def _cores(plans: Sequence[PoolPlan]) -> float:
    return sum(plan.bounds.min_containers * plan.share.cpu for plan in plans)


def _sums(plans: Sequence[PoolPlan], most: int = 5) -> str:
    """Return what the largest sums are made of."""
    wanting = [plan for plan in plans if plan.bounds.min_containers]
    wanting.sort(key=lambda plan: plan.bounds.min_containers * plan.share.memory_mib, reverse=True)
    parts = [f"{plan.name}: {plan.bounds.min_containers} × {plan.share.memory_mib} MiB" for plan in wanting[:most]]
    more = f", and {len(wanting) - most} other functions" if len(wanting) > most else ""
    return ", ".join(parts) + more
