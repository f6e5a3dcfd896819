"""What is given up while it is opened does not run, and nothing of it is left."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.fakes.service import FakeService
from tests.waiting import wait_until
from wherry._base.waiting import entered_in_thread
from wherry._connection.client import Client

Running = Callable[..., Any]


class Slow:
    """Its pickling waits; it says that it is large, as those are whose pickling takes long."""

    nbytes = 2 << 20

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __reduce__(self) -> Any:
        self.begun.set()
        assert self.go_on.wait(10)
        return str, ()


@pytest.fixture
def slow() -> Iterator[Slow]:
    slow = Slow()
    yield slow
    slow.go_on.set()


def echo(x: Any, *_: Any) -> Any:
    return x


def echoes(x: Any) -> Iterator[Any]:
    yield x


async def first(results: Any) -> Any:
    return await anext(results)


WAYS: dict[str, Callable[[Any, Any], Any]] = {
    "remote": lambda f, x: f.remote.aio(x),
    "spawn": lambda f, x: f.spawn.aio(x),
    "spawn_map": lambda f, x: f.spawn_map.aio([x, 1]),
    "map": lambda f, x: first(f.map.aio([x, 1])),
    "starmap": lambda f, x: first(f.starmap.aio([(x,), (1,)])),
    "map of an iterator": lambda f, x: first(f.map.aio(iter([x, 1]))),
    "for_each": lambda f, x: f.for_each.aio([x, 1]),
    "remote_gen": lambda f, x: first(f.remote_gen.aio(x)),
}


@pytest.mark.parametrize("way", WAYS)
def test_it_does_not_run(service: FakeService, client: Client, running: Running, slow: Slow, way: str) -> None:
    function = running(echoes if way == "remote_gen" else echo)

    async def main() -> None:
        task = asyncio.ensure_future(WAYS[way](function, slow))
        assert await asyncio.to_thread(slow.begun.wait, 10)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        slow.go_on.set()

    asyncio.run(main())
    wait_until(lambda: all(thread.name != "wherry-inputs" for thread in threading.enumerate()), "the feeder ends")
    assert function.remote("after") == "after" if way != "remote_gen" else list(function.remote_gen(1)) == [1]
    assert len(service.executed) == 1
    assert not client.session._calls


def test_what_was_opened_is_cancelled(service: FakeService, running: Running) -> None:
    function = running(echo)
    service.hold.clear()

    async def main() -> None:
        results = function.map.aio(["a", "b"])
        task = asyncio.ensure_future(first(results))
        await asyncio.to_thread(service.wait_for, lambda: len(service.offered) == 2)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(main())
    service.wait_for(lambda: len(service.cancelled) == 1)


class Manager:
    def __init__(self) -> None:
        self.go_on, self.entering, self.left = threading.Event(), threading.Event(), threading.Event()

    def __enter__(self) -> None:
        self.entering.set()
        assert self.go_on.wait(10)

    def __exit__(self, *_: object) -> None:
        self.left.set()


def test_what_is_entered_for_nobody_is_left_again() -> None:
    manager = Manager()

    async def main() -> None:
        task = asyncio.ensure_future(entered_in_thread(manager))
        await asyncio.to_thread(manager.entering.wait, 10)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        manager.go_on.set()

    asyncio.run(main())
    assert manager.left.wait(10)
