"""The protocol of a queue's loans, checked by trying every order of commits, cuts, failures and restarts.

The rules (docs/internals/leases.md): what was put and acknowledged is given to one getter that hears it is its own, or
is still in the queue; nobody waits for ever.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import sqlalchemy as sa

from tests.explore import explore, go_well, settle
from tests.fakes.gated_database import GatedDatabase, WriteFailed
from wherry_proto.messages import Format, Payload
from wherry_service.objects.partition import Getter
from wherry_service.objects.queues import Queues
from wherry_service.store.queues import QueueStore
from wherry_service.store.schema import answers, queue_items, queue_partitions

QUEUE = "qu-1"


class Registry:
    """Knows one queue."""

    def __init__(self) -> None:
        self.on_gone: list[Callable[[str], None]] = []

    async def get(self, kind: str, object_id: str) -> None:
        """Find it."""


class Leftovers:
    """Keeps nothing: the values here are small."""

    async def own(self, values: Any) -> list[str]:
        return []

    def drop(self, blob_ids: Any) -> None:
        """Nothing is there."""

    def add(self, blob_ids: Any) -> None:
        """Nothing is there."""


class Putter:
    """Puts one item, and asks again under the same id until it is answered, as the SDK does."""

    def __init__(self, world: "QueueWorld", name: str) -> None:
        self.world = world
        self.name = name
        self.task: asyncio.Task[Any] | None = None
        self.is_answered = False

    def ask(self) -> None:
        value = Payload(format=Format.PICKLE, data=self.name.encode(), size=1)
        self.task = self.world.begin(self.world.queues.put(QUEUE, f"op-{self.name}", "", [value], 0.0, 0.0))
        self.task.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Task[Any]) -> None:
        if task is self.task and not task.cancelled() and task.exception() is None:
            self.is_answered = True


class Consumer:
    """Gets one item: asks, is lent, says that it has it, and hears whether it is its own. All again after a cut."""

    def __init__(self, world: "QueueWorld", name: str) -> None:
        self.world = world
        self.name = name
        self.attempt = 0
        self.getting: asyncio.Task[Any] | None = None
        self.loan: tuple[Getter, list[Payload]] | None = None
        self.acknowledging: asyncio.Task[Any] | None = None
        self.had: list[str] = []
        self.positions: list[int] = []

    @property
    def lease_id(self) -> str:
        return f"op-{self.name}-{self.attempt}"

    def ask(self) -> None:
        self.attempt += 1
        self.loan = self.acknowledging = None
        self.getting = self.world.begin(self.world.queues.get(QUEUE, self.lease_id, "", 1, None))
        self.getting.add_done_callback(self._lent)

    def _lent(self, task: asyncio.Task[Any]) -> None:
        if task is self.getting and not task.cancelled() and task.exception() is None:
            self.loan = task.result()
            # As they are in the message: the client hears of no later change.
            self.positions = [item.position for item in task.result()[0].items]

    def acknowledge(self) -> None:
        """Say that the items are here; said again, on another connection, where the answer did not come."""
        assert self.loan is not None
        positions = self.positions
        self.acknowledging = self.world.begin(self.world.queues.acknowledge(QUEUE, self.lease_id, "", positions))
        self.acknowledging.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Task[Any]) -> None:
        if task is not self.acknowledging or task.cancelled() or self.loan is None:
            return
        if task.exception() is not None:
            return  # it failed: it is said again
        if task.result():
            self.had += [value.data.decode() for value in self.loan[1]]
            self.loan = self.getting = None
        else:
            self.ask()

    def cut(self) -> None:
        """Lose the connection: the service sees the get's end, and no answer arrives any more."""
        if self.loan is not None:
            self.world.queues.give_back(QUEUE, "", self.loan[0])
        if self.acknowledging is not None:
            # The request is the service's own by now; only its answer is lost.
            asked, self.acknowledging = self.acknowledging, None
            asked.cancel()
        elif self.loan is None and self.getting is not None:
            getting, self.getting = self.getting, None
            getting.cancel()
            self.attempt += 1
            self.ask()


class QueueWorld:
    """One item or two, one consumer or two, one queue, and a disk that commits when it is told to."""

    def __init__(self, database: GatedDatabase, items: int, consumers: int, failures: int, restarts: int) -> None:
        self.database = database
        database.empty(queue_items, queue_partitions, answers)
        database.lose()
        self.failures = failures
        self.restarts = restarts
        self.cuts = 2
        self.now = 1_700_000_000.0
        self.tasks: list[asyncio.Task[Any]] = []
        self.begin_life()
        self.putters = [Putter(self, f"item{n}") for n in range(items)]
        self.consumers = [Consumer(self, f"c{n}") for n in range(consumers)]
        for consumer in self.consumers:
            consumer.ask()
        for putter in self.putters:
            putter.ask()

    def begin_life(self) -> None:
        self.now += 1.0
        self.queues = Queues(QueueStore(self.database), Registry(), Leftovers(), lambda: self.now)  # type: ignore[arg-type]

    def begin(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.ensure_future(work)
        self.tasks.append(task)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task

    def enabled(self) -> list[str]:
        steps: list[str] = []
        if len(self.database):
            steps.append("commit")
            if self.failures:
                steps.append("fail")
        for consumer in self.consumers:
            has_items = consumer.loan is not None and consumer.loan[1]
            if has_items and (consumer.acknowledging is None or consumer.acknowledging.done()):
                steps.append(f"{consumer.name} acknowledges")
            if self.cuts and consumer.loan is not None:
                steps.append(f"{consumer.name} is cut")
        for putter in self.putters:
            if not putter.is_answered and putter.task is not None and putter.task.done():
                steps.append(f"{putter.name} is put again")
        if self.restarts:
            steps.append("restart")
        return steps

    def do(self, step: str) -> None:
        name, _, verb = step.partition(" ")
        if step == "commit":
            self.database.commit()
        elif step == "fail":
            self.failures -= 1
            self.database.fail()
        elif step == "restart":
            self.restarts -= 1
            self.restart()
        elif verb == "is put again":
            next(putter for putter in self.putters if putter.name == name).ask()
        else:
            consumer = next(consumer for consumer in self.consumers if consumer.name == name)
            if verb == "acknowledges":
                consumer.acknowledge()
            else:
                self.cuts -= 1
                consumer.cut()

    def restart(self) -> None:
        """Kill the service: what waits to be written is lost, nobody is answered, all ask again."""
        self.database.lose()
        for task in self.tasks:
            task.cancel()
        self.tasks.clear()
        self.begin_life()
        for consumer in self.consumers:
            if consumer.loan is None:
                if consumer.getting is not None:
                    consumer.ask()
            else:
                # It has the items, and says so to the new life.
                consumer.acknowledging = None
        for putter in self.putters:
            if not putter.is_answered:
                putter.ask()

    def check(self) -> None:
        had = [item for consumer in self.consumers for item in consumer.had]
        assert len(had) == len(set(had)), f"given twice: {had}"
        stored = len(self.database.rows(sa.select(queue_items.c.position)))
        put = sum(putter.is_answered for putter in self.putters)
        # Those whose word is on disk, and who have not heard so yet.
        heard = len(self.database.rows(sa.select(answers.c.operation_id).where(answers.c.operation_id.like("op-c%"))))
        assert stored + heard >= put, "an item that was put is neither on disk nor anybody's"

    async def finish(self) -> None:
        await go_well(self, self._is_over, lambda step: not step.endswith("cut") and step not in ("fail", "restart"))
        had = {item for consumer in self.consumers for item in consumer.had}
        while len(self.database):
            self.database.commit()
            await settle()
        stored = {row.value for row in self.database.rows(sa.select(queue_items.c.value))}
        assert len(stored) + len(had) == len(self.putters), f"lost, or there twice: {had} {stored}"

    def _is_over(self) -> bool:
        wanted = min(len(self.putters), len(self.consumers))
        had = sum(len(consumer.had) for consumer in self.consumers)
        return had >= wanted and all(putter.is_answered for putter in self.putters)

    def close(self) -> None:
        self.database.lose()


@pytest.mark.parametrize(
    ("items", "consumers", "failures", "restarts", "depth"),
    [(1, 2, 0, 0, 6), (1, 2, 1, 0, 4), (1, 1, 1, 1, 4), (2, 2, 0, 1, 3)],
    ids=["cuts", "failures", "restarts", "two items"],
)
def test_no_order_of_events_loses_or_doubles_an_item(
    gated_database: GatedDatabase, items: int, consumers: int, failures: int, restarts: int, depth: int
) -> None:
    count = explore(lambda: QueueWorld(gated_database, items, consumers, failures, restarts), depth)
    assert count > 20


def scenario(gated_database: GatedDatabase, work: Callable[[QueueWorld], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        world = QueueWorld(gated_database, 0, 0, 0, 0)
        async with asyncio.timeout(10):
            await work(world)

    asyncio.run(main())


async def put(world: QueueWorld, name: str, ttl_s: float = 0.0) -> None:
    value = Payload(format=Format.PICKLE, data=name.encode(), size=1)
    asked = world.begin(world.queues.put(QUEUE, f"op-{name}", "", [value], ttl_s, 0.0))
    await settle()
    world.database.commit()
    assert await asked


async def values(world: QueueWorld) -> list[bytes]:
    return [value.data for value in (await world.queues.page(QUEUE, "", 0, 0.0))[0]]


def test_a_loan_outlasts_its_getter_while_its_word_is_being_written(gated_database: GatedDatabase) -> None:
    async def work(world: QueueWorld) -> None:
        await put(world, "a")
        getter, _ = await world.queues.get(QUEUE, "op-first", "", 1, 0.0)
        other = world.begin(world.queues.get(QUEUE, "op-other", "", 1, None))
        positions = [item.position for item in getter.items]
        first = world.begin(world.queues.acknowledge(QUEUE, "op-first", "", positions))
        await settle()
        # The connection breaks; the client says the same on the next one.
        first.cancel()
        world.queues.give_back(QUEUE, "", getter)
        second = world.begin(world.queues.acknowledge(QUEUE, "op-first", "", positions))
        await settle()
        assert not other.done()
        world.database.commit()
        assert await second
        assert not other.done()
        assert await values(world) == []

    scenario(gated_database, work)


def test_a_loan_goes_back_when_the_word_of_a_getter_that_has_gone_can_not_be_written(
    gated_database: GatedDatabase,
) -> None:
    async def work(world: QueueWorld) -> None:
        await put(world, "a")
        getter, _ = await world.queues.get(QUEUE, "op-first", "", 1, 0.0)
        asked = world.begin(world.queues.acknowledge(QUEUE, "op-first", "", [item.position for item in getter.items]))
        await settle()
        world.queues.give_back(QUEUE, "", getter)
        assert await values(world) == []
        world.database.fail()
        with pytest.raises(WriteFailed):
            await asked
        assert await values(world) == [b"a"]

    scenario(gated_database, work)


def test_what_can_not_be_cleared_stays_at_its_place(gated_database: GatedDatabase) -> None:
    async def work(world: QueueWorld) -> None:
        await put(world, "a")
        asked = world.begin(world.queues.clear(QUEUE, "op-clear", "", all_partitions=True))
        await settle()
        await asyncio.sleep(0)
        later = world.begin(put(world, "b"))
        world.database.fail()
        with pytest.raises(WriteFailed):
            await asked
        await later
        assert await values(world) == [b"a", b"b"]

    scenario(gated_database, work)


def test_what_expires_goes_with_its_time_in_one_write(gated_database: GatedDatabase) -> None:
    async def work(world: QueueWorld) -> None:
        await put(world, "a", ttl_s=5.0)
        world.now += 10
        asked = world.begin(values(world))
        await settle()
        world.database.fail()
        with pytest.raises(WriteFailed):
            await asked
        # Nothing of it is done: neither in memory nor on disk is it a partition without an end.
        for _ in range(2):
            assert [row.expires_at_ms > 0 for row in gated_database.rows(sa.select(queue_partitions))] == [True]
            asked = world.begin(values(world))
            await settle()
            world.database.fail()
            with pytest.raises(WriteFailed):
                await asked
            world.begin_life()
        asked = world.begin(values(world))
        await settle()
        world.database.commit()
        assert await asked == []
        assert gated_database.rows(sa.select(queue_items)) == []

    scenario(gated_database, work)
