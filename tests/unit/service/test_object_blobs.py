"""Blobs of large values: those that something refers to are there, the others are not."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.databases import Disk, Disks
from tests.fakes.calls import journal_of
from tests.fakes.objects import BucketWorld, World, payload, run
from wherry_proto.messages import CallKind, CallStart, DictEntry, Format, Input, Output, Payload, Yield
from wherry_service.calls.client import Clients
from wherry_service.errors import NotFound
from wherry_service.ids import new_id
from wherry_service.store.answers import KEEP_ANSWERS_S

Step = tuple[Any, ...]

KEYS = st.sampled_from([b"a", b"b", b"c"])
STEP: "st.SearchStrategy[Step]" = st.one_of(
    st.tuples(st.just("put"), KEYS, st.booleans(), st.booleans()),
    st.tuples(st.just("put"), KEYS, st.booleans(), st.booleans()),
    st.tuples(st.just("update"), st.lists(KEYS, min_size=2, max_size=4)),
    st.tuples(st.just("pop"), KEYS),
    st.tuples(st.just("clear")),
    st.tuples(st.just("expiring"), KEYS),
    st.tuples(st.just("offer"), st.booleans()),
    st.tuples(st.just("take")),
    st.tuples(st.just("lend")),
    st.tuples(st.just("empty")),
    st.tuples(st.just("again")),
    st.tuples(st.just("later")),
    st.tuples(st.just("delete")),
    st.tuples(st.just("restart")),
)


@pytest.mark.parametrize("make", [World, BucketWorld])
@given(steps=st.lists(STEP, max_size=25))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_blob_is_there_while_something_refers_to_it_and_no_longer(
    disks: Disks, make: type[World], steps: list[Step]
) -> None:
    async def scenario(world: World) -> None:
        dict_id, queue_id = await world.make("dict"), await world.make("queue")
        number = 0
        repeat: tuple[str, bytes, bytes] | None = None

        def value(large: bool) -> Any:
            nonlocal number
            number += 1
            return world.put_blob(b"large %d" % number) if large else payload(b"small %d" % number)

        for verb, *rest in steps:
            if verb == "put":
                given_value = value(rest[1])
                operation_id = new_id("op")
                content = world.read(given_value)
                entries = [DictEntry(key=rest[0], value=given_value)]
                if await world.objects.dicts.put(dict_id, operation_id, entries, rest[2], 0.0):
                    repeat = operation_id, rest[0], content
            elif verb == "again" and repeat is not None:
                # The client lost the answer, and sends what it sent before; its blob was taken over already.
                entries = [DictEntry(key=repeat[1], value=world.put_blob(repeat[2]))]
                assert await world.objects.dicts.put(dict_id, repeat[0], entries, False, 0.0) == 1
                for entry in entries:
                    assert entry.value is not None
                    world.blobs.delete(entry.value.blob_id)  # as a later sweep does: nobody refers to it
            elif verb == "update":
                entries = [DictEntry(key=key, value=value(True)) for key in rest[0]]
                await world.objects.dicts.put(dict_id, new_id("op"), entries, False, 0.0)
            elif verb == "expiring":
                await world.put(dict_id, rest[0], value(True), ttl_s=5)
            elif verb == "pop":
                await world.pop(dict_id, rest[0])
            elif verb == "clear":
                await world.objects.dicts.clear(dict_id, new_id("op"))
            elif verb == "offer":
                items = [value(rest[0]), value(True)]
                assert await world.objects.queues.put(queue_id, new_id("op"), "", items, 0.0, 0.0)
            elif verb == "take":
                await world.take(queue_id)
            elif verb == "lend":
                await world.lend(queue_id, 2)
            elif verb == "empty":
                await world.objects.queues.clear(queue_id, new_id("op"), "", False)
            elif verb == "later":
                world.now += KEEP_ANSWERS_S + 1
                repeat = None
                await world.objects.expire()
            elif verb == "delete":
                await world.objects.register.delete("dict", dict_id)
                await world.objects.register.delete("queue", queue_id)
                dict_id, queue_id = await world.make("dict"), await world.make("queue")
                repeat = None
            elif verb == "restart":
                await asyncio.sleep(0.001)
                world.restart()
            # Those that are to go do so at a turn of the event loop.
            await asyncio.sleep(0.001)
            there = world.blob_ids()
            assert there == await world.objects.blob_ids()
            # And everything that is there can be read.
            await world.items(dict_id)
            values, _ = await world.objects.queues.page(queue_id, "", 0, 0.0)
            for one in values:
                world.read(one)

    with tempfile.TemporaryDirectory() as folder, disks.fresh(Path(folder)) as disk:
        run(disk, scenario, make)


def test_what_was_told_of_a_blob_may_still_come_for_it(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        world.objects.leftovers._grace_s = 0.05
        dict_id = await world.make("dict")
        await world.put(dict_id, b"a", world.put_blob(b"first"))
        told = await world.objects.dicts.get(dict_id, b"a")
        assert told is not None
        await world.put(dict_id, b"a", world.put_blob(b"second"))
        assert world.read(told) == b"first"
        async with asyncio.timeout(10):
            while told.blob_id in world.blob_ids():
                await asyncio.sleep(0.005)
        assert await world.items(dict_id) == [(b"a", b"second")]

    run(disk, scenario)


def test_a_blob_belongs_to_one_entry_whoever_else_knows_its_id(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        dict_id = await world.make("dict")
        given_value = world.put_blob(b"x")
        await world.put(dict_id, b"a", given_value)
        told = await world.objects.dicts.get(dict_id, b"a")
        assert told is not None
        # Someone puts what was told into another dict: it has a copy then.
        other = await world.make("dict", "other")
        world.objects.leftovers.drop = lambda blob_ids: None  # type: ignore[method-assign]  # the giver's id stays
        await world.put(other, b"b", told)
        assert await world.pop(other, b"b") == b"x"
        assert await world.items(dict_id) == [(b"a", b"x")]
        with pytest.raises(NotFound, match="does not exist or was taken"):
            await world.put(dict_id, b"c", Payload(format=Format.PICKLE, blob_id=new_id("bl"), size=1))

    run(disk, scenario)


def test_a_blob_of_a_call_that_is_not_over_is_referred_to(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        journal = journal_of(world.database, world.blobs)
        client = Clients().connect(new_id("cl"))
        start = CallStart(call_id=new_id("fc"), function_id="fu-1", kind=CallKind.MAP)
        call = journal.start(client, start)
        argument, value, yielded = (world.put_blob(b"x") for _ in range(3))
        inputs = [Input(input_id=new_id("in"), call_id=start.call_id, index=n, payload=argument) for n in range(2)]
        first, second = journal.new_inputs(inputs, lambda function_id: None)
        assert journal.blob_ids() == {argument.blob_id}
        first.keep_yield(Yield(input_id=first.input_id, index=0, payload=yielded))
        call = second.call
        call.finished[second.input_id] = Output(input_id=second.input_id, payload=value)
        assert journal.blob_ids() == {argument.blob_id, value.blob_id, yielded.blob_id}
        assert world.blobs.sweep(journal.blob_ids(), -1.0) == 0
        stray = world.put_blob(b"nobody named it")
        assert world.blobs.sweep(journal.blob_ids(), 3600.0) == 0
        assert world.blobs.sweep(journal.blob_ids(), -1.0) == 1
        assert stray.blob_id not in world.blob_ids()

    run(disk, scenario)
