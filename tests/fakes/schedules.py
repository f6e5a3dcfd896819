"""Schedules on a real database, by a clock that is moved by hand, in a service that can be killed."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import sqlalchemy as sa

from tests.databases import Disk
from tests.fakes.calls import failures_of, recorder_of, unnamed
from tests.fakes.clock import HandClock
from wherry_proto.messages import Failure, FailureKind, FunctionSpec, Output, ScheduleSpec
from wherry_service.calls.call import Input
from wherry_service.calls.journal import Journal
from wherry_service.calls.values import Values
from wherry_service.schedules.schedules import Schedules
from wherry_service.schedules.settings import ScheduleSettings
from wherry_service.store.blobs import BlobStore
from wherry_service.store.calls import CallStore, InputRow
from wherry_service.store.schedules import ScheduleStore
from wherry_service.store.schema import inputs, schedule_runs
from wherry_service.store.yields import YieldStore

APP, FUNCTION = "ap-1", "fu-1"
START_MS = 1_800_000_000_000


class Killed(Exception):
    """The service was killed at this point."""


class FakeHost:
    """Takes inputs and runs none."""

    def __init__(self) -> None:
        self.items: list[Input] = []
        self.is_full = False
        self.kill_next = False

    def gate(self) -> Callable[[Input], Failure | None]:
        full = Failure(kind=FailureKind.EXHAUSTED, message="9 inputs wait already")
        return lambda item: full if self.is_full else None

    def submit(self, items: Iterable[Input]) -> None:
        if self.kill_next:
            raise Killed
        self.items += items


class KillableStore(ScheduleStore):
    """Can be killed before it writes."""

    kill_next = False

    async def take(self, function_id: str, tick_ms: int, row: InputRow | None, error: str, now_ms: int) -> bool:
        if self.kill_next:
            raise Killed
        return await super().take(function_id, tick_ms, row, error, now_ms)


class World:
    """One function of one app, and the service it is scheduled in."""

    def __init__(self, disk: Disk, schedule: ScheduleSpec | None, settings: ScheduleSettings | None = None) -> None:
        self.directory = disk.folder
        self.clock = HandClock(START_MS)
        self.spec = FunctionSpec(name="f", schedule=schedule)
        self.settings = settings or ScheduleSettings()
        self.database = disk.database()
        self._live()

    def _live(self) -> None:
        self.host = FakeHost()
        self.calls = CallStore(self.database, self.clock)
        blobs = BlobStore(self.directory / "blobs")
        values = Values(YieldStore(self.database), blobs)
        self.journal = Journal(self.calls, blobs, values, unnamed, recorder_of(), failures_of(self.database, blobs))
        self.store = KillableStore(self.database)
        self.schedules = Schedules(self.store, self.journal, self.host, self.settings, self.clock)

    async def begin(self) -> None:
        """Serve the app, in a new life or with what it was published with anew."""
        await self.schedules.app_started(APP, [(FUNCTION, self.spec)])

    async def restart(self) -> None:
        self._live()
        await self.begin()

    async def move(self, seconds: float) -> float:
        """Let time pass and the service look; return the seconds until it would look again."""
        self.clock.ms += round(seconds * 1000)
        return await self.schedules.turn()

    async def runs(self) -> list[tuple[int, str]]:
        """Return the ticks that were run, as ms from the start, with the id of the call."""
        query = sa.select(schedule_runs.c.tick_ms, schedule_runs.c.call_id).where(schedule_runs.c.asked == "")
        rows = await self.database.read(lambda connection: connection.execute(query).all())
        return sorted((row.tick_ms - START_MS, row.call_id) for row in rows)

    async def ticks(self) -> list[float]:
        """Return the ticks that were run, in seconds from the start."""
        return [ms / 1000 for ms, _ in await self.runs()]

    async def written(self) -> list[str]:
        """Return the calls that are on disk."""
        query = sa.select(inputs.c.call_id)
        return list(await self.database.read(lambda connection: connection.execute(query).scalars().all()))

    async def finish(self, failure: Failure | None = None) -> None:
        """End what was taken last."""
        item = self.host.items[-1]
        await self.calls.finish_inputs([Output(input_id=item.input_id, call_id=item.call_id, failure=failure)])


def run(
    disk: Disk,
    scenario: Callable[[World], Coroutine[Any, Any, None]],
    schedule: ScheduleSpec | None = None,
    settings: ScheduleSettings | None = None,
) -> None:
    """Run a scenario in a new world; without a schedule, every ten seconds."""

    async def main() -> None:
        world = World(disk, schedule or ScheduleSpec(seconds=10), settings)
        try:
            await world.begin()
            await scenario(world)
        finally:
            world.database.close()

    asyncio.run(main())
