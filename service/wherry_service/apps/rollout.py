"""The containers of a new version, until it takes over."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from wherry_proto.messages import Failure, FunctionChangeKind
from wherry_service.apps.app import App, FunctionHost
from wherry_service.apps.change import Change
from wherry_service.apps.serving import Serving
from wherry_service.calls.call import Input
from wherry_service.pools.container import Home
from wherry_service.pools.events import PoolEvents
from wherry_service.pools.pool import Pool
from wherry_service.pools.pools import Pools
from wherry_service.store.apps import FunctionRecord

# Seconds after which to say again what is waited for.
TELL_EVERY_S = 5.0
# Functions whose first container is being started: the engine starts a few at a time, and memory is for those alone.
TRIALS_AT_ONCE = 16
# Seconds after which to look who lacks room.
LOOK_EVERY_S = 0.25
# Containers that stay warm until the version serves though nothing needs them yet: of an app of this many functions,
# each is. Of a larger one the others have shown that they start, and are started again when they are called.
MAX_SPARE = 32

Tell = Callable[[str], None]


class Trial(PoolEvents[Input]):
    """Hears how containers come up that take no inputs yet, and knows whether they are warm."""

    def __init__(self, record: FunctionRecord, tell: Tell, is_needed: bool) -> None:
        self.record = record
        # Whether its containers must be there when the version takes over: as many run now, or are always to run.
        self.is_needed = is_needed
        self._tell = tell
        # None once enough containers are ready; or why none will be.
        self.outcome: asyncio.Future[Failure | None] = asyncio.get_running_loop().create_future()

    def on_warm(self, pool: Home) -> None:
        if not self.outcome.done():
            self.outcome.set_result(None)

    def on_start_failed(self, pool: Home, failure: Failure) -> None:
        if not self.outcome.done():
            self.outcome.set_result(failure)

    def on_notice(self, pool: Home, text: str) -> None:
        self._tell(text)


class Rollout:
    """Starts the containers of a change to an app, beside those that serve or in their place."""

    def __init__(
        self, serving: Serving, pools: Pools[Input], host: FunctionHost, app: App, change: Change, tell: Tell
    ) -> None:
        self._serving = serving
        self._pools = pools
        self._host = host
        self._app = app
        self._change = change
        self._tell = tell
        # Warm, by function.
        self.pools: dict[str, Pool[Input]] = {}
        # Of functions that have shown that they start, whose container may go where others need the room.
        self._spare: list[Pool[Input]] = []
        self._paused: list[Pool[Input]] = []
        # Of classes of which there is no object to be made yet: they only show that the code can be imported.
        self._imports: list[Pool[Input]] = []

    async def pause(self, grace_s: Callable[[FunctionRecord], float]) -> None:
        """Let the containers that are to be replaced end first; what is called meanwhile waits."""
        pausing = []
        for function_id, kind in self._change.kinds.items():
            pool = self._pools.get(function_id)
            if kind == FunctionChangeKind.REPLACED and pool is not None:
                self._paused.append(pool)
                pausing.append(pool.pause(grace_s(self._app.functions[function_id])))
        if pausing:
            self._tell("Waiting until the old version's containers have ended")
        await asyncio.gather(*pausing)

    async def warm(self) -> str:
        """Start what the change needs, some at a time, until it is warm; return why it can't be, or ""."""
        records = deque(record for record in self._change.records if self._is_tried(record))
        total, begun_at = len(records), asyncio.get_running_loop().time()
        if records:
            self._tell(f"Starting containers of {_listed([record.name for record in records])}")
        waiting: dict[asyncio.Future[Failure | None], tuple[Trial, Pool[Input]]] = {}
        while records or waiting:
            while records and len(waiting) < TRIALS_AT_ONCE:
                trial, pool = self._begin(records.popleft())
                waiting[trial.outcome] = trial, pool
            done, _ = await asyncio.wait(waiting, timeout=LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
            for outcome in done:
                (trial, pool), failure = waiting.pop(outcome), outcome.result()
                if failure is None:
                    self._has_started(trial, pool)
                elif trial.record.base_id:
                    # A variant that can't be any more fails those who call it, and nobody else.
                    self._tell(f"{trial.record.name}: a variant does not start: {failure.message}")
                else:
                    return described(trial.record.name, failure)
            lacking = [pool for _, pool in waiting.values() if pool.starts.lacks_capacity]
            if lacking:
                self._make_room()
            now = asyncio.get_running_loop().time()
            if now - begun_at >= TELL_EVERY_S and (records or waiting):
                begun_at = now
                self._say_what_lacks(lacking)
                if total > TRIALS_AT_ONCE:
                    self._tell(f"{total - len(records) - len(waiting)} of {total} functions have started")
        return ""

    async def end_imports(self) -> None:
        """Let go of the containers that only showed that the code can be imported."""
        await asyncio.gather(*(self._pools.retire(pool, 0.0) for pool in self._imports))

    async def abandon(self) -> None:
        """Let the new containers go; what was paused serves on."""
        for pool in self._paused:
            pool.resume()
        await asyncio.gather(*(self._pools.retire(pool, 0.0) for pool in (*self.pools.values(), *self._imports)))

    def _is_tried(self, record: FunctionRecord) -> bool:
        if self._change.kinds.get(record.function_id) not in (FunctionChangeKind.ADDED, FunctionChangeKind.REPLACED):
            return False
        # A variant that has no container is used by nobody at the moment.
        return not record.base_id or self._num_live(record) > 0

    def _num_live(self, record: FunctionRecord) -> int:
        before = self._pools.get(record.function_id)
        return len(before.live()) if before is not None else 0

    def _begin(self, record: FunctionRecord) -> tuple[Trial, Pool[Input]]:
        import_only = record.spec.needs_parameters and record.spec.parameters is None
        plan = self._serving.plan(record, import_only)
        needed = 0 if import_only else max(self._num_live(record), plan.bounds.min_containers)
        trial = Trial(record, self._tell, needed > 0)
        standing = max(1, needed)
        pool = self._host.prepare_function(plan, trial, min(standing, plan.bounds.max_containers or standing))
        if import_only:
            self._imports.append(pool)
        else:
            self.pools[record.function_id] = pool
        return trial, pool

    def _has_started(self, trial: Trial, pool: Pool[Input]) -> None:
        """Keep its containers, or let them go: they have shown what they were to show."""
        if trial.is_needed:
            return
        if pool in self._imports or len(self._spare) >= MAX_SPARE:
            pool.stand_down()
        else:
            self._spare.append(pool)

    def _make_room(self) -> None:
        """Let those go that are not needed yet."""
        for pool in self._spare:
            pool.stand_down()

    def _say_what_lacks(self, lacking: Sequence[Pool[Input]]) -> None:
        for pool in lacking[:3]:
            if not (lack := pool.starts.lack):
                continue
            beside = (
                " beside the version that serves (--strategy recreate needs no room for both)"
                if self._app.deployment is not None
                else ""
            )
            self._tell(f"{pool.plan.name} waits for room{beside}: {lack}")
        if len(lacking) > 3:
            self._tell(f"{len(lacking) - 3} other functions wait for room, too")


def described(name: str, failure: Failure) -> str:
    """Return why a function can't start, for people: the first line says it, the rest where."""
    first, _, rest = failure.message.partition("\n")
    if failure.type_name:
        first = f"{failure.type_name.removeprefix('builtins.')}: {first}"
    # A traceback ends with all of the message.
    detail = failure.traceback.rstrip() or rest
    return f"function {name!r} could not start: {first}" + (f"\n{detail}" if detail else "")


def _listed(names: Sequence[str], most: int = 5) -> str:
    names = list(dict.fromkeys(names))
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
