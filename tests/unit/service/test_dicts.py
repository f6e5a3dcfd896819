"""Dicts in the service: against a model, under many writers, over restarts."""

import asyncio
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.databases import Disk, Disks
from tests.fakes.objects import World, payload, run
from wherry_proto.messages import DictEntry
from wherry_service.errors import InvalidRequest, NotFound
from wherry_service.ids import new_id
from wherry_service.store import dicts as store

Step = tuple[Any, ...]

KEYS = st.sampled_from([b"a", b"b", b"c", b"d"])
VALUES = st.binary(min_size=1, max_size=3)
STEP: "st.SearchStrategy[Step]" = st.one_of(
    st.tuples(st.just("put"), KEYS, VALUES),
    st.tuples(st.just("put"), KEYS, VALUES),
    st.tuples(st.just("add"), KEYS, VALUES),
    st.tuples(st.just("pop"), KEYS),
    st.tuples(st.just("update"), st.dictionaries(KEYS, VALUES)),
    st.tuples(st.just("get"), KEYS),
    st.tuples(st.just("again")),
    st.tuples(st.just("clear")),
    st.tuples(st.just("restart")),
)


@given(st.lists(STEP, max_size=25))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_b58_a_dict_is_as_a_dict_of_pythons_over_restarts(disks: Disks, steps: list[Step]) -> None:
    async def scenario(world: World) -> None:
        dict_id = await world.make("dict")
        model: dict[bytes, bytes] = {}
        last: Callable[[], Coroutine[Any, Any, Any]] | None = None
        answer: Any = None
        for verb, *rest in steps:
            objects = world.objects.dicts
            if verb == "restart":
                world.restart()
            elif verb == "get":
                value = await objects.get(dict_id, rest[0])
                assert (value.data if value else None) == model.get(rest[0])
            elif verb == "again" and last is not None:
                # Whoever lost the answer asks again: the same answer, and nothing is done twice.
                assert await last() == answer
            elif verb != "again":
                operation_id = new_id("op")
                if verb == "clear":

                    async def last(operation_id: str = operation_id) -> int:
                        return await world.objects.dicts.clear(dict_id, operation_id)

                    expected: Any = len(model)
                    model.clear()
                elif verb == "pop":

                    async def last(operation_id: str = operation_id, key: bytes = rest[0]) -> bytes | None:
                        popped = await world.objects.dicts.pop(dict_id, operation_id, key)
                        return popped.value.data if popped.found and popped.value else None

                    expected = model.pop(rest[0], None)
                else:
                    pairs = rest[0] if verb == "update" else {rest[0]: rest[1]}
                    skip = verb == "add"

                    async def last(
                        operation_id: str = operation_id, pairs: dict[bytes, bytes] = pairs, skip: bool = skip
                    ) -> int:
                        entries = [DictEntry(key=key, value=payload(value)) for key, value in pairs.items()]
                        return await world.objects.dicts.put(dict_id, operation_id, entries, skip, 0.0)

                    fresh = {key: value for key, value in pairs.items() if not (skip and key in model)}
                    expected = len(fresh)
                    model.update(fresh)
                answer = await last()
                assert answer == expected
            assert await world.items(dict_id) == list(model.items())
            assert await world.objects.dicts.count(dict_id) == len(model)

    with tempfile.TemporaryDirectory() as folder, disks.fresh(Path(folder)) as disk:
        run(disk, scenario)


PHASES = st.lists(
    st.lists(st.lists(st.tuples(st.booleans(), KEYS), max_size=8), min_size=1, max_size=5), min_size=1, max_size=3
)


@given(PHASES)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_b58_a_key_is_one_clients_at_a_time_however_many_there_are_and_over_restarts(
    disks: Disks,
    phases: list[list[list[tuple[bool, bytes]]]],
) -> None:
    async def scenario(world: World) -> None:
        dict_id = await world.make("dict")
        added: dict[bytes, list[bytes]] = {}
        popped: dict[bytes, list[bytes]] = {}

        async def client(name: str, steps: list[tuple[bool, bytes]]) -> None:
            for number, (adds, key) in enumerate(steps):
                value = f"{name}:{number}".encode()
                if adds and await world.put(dict_id, key, payload(value), skip=True):
                    added.setdefault(key, []).append(value)
                elif not adds and (found := await world.pop(dict_id, key)) is not None:
                    popped.setdefault(key, []).append(found)

        for phase, clients in enumerate(phases):
            await asyncio.gather(*(client(f"{phase}:{number}", steps) for number, steps in enumerate(clients)))
            world.restart()
        left = dict(await world.items(dict_id))
        for key in {*added, *popped, *left}:
            taken = popped.get(key, []) + ([left[key]] if key in left else [])
            # Each value that was put was taken once, or is still there: nobody wrote over another's.
            assert sorted(taken) == sorted(added.get(key, []))

    with tempfile.TemporaryDirectory() as folder, disks.fresh(Path(folder)) as disk:
        run(disk, scenario)


def test_b58_of_fifty_who_put_a_lock_at_once_one_gets_it(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        dict_id = await world.make("dict")
        for _ in range(5):
            got = await asyncio.gather(*(world.put(dict_id, b"lock", payload(b"%d" % n), True) for n in range(50)))
            assert sum(got) == 1
            held = await world.objects.dicts.get(dict_id, b"lock")
            assert held is not None
            assert held.data == b"%d" % got.index(1)
            popped = await asyncio.gather(*(world.pop(dict_id, b"lock") for _ in range(50)))
            assert [value for value in popped if value is not None] == [held.data]

    run(disk, scenario)


def test_what_is_there_all_the_while_comes_once_while_others_write(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PAGE_ENTRIES", 7)

    async def scenario(world: World) -> None:
        dict_id = await world.make("dict")
        stay = [b"stay%d" % n for n in range(60)]
        for n, key in enumerate(stay):
            await world.put(dict_id, key, payload(b"1"))
            await world.put(dict_id, b"go%d" % n, payload(b"1"))
        writing = True

        async def write() -> None:
            n = 0
            while writing:
                await world.put(dict_id, stay[n % 60], payload(b"2"))
                await world.pop(dict_id, b"go%d" % (n % 60))
                await world.put(dict_id, b"go%d" % (n % 60), payload(b"3"))
                n += 1

        writer = asyncio.ensure_future(write())
        for _ in range(3):
            keys = [key for key, _ in await world.items(dict_id)]
            assert len(keys) == len(set(keys))
            assert [key for key in keys if key.startswith(b"stay")] == stay
        writing = False
        await writer

    run(disk, scenario)


def test_an_entry_expires_only_where_a_time_was_set(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        dict_id = await world.make("dict")
        await world.put(dict_id, b"keep", payload(b"1"))
        await world.put(dict_id, b"lock", payload(b"1"), ttl_s=30)
        assert await world.put(dict_id, b"lock", payload(b"2"), skip=True) == 0
        world.now += 29.9
        assert await world.objects.dicts.count(dict_id) == 2
        world.now += 0.2
        assert await world.items(dict_id) == [(b"keep", b"1")]
        assert await world.objects.dicts.get(dict_id, b"lock") is None
        assert await world.pop(dict_id, b"lock") is None
        assert await world.put(dict_id, b"lock", payload(b"2"), skip=True, ttl_s=30) == 1
        world.now += 10 * 365 * 24 * 3600.0
        await world.objects.expire()
        assert await world.items(dict_id) == [(b"keep", b"1")]

    run(disk, scenario)


def test_a_dict_that_was_deleted_is_told_to_be_gone(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        dict_id = await world.make("dict", "old")
        await world.put(dict_id, b"a", payload(b"1"))
        await world.objects.register.delete("dict", dict_id)
        with pytest.raises(NotFound, match=f"dict {dict_id} does not exist: it was deleted"):
            await world.put(dict_id, b"a", payload(b"1"))
        with pytest.raises(NotFound, match="environment 'main' has no dict 'old'"):
            await world.objects.register.open("dict", "old", "main", False)
        again = await world.make("dict", "old")
        assert again != dict_id
        assert await world.items(again) == []

    run(disk, scenario)


def test_the_same_name_is_another_dict_elsewhere(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        ids = {await world.make("dict", "x", environment) for environment in ("main", "other")}
        ids.add(await world.make("queue", "x"))
        ids.add((await world.objects.register.open("dict", "x", "main", True, app_id=new_id("ap"))).object_id)
        assert len(ids) == 4
        made = await asyncio.gather(*(world.make("dict", "raced") for _ in range(20)))
        assert len(set(made)) == 1

    run(disk, scenario)


def test_dicts_go_with_their_app_and_client(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        app_id, client_id = new_id("ap"), new_id("cl")
        open_one = world.objects.register.open
        of_app = await open_one("dict", "mine", "main", True, app_id=app_id)
        assert await open_one("dict", "mine", "main", True, app_id=app_id) == of_app
        of_client = await open_one("dict", "", "main", True, client_id=client_id)
        named = await world.make("dict", "named")
        assert [record.object_id for record in await world.objects.register.list("dict", "main")] == [named]

        world.restart()
        assert await world.objects.register.restore({app_id}) == {client_id}
        await world.objects.register.client_gone(client_id)
        with pytest.raises(NotFound):
            await world.objects.dicts.count(of_client.object_id)
        assert await world.objects.dicts.count(of_app.object_id) == 0
        await world.objects.app_gone(app_id)
        with pytest.raises(NotFound):
            await world.objects.dicts.count(of_app.object_id)
        gone = await world.objects.register.open("dict", "mine", "main", True, app_id=app_id)
        world.restart()
        assert await world.objects.register.restore(set()) == set()
        with pytest.raises(NotFound):
            await world.objects.dicts.count(gone.object_id)
        assert await world.objects.dicts.count(named) == 0

    run(disk, scenario)


def test_what_is_no_entry_is_refused(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        dict_id = await world.make("dict")
        with pytest.raises(InvalidRequest, match="a key has 65537 bytes when pickled"):
            await world.put(dict_id, b"x" * 65537, payload(b"1"))
        with pytest.raises(InvalidRequest, match="over 1 MiB is put as a blob"):
            await world.put(dict_id, b"x", payload(b"x" * ((1 << 20) + 1)))
        with pytest.raises(InvalidRequest, match="ttl is -1"):
            await world.put(dict_id, b"x", payload(b"1"), ttl_s=-1)
        with pytest.raises(InvalidRequest, match="is not an id of the form di-"):
            await world.put("qu-1", b"x", payload(b"1"))
        queue_id = await world.make("queue")
        with pytest.raises(NotFound, match="is no dict"):
            await world.put(queue_id, b"x", payload(b"1"))

    run(disk, scenario)
