"""Queues in the service: against a model, with many getters at once, over restarts."""

import asyncio
import tempfile
import threading
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.databases import Disk, Disks
from tests.fakes.objects import World, payload, run
from wherry_proto.messages import QueueGetRequest, QueueItems
from wherry_service.api.queues import QueueApi
from wherry_service.errors import InvalidRequest, NotFound
from wherry_service.ids import new_id
from wherry_service.objects.partition import MAX_ITEMS, Getter

Step = tuple[Any, ...]

PARTITION = st.sampled_from(["", "p"])
STEP: "st.SearchStrategy[Step]" = st.one_of(
    st.tuples(st.just("put"), PARTITION, st.integers(1, 4)),
    st.tuples(st.just("put"), PARTITION, st.integers(1, 4)),
    st.tuples(st.just("lend"), PARTITION, st.integers(1, 3)),
    st.tuples(st.just("lend"), PARTITION, st.integers(1, 3)),
    st.tuples(st.just("acknowledge"), st.integers(0, 5)),
    st.tuples(st.just("give back"), st.integers(0, 5)),
    st.tuples(st.just("put again")),
    st.tuples(st.just("clear"), PARTITION),
    st.tuples(st.just("restart")),
)


@given(st.lists(STEP, max_size=30))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_b58_a_queue_is_as_lists_whose_items_are_lent_over_restarts(disks: Disks, steps: list[Step]) -> None:
    async def scenario(world: World) -> None:
        queue_id = await world.make("queue")
        ready: dict[str, list[bytes]] = defaultdict(list)
        # What getters have on loan, and what became of each.
        loans: list[tuple[Getter, str, list[bytes]]] = []
        lent: dict[str, list[bytes]] = {}
        taken: set[str] = set()
        count = 0
        last_put: tuple[str, str, list[bytes]] | None = None

        def back(lease_id: str, partition: str) -> None:
            ready[partition] = sorted([*ready[partition], *lent.pop(lease_id)])

        for verb, *rest in steps:
            queues = world.objects.queues
            if verb == "put":
                values = [b"%06d" % (count + n) for n in range(rest[1])]
                count += len(values)
                last_put = new_id("op"), rest[0], values
                ready[rest[0]] += values
            if verb in ("put", "put again") and last_put is not None:
                operation_id, partition, values = last_put
                assert await queues.put(queue_id, operation_id, partition, [payload(v) for v in values], 0.0, 0.0)
            elif verb == "lend":
                getter, values = await world.lend(queue_id, rest[1], rest[0])
                assert values == ready[rest[0]][: rest[1]]
                del ready[rest[0]][: rest[1]]
                if values:
                    loans.append((getter, rest[0], values))
                    lent[getter.lease_id] = values
            elif verb == "acknowledge" and loans:
                getter, partition, values = loans[rest[0] % len(loans)]
                positions = [item.position for item in getter.items]
                if not positions:
                    continue  # given back: nobody acknowledges that
                accepted = await queues.acknowledge(queue_id, getter.lease_id, partition, positions)
                if getter.lease_id in lent:
                    del lent[getter.lease_id]
                    expected = True
                elif getter.lease_id in taken:
                    expected = True
                else:
                    # Lent before a restart: the items count as the getter's as long as nobody else has them.
                    expected = set(values) <= set(ready[partition])
                    if expected:
                        ready[partition] = [value for value in ready[partition] if value not in values]
                assert accepted == expected
                if accepted:
                    taken.add(getter.lease_id)
            elif verb == "give back" and loans:
                getter, partition, _ = loans[rest[0] % len(loans)]
                queues.give_back(queue_id, partition, getter)
                if getter.lease_id in lent:
                    back(getter.lease_id, partition)
            elif verb == "clear":
                assert await queues.clear(queue_id, new_id("op"), rest[0], False) == len(ready[rest[0]])
                ready[rest[0]] = []
            elif verb == "restart":
                world.restart()
                partitions = {getter.lease_id: partition for getter, partition, _ in loans}
                for lease_id in list(lent):
                    back(lease_id, partitions[lease_id])
            for partition in ("", "p"):
                values_there, _ = await world.objects.queues.page(queue_id, partition, 0, 0.0)
                assert [value.data for value in values_there] == ready[partition]
            total = sum(len(values) for values in ready.values())
            assert await world.objects.queues.count(queue_id, "", True) == total

    with tempfile.TemporaryDirectory() as folder, disks.fresh(Path(folder)) as disk:
        run(disk, scenario)


@given(st.data())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_b58_each_item_is_had_by_one_getter_while_getters_are_killed_and_the_service_restarts(
    disks: Disks, data: Any
) -> None:
    producers, consumers = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 6))
    each, lives = data.draw(st.integers(1, 25)), data.draw(st.integers(1, 3))
    killed = data.draw(st.lists(st.integers(0, 20), min_size=consumers, max_size=consumers))
    batch = data.draw(st.integers(1, 4))

    async def scenario(world: World) -> None:
        queue_id = await world.make("queue")
        had: list[tuple[int, bytes]] = []
        asking: set[asyncio.Task[None]] = set()
        total = producers * each * lives

        async def produce(producer: int, life: int) -> None:
            for n in range(each):
                assert await world.offer(queue_id, b"%d:%d:%06d" % (producer, life, n))

        async def consume(consumer: int) -> None:
            """Get, and now and then be killed after the answer was sent and before it was acknowledged."""
            rounds = 0
            while True:
                rounds += 1
                getter, values = await world.lend(queue_id, batch, wait_s=None)
                await asyncio.sleep(0)
                if rounds == killed[consumer] or not values:
                    world.objects.queues.give_back(queue_id, "", getter)
                    continue
                # Once it has asked for them it has them, or is told that it has not.
                asked = asyncio.ensure_future(acknowledge(consumer, getter, values))
                asking.add(asked)
                asked.add_done_callback(asking.discard)
                await asyncio.shield(asked)

        async def acknowledge(consumer: int, getter: Getter, values: list[bytes]) -> None:
            positions = [item.position for item in getter.items]
            if await world.objects.queues.acknowledge(queue_id, getter.lease_id, "", positions):
                had.extend((consumer, value) for value in values)

        for life in range(lives):
            getters = [asyncio.ensure_future(consume(n)) for n in range(consumers)]
            await asyncio.gather(*(produce(n, life) for n in range(producers)))
            if life == lives - 1:
                async with asyncio.timeout(5):
                    while len(had) < total:
                        await asyncio.sleep(0.001)
            for getter in getters:
                getter.cancel()
            await asyncio.gather(*getters, return_exceptions=True)
            await asyncio.gather(*asking)
            world.restart()

        assert len(had) == len({value for _, value in had}) == total
        assert await world.objects.queues.count(queue_id, "", True) == 0
        for consumer in range(consumers):
            for producer in range(producers):
                mine = [v for c, v in had if c == consumer and v.startswith(b"%d:" % producer)]
                if not any(killed):
                    assert mine == sorted(mine)

    with tempfile.TemporaryDirectory() as folder, disks.fresh(Path(folder)) as disk:
        run(disk, scenario)


def test_an_acknowledgement_repeated_after_a_restart_takes_nothing_that_came_since(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        queue_id = await world.make("queue")
        await world.offer(queue_id, b"1")
        getter, _ = await world.lend(queue_id, 1)
        positions = [item.position for item in getter.items]
        assert await world.objects.queues.acknowledge(queue_id, getter.lease_id, "", positions)
        then = world.now
        world.restart()
        # A clock that was set back, so that the next item has the place of the one that is gone.
        world.now = then
        await world.offer(queue_id, b"2")
        assert await world.objects.queues.acknowledge(queue_id, getter.lease_id, "", positions)
        assert await world.take(queue_id) == [b"2"]

    run(disk, scenario)


@pytest.mark.parametrize("wait_s", [float("inf"), 1e300, -1.0])
def test_a_wait_without_limit_ends_with_an_item(disk: Disk, wait_s: float) -> None:
    async def scenario(world: World) -> None:
        api = QueueApi(world.objects.queues)
        queue_id = await world.make("queue")
        stream = api.get(QueueGetRequest(queue_id=queue_id, lease_id=new_id("op"), count=1, wait_s=wait_s))
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        await world.offer(queue_id, b"1")
        assert [value.data for value in (await waiting).values] == [b"1"]
        await stream.aclose()
        with pytest.raises(InvalidRequest, match="no number"):
            await anext(api.get(QueueGetRequest(queue_id=queue_id, lease_id=new_id("op"), wait_s=float("nan"))))

    run(disk, scenario)


def test_those_who_wait_are_served_in_their_order_and_one_is_woken_for_one_item(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        queue_id = await world.make("queue")
        assert await world.take(queue_id) == []  # it is known now
        served: list[int] = []

        async def wait(number: int) -> None:
            assert await world.take(queue_id, wait_s=None) == [b"%d" % number]
            served.append(number)

        waiting = []
        for number in range(50):
            waiting.append(asyncio.ensure_future(wait(number)))
            await asyncio.sleep(0)
        part = world.objects.queues._queues[queue_id].partition("")
        assert part.num_waiting == 50
        for number in range(50):
            await world.offer(queue_id, b"%d" % number)
            assert part.num_waiting == 49 - number
        await asyncio.gather(*waiting)
        assert served == list(range(50))

    run(disk, scenario)


def test_b58_a_full_partition_lets_those_in_who_waited_first(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        queue_id = await world.make("queue")
        assert await world.offer(queue_id, *[b"x"] * MAX_ITEMS)
        assert not await world.offer(queue_id, b"y")
        assert not await world.offer(queue_id, b"y", wait_s=0.01)
        assert await world.offer(queue_id, b"y", partition="other")
        putters = world.objects.queues._queues[queue_id].partition("")._putters

        async def waiting(*values: bytes) -> asyncio.Future[bool]:
            """Offer, and return once it waits: the database is asked before."""
            before = len(putters)
            offer = asyncio.ensure_future(world.offer(queue_id, *values, wait_s=None))
            async with asyncio.timeout(30):
                while len(putters) == before:
                    await asyncio.sleep(0.001)
            return offer

        large = await waiting(b"1", b"2")
        small = await waiting(b"3")
        cancelled = await waiting(b"4")
        cancelled.cancel()
        await world.take(queue_id)
        # There is room for the small one, but the large one was first.
        assert not small.done()
        assert not await world.offer(queue_id, b"z")
        # What is on loan still takes its room.
        getter, _ = await world.lend(queue_id, 2)
        assert not large.done()
        positions = [item.position for item in getter.items]
        assert await world.objects.queues.acknowledge(queue_id, getter.lease_id, "", positions)
        assert [*await asyncio.gather(large, small)] == [True, True]
        rest = await world.take(queue_id, MAX_ITEMS)
        assert rest[-3:] == [b"1", b"2", b"3"]
        assert len(rest) == MAX_ITEMS

    run(disk, scenario)


def test_b58_none_in_time_is_none_and_nobody_waits_on(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        queue_id = await world.make("queue")
        assert await world.take(queue_id, wait_s=0.01) == []
        assert await world.take(queue_id, wait_s=0) == []
        part = world.objects.queues._queues[queue_id].partition("")
        assert part.num_waiting == 0
        getter = asyncio.ensure_future(world.lend(queue_id, wait_s=None))
        await asyncio.sleep(0)
        getter.cancel()
        await asyncio.gather(getter, return_exceptions=True)
        await world.offer(queue_id, b"1")
        assert await world.take(queue_id) == [b"1"]

    run(disk, scenario)


def test_a_getter_that_goes_before_it_acknowledges_leaves_its_items_in_their_place(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        api = QueueApi(world.objects.queues)
        queue_id = await world.make("queue")
        await world.offer(queue_id, b"1", b"2", b"3")

        async def get(count: int) -> tuple[Any, QueueItems]:
            stream = api.get(QueueGetRequest(queue_id=queue_id, lease_id=new_id("op"), count=count, wait_s=-1.0))
            return stream, await anext(stream)

        first, items = await get(2)
        assert [value.data for value in items.values] == [b"1", b"2"]
        second, items = await get(1)
        assert [value.data for value in items.values] == [b"3"]
        await first.aclose()
        await second.aclose()
        assert await world.take(queue_id, 3) == [b"1", b"2", b"3"]

    run(disk, scenario)


def test_a_getter_that_hangs_loses_its_items_and_is_told_so(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        api = QueueApi(world.objects.queues, loan_s=0.01)
        queue_id = await world.make("queue")
        await world.offer(queue_id, b"1")
        lease_id = new_id("op")
        stream = api.get(QueueGetRequest(queue_id=queue_id, lease_id=lease_id, count=1, wait_s=-1.0))
        items = await anext(stream)
        assert [item async for item in stream] == []
        assert await world.take(queue_id) == [b"1"]
        assert not await world.objects.queues.acknowledge(queue_id, lease_id, "", items.positions)

    run(disk, scenario)


def test_who_waits_hears_of_an_item_while_it_is_written_and_has_it_once_that_is_done(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        queue_id = await world.make("queue")
        queues = world.objects.queues
        assert await world.take(queue_id) == []  # it is known now
        disk_is_free = threading.Event()
        slow = asyncio.ensure_future(world.database.write(lambda connection: disk_is_free.wait(5)))
        waiting = asyncio.ensure_future(world.lend(queue_id, 2, wait_s=None))
        await asyncio.sleep(0)
        putting = asyncio.ensure_future(world.offer(queue_id, b"1", b"2", b"3"))
        getter, values = await waiting
        positions = [item.position for item in getter.items]
        having = asyncio.ensure_future(queues.acknowledge(queue_id, getter.lease_id, "", positions))
        await asyncio.sleep(0)
        assert values == [b"1", b"2"]
        assert not putting.done()
        assert not having.done()
        # Not on disk: nobody else sees the rest of it yet.
        assert await world.take(queue_id) == []
        assert await queues.count(queue_id, "", True) == 0
        disk_is_free.set()
        assert await putting
        assert await having
        assert await slow
        assert await world.take(queue_id, 5) == [b"3"]
        world.restart()
        assert await world.take(queue_id) == []

    run(disk, scenario)


@pytest.mark.parametrize("how", ["fails at once", "fails", "is repeated"])
def test_an_item_lent_ahead_of_a_put_that_comes_to_nothing_is_nobodys(
    disk: Disk, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*given: object) -> bool:
        if how == "fails":
            await asyncio.to_thread(int)
        raise OSError("the disk is full")

    async def scenario(world: World) -> None:
        queue_id = await world.make("queue")
        queues = world.objects.queues
        operation_id = new_id("op")
        assert await queues.put(queue_id, operation_id, "", [payload(b"1")], 0.0, 0.0)
        assert await world.take(queue_id) == [b"1"]
        waiting = asyncio.ensure_future(world.lend(queue_id, 5, wait_s=None))
        await asyncio.sleep(0)
        with monkeypatch.context() as patched:
            if how != "is repeated":
                patched.setattr(queues._store, "put", fail)
                operation_id = new_id("op")
            putting = asyncio.ensure_future(queues.put(queue_id, operation_id, "", [payload(b"1")], 0.0, 0.0))
            if how == "fails at once":
                with pytest.raises(OSError, match="full"):
                    await putting
                # It never heard of it, and waits on.
                await asyncio.sleep(0)
                assert not waiting.done()
            else:
                getter, values = await waiting
                positions = [item.position for item in getter.items]
                (put,) = await asyncio.gather(putting, return_exceptions=True)
        if how == "fails at once":
            assert await world.offer(queue_id, b"3")
            getter, values = await waiting
            assert values == [b"3"]
            positions = [item.position for item in getter.items]
            assert await queues.acknowledge(queue_id, getter.lease_id, "", positions)
        else:
            assert put is True if how == "is repeated" else isinstance(put, OSError)
            assert values == [b"1"]
            assert not await queues.acknowledge(queue_id, getter.lease_id, "", positions)
            # Nor when the answer was lost, and it is asked again.
            assert not await queues.acknowledge(queue_id, getter.lease_id, "", positions)
        queues.give_back(queue_id, "", getter)
        assert await world.take(queue_id) == []
        assert await queues.count(queue_id, "", True) == 0
        # Its room is free again.
        assert await world.offer(queue_id, *[b"2"] * MAX_ITEMS)

    run(disk, scenario)


def test_a_partition_is_emptied_when_its_time_is_over_and_never_without_one(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        queue_id = await world.make("queue")

        async def put(partition: str, ttl_s: float) -> None:
            values = [payload(b"1")]
            assert await world.objects.queues.put(queue_id, new_id("op"), partition, values, ttl_s, 0.0)

        await put("short", 10)
        await put("kept", 0)
        world.now += 9
        await put("short", 10)
        world.now += 9
        assert await world.objects.queues.count(queue_id, "short", False) == 2
        world.restart()
        world.now += 2
        assert await world.objects.queues.count(queue_id, "", True) == 1
        assert await world.take(queue_id, partition="short") == []
        world.now += 10 * 365 * 24 * 3600.0
        await world.objects.expire()
        assert await world.take(queue_id, partition="kept") == [b"1"]

    run(disk, scenario)


def test_whoever_waits_at_a_queue_that_is_deleted_is_told(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        queue_id = await world.make("queue")
        await world.offer(queue_id, *[b"x"] * MAX_ITEMS, partition="full")
        waiting = [
            asyncio.ensure_future(world.take(queue_id, wait_s=None)),
            asyncio.ensure_future(world.offer(queue_id, b"1", partition="full", wait_s=None)),
        ]
        part = world.objects.queues._queues[queue_id].partition("")
        while not part.num_waiting:
            await asyncio.sleep(0)
        await world.objects.register.delete("queue", queue_id)
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(ended[0], NotFound)
        assert ended[1] is False or isinstance(ended[1], NotFound)
        with pytest.raises(NotFound, match="was deleted"):
            await world.offer(queue_id, b"1")

    run(disk, scenario)


def test_what_is_no_item_is_refused(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        queue_id = await world.make("queue")
        with pytest.raises(InvalidRequest, match="5001 items were put at once"):
            await world.offer(queue_id, *[b"x"] * 5001)
        with pytest.raises(InvalidRequest, match="at most 64 bytes"):
            await world.offer(queue_id, b"x", partition="x" * 65)
        with pytest.raises(InvalidRequest, match="over 1 MiB is put as a blob"):
            await world.offer(queue_id, b"x" * ((1 << 20) + 1))
        with pytest.raises(InvalidRequest, match="from 1 to 5000"):
            await world.lend(queue_id, 0)

    run(disk, scenario)
