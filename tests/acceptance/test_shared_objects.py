"""Dicts and queues as a program uses them, without containers."""

import asyncio
import pickle
import queue as builtin
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import wherry
from tests.acceptance.service import OwnService
from wherry import Dict, Queue
from wherry.exception import DeprecationError, DeserializationError, ExecutionError, InvalidError, NotFoundError


@pytest.fixture
def shared(service: OwnService) -> Iterator[Dict]:
    with Dict.ephemeral() as made:
        yield made


@pytest.fixture
def queue(service: OwnService) -> Iterator[Queue]:
    with Queue.ephemeral() as made:
        yield made


class Unreadable:
    """Can be pickled, and not unpickled."""

    def __reduce__(self) -> Any:
        return pickle.loads, (b"nonsense",)


def test_b58_a_dict_reads_as_pythons(shared: Dict) -> None:
    shared["a"] = 1
    shared["b", 2] = {"deep": [None, lambda: 5]}
    assert shared["a"] == 1
    assert shared["b", 2]["deep"][1]() == 5
    assert ("a" in shared, "c" in shared) == (True, False)
    with pytest.raises(KeyError, match="c"):
        shared["c"]
    with pytest.raises(KeyError, match="c"):
        shared.pop("c")
    with pytest.raises(KeyError):
        del shared["c"]
    assert (shared.get("c"), shared.get("c", 5), shared.pop("c", 6)) == (None, 5, 6)
    assert shared.put("a", 2, skip_if_exists=True) is False
    assert shared.put("c", None, skip_if_exists=True) is True
    assert (shared.get("c", "absent"), shared.len(), list(shared)) == (None, 3, ["a", ("b", 2), "c"])
    shared.update({"a": 3}, d=4)
    assert shared.pop("a") == 3
    del shared["b", 2]
    assert list(shared.items()) == [("c", None), ("d", 4)]
    assert (list(shared.keys()), list(shared.values())) == (["c", "d"], [None, 4])
    shared.clear()
    assert shared.len() == 0


def test_equal_keys_are_one_key_however_they_were_made(shared: Dict) -> None:
    half = "ab" * 2
    shared[(half, half)] = 1
    assert shared[("abab", "".join(["a", "b", "ab"]))] == 1
    shared[1], shared[1.0], shared[True] = "int", "float", "bool"
    assert (shared[1], shared[1.0], shared[True]) == ("int", "float", "bool")


def test_many_entries_and_large_ones(shared: Dict) -> None:
    shared.update({number: str(number) for number in range(5000)})
    assert shared.len() == 5000
    assert list(shared.items()) == [(number, str(number)) for number in range(5000)]
    large = {name: name.encode() * (3 << 20) for name in "xyz"}
    shared.update(large)
    assert {name: shared[name] for name in large} == large
    assert list(shared.values())[-3:] == list(large.values())


def test_a_value_that_can_not_be_read_here_is_told_and_can_be_deleted(shared: Dict, queue: Queue) -> None:
    shared["bad"] = Unreadable()
    with pytest.raises(DeserializationError, match="can't be read here"):
        shared["bad"]
    assert "bad" in shared
    shared.clear()
    with pytest.raises(wherry.exception.SerializationError, match="the value of 'x' can't be stored: a lock"):
        shared["x"] = threading.Lock()
    queue.put(Unreadable())
    queue.put("good")
    with pytest.raises(DeserializationError, match="can't be read here"):
        queue.get()
    # It is not in the way of the next.
    assert queue.get() == "good"


def test_the_asynchronous_forms(service: OwnService) -> None:
    async def scenario() -> None:
        async with Dict.ephemeral({"a": 1}) as shared, Queue.ephemeral() as queue:
            await shared.put.aio("b", 2)
            await shared.update.aio({"c": 3})
            assert await shared.get.aio("b") == 2
            assert await shared.contains.aio("c")
            assert [item async for item in shared.items.aio()] == [("a", 1), ("b", 2), ("c", 3)]
            assert (await shared.pop.aio("a"), await shared.len.aio()) == (1, 2)
            await shared.clear.aio()
            await queue.put_many.aio([1, 2, 3])
            assert [item async for item in queue.iterate.aio()] == [1, 2, 3]
            assert await queue.get_many.aio(2) == [1, 2]
            assert await queue.get.aio() == 3
            assert await queue.get.aio(block=False) is None
            await queue.put.aio(1, partition="p")
            await queue.clear.aio(all=True)
            assert await queue.len.aio(total=True) == 0
            named = await Dict.lookup.aio("async", create_if_missing=True)
            await Dict.delete.aio("async")
            with pytest.raises(NotFoundError):
                await named.len.aio()

    asyncio.run(scenario())


def test_b58_a_queue_reads_as_pythons(queue: Queue) -> None:
    with pytest.raises(builtin.Empty):
        queue.get(timeout=0.01)
    with pytest.raises(builtin.Empty):
        queue.get_many(5, timeout=0)
    assert (queue.get(block=False), queue.get_many(3, block=False)) == (None, [])
    queue.put(None)
    queue.put_many([1, "two", {"three": lambda: 3}])
    queue.put("other", partition="p")
    assert (queue.len(), queue.len(partition="p"), queue.len(total=True)) == (4, 1, 5)
    assert queue.get(timeout=1) is None
    assert queue.get_many(2) == [1, "two"]
    assert queue.get()["three"]() == 3
    assert queue.get(block=False, partition="q") is None
    assert queue.get(partition="p") == "other"
    queue.put_many(list(range(5000)))
    with pytest.raises(builtin.Full):
        queue.put("over", block=False)
    with pytest.raises(builtin.Full):
        queue.put_many(["o", "v"], timeout=0.01)
    queue.put("elsewhere", partition="p")
    putting = threading.Thread(target=queue.put, args=("at last",))
    putting.start()
    assert queue.get() == 0
    putting.join(10)
    assert queue.get_many(5000) == [*range(1, 5000), "at last"]


def test_iterating_leaves_items_and_waits_for_more(queue: Queue) -> None:
    queue.put_many(list(range(1200)))
    assert list(queue.iterate()) == list(range(1200))
    found = []
    for item in queue.iterate(item_poll_timeout=0.3):
        found.append(item)
        if item == 1199:
            queue.put("one more")
    assert found == [*range(1200), "one more"]
    assert queue.len() == 1201


def test_handles_pickle_and_are_found_by_name_and_id(service: OwnService) -> None:
    made = Dict.from_name("handles", create_if_missing=True)
    travelled = pickle.loads(pickle.dumps(made))
    travelled["a"] = 1
    assert made["a"] == 1
    assert travelled == made
    assert Dict.from_id(made.object_id)["a"] == 1
    assert Dict.lookup("handles") == made
    assert repr(made) == "Dict('handles')"
    with pytest.warns(DeprecationError, match="Queue.from_name"):
        old = Queue.persisted("handles")
    old.put(1)
    assert Queue.from_name("handles").get() == 1
    Dict.delete("handles")
    Queue.delete("handles")
    with pytest.raises(NotFoundError, match="environment 'main' has no dict 'handles'"):
        Dict.lookup("handles")
    with pytest.raises(NotFoundError, match="it was deleted"):
        made["a"]
    Dict.delete("handles", allow_missing=True)
    with pytest.raises(NotFoundError):
        Dict.delete("handles")
    begun = Dict.from_name("handles", {"a": 1, "b": 2}, create_if_missing=True)
    assert begun.pop("a") == 1
    Dict.delete("handles")


def test_an_ephemeral_one_goes_with_its_block(service: OwnService) -> None:
    with Queue.ephemeral() as queue:
        queue.put(1)
        data = pickle.dumps(queue)
    with pytest.raises(NotFoundError):
        pickle.loads(data).len()


def test_an_apps_own_needs_the_app(service: OwnService) -> None:
    app = wherry.App("own")
    mine = app.mine = Dict.new({"a": 1})  # type: ignore[attr-defined,unused-ignore]
    with pytest.raises(ExecutionError, match=r"Dict 'mine' belongs to App\('own'\), which does not run"):
        mine["a"]
    with app.run():
        assert mine["a"] == 1
        mine["b"] = 2
        first = mine.object_id
    with app.run():
        assert (mine.object_id == first, list(mine)) == (False, ["a"])
    with pytest.raises(NotFoundError):
        Dict.from_id(first).len()


@pytest.mark.parametrize(
    ("do", "said"),
    [
        (lambda: Dict.from_name(""), "a name is a string"),
        (lambda: Dict.from_id("qu-1"), "not the id of a dict"),
        (lambda: Dict.from_name("a b", create_if_missing=True).hydrate(), "a dict can't be called 'a b'"),
        (lambda: Dict.from_name("x").put("a", 1, ttl=0), "ttl is 0: it must be a number of seconds above 0"),
        (lambda: Queue.from_name("x").get(timeout=-1), "timeout is -1: it must be a number of seconds, 0 or above"),
        (lambda: Queue.from_name("x").get_many(0), "n_values is 0"),
        (lambda: Queue.from_name("x").get(partition=""), "partition is ''"),
        (lambda: Queue.from_name("x").put(1, partition="x" * 65), "1 to 64 bytes"),
        (lambda: Queue.from_name("x").put(1, partition_ttl=0), "partition_ttl is 0"),
        (lambda: Queue.from_name("x").clear(partition="p", all=True), "says two things"),
    ],
)
def test_what_makes_no_sense_is_refused(service: OwnService, do: Callable[[], Any], said: str) -> None:
    with pytest.raises(InvalidError, match=said):
        do()
