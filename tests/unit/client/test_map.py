"""map, starmap, for_each: on a fake service."""

import asyncio
import contextvars
import dataclasses
import gc
import itertools
import logging
import pickle
import sys
import threading
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from tests.fakes.service import FakeService
from wherry._calling.stream_call import MAX_UNANSWERED
from wherry.exception import SerializationError, UnraisableError, UserCodeException, as_returned

Running = Callable[..., Any]


def square(x: int) -> int:
    return x * x


def echoed(x: Any) -> Any:
    return x


def pair(a: int, b: int, c: int = 0) -> tuple[int, int, int]:
    return a, b, c


def nothing(x: int) -> None:
    return None


def odd_fails(x: int) -> int:
    if x % 2:
        raise ValueError(x)
    return x


def repeat(n: int) -> Iterator[int]:
    for _ in range(n):
        yield n


def stop(x: int) -> int:
    raise StopIteration


async def arange(n: int) -> AsyncIterator[int]:
    for i in range(n):
        await asyncio.sleep(0)
        yield i


def test_b03_map_zips_and_keeps_order(service: FakeService, running: Running) -> None:
    function = running(pair)
    service.reverse = True
    service.hold.clear()
    results = function.map([1, 2, 3], [4, 5])

    released = threading.Thread(target=lambda: (service.wait_for(lambda: len(service.offered) >= 2), service.release()))
    released.start()
    assert list(results) == [(1, 4, 0), (2, 5, 0)]
    released.join()


def test_b04_map_unordered_in_order_of_completion(service: FakeService, running: Running) -> None:

    function = running(square)
    service.reverse = True
    service.hold.clear()
    threading.Thread(target=lambda: (service.wait_for(lambda: len(service.offered) >= 3), service.release())).start()
    assert list(function.map([1, 2, 3], order_outputs=False)) == [9, 4, 1]


@pytest.mark.parametrize("inputs", [[], (), range(0), iter(())])
def test_b05_empty_input(running: Running, inputs: Any) -> None:
    assert list(running(square).map(inputs)) == []


def test_b05_async_input_and_sync_consumer(running: Running) -> None:
    assert list(running(square).map(arange(5))) == [0, 1, 4, 9, 16]


def test_b05_async_consumer(running: Running) -> None:
    function = running(square)

    async def main() -> None:
        assert [x async for x in function.map.aio(arange(5))] == [0, 1, 4, 9, 16]
        assert [x async for x in function.map.aio([1, 2])] == [1, 4]
        assert [x async for x in function.map.aio(x for x in (1, 2))] == [1, 4]
        assert [x async for x in function.map.aio([])] == []
        # A blocking consumer inside async code.
        assert list(function.map([3])) == [9]
        await function.for_each.aio([1])

    asyncio.run(main())


def test_b06_none_results_are_results(running: Running) -> None:
    assert list(running(nothing).map(range(3))) == [None] * 3


def test_b07_exception_of_the_input_iterator_surfaces(service: FakeService, running: Running) -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise LookupError("no more")

    async def broken_async() -> AsyncIterator[int]:
        yield 1
        raise LookupError("no more")

    function = running(square)
    with pytest.raises(LookupError, match="no more"):
        list(function.map(broken()))

    async def main() -> None:
        with pytest.raises(LookupError, match="no more"):
            [x async for x in function.map.aio(broken_async())]

    asyncio.run(main())
    service.wait_for(lambda: len(service.cancelled) == 2)


def test_b08_starmap_spreads(running: Running) -> None:
    function = running(pair)
    assert list(function.starmap([(1, 2), [3, 4]], kwargs={"c": 5})) == [(1, 2, 5), (3, 4, 5)]


def test_b09_for_each(service: FakeService, running: Running) -> None:
    function = running(odd_fails)
    function.for_each([0, 1, 2], ignore_exceptions=True)
    assert len(service.executed) == 3
    with pytest.raises(ValueError, match="1"):
        function.for_each([0, 1, 2])


def test_b10_first_failure_raises_and_cancels(service: FakeService, running: Running) -> None:
    results = running(odd_fails).map(itertools.count())
    assert next(results) == 0
    with pytest.raises(ValueError, match="1"):
        next(results)
    assert list(results) == []
    service.wait_for(lambda: len(service.cancelled) == 1)


def test_b10_return_exceptions(running: Running) -> None:
    function = running(odd_fails)
    results = list(function.map(range(3), return_exceptions=True))
    assert [results[0], results[2]] == [0, 2]
    # Programs of 2023 take it for a UserCodeException, those since 1.4 for the function's own.
    assert isinstance(results[1], UserCodeException)
    assert results[1].exc is results[1]
    assert isinstance(results[1], ValueError)
    assert (type(results[1]), repr(results[1])) == (ValueError, "ValueError(1)")
    with pytest.raises(ValueError, match="1"):
        raise results[1]
    raw = list(function.starmap([(0,), (1,)], return_exceptions=True, wrap_returned_exceptions=False))
    assert type(raw[1]) is ValueError
    assert not isinstance(raw[1], UserCodeException)
    assert not hasattr(raw[1], "exc")
    wrapped = list(function.map([1], return_exceptions=True, wrap_returned_exceptions=True))
    assert type(wrapped[0]) is UserCodeException
    assert repr(wrapped[0]) == "UserCodeException(ValueError(1))"


class Own(Exception):
    """Has an `exc` of its own."""

    exc = property(lambda self: "mine")


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    code: int


@pytest.mark.parametrize(
    "error", [ValueError(1), Own("a"), Frozen(3), OSError(2, "no"), UnicodeDecodeError("a", b"", 0, 1, "b")]
)
def test_a_returned_exception_is_of_both_kinds(error: Exception) -> None:
    assert not isinstance(error, UserCodeException)
    assert as_returned(error) is error
    assert isinstance(error, (type(error), UserCodeException))
    assert isinstance(error, UserCodeException)
    assert error.exc == (error if not isinstance(error, Own) else "mine")
    if not isinstance(error, Frozen):  # which no pickle brings back, marked or not
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), again.args) == (type(error), error.args)
    assert not isinstance(ValueError(), UserCodeException)
    assert not isinstance(error, type("Sub", (UserCodeException,), {}))
    assert issubclass(UserCodeException, Exception)


def test_b11_unconsumed_map_warns_and_runs_nothing(
    service: FakeService, running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    function = running(square)
    with caplog.at_level(logging.WARNING):
        function.map([1])
        gc.collect()
    assert "was not consumed" in caplog.text or "were not consumed" in caplog.text
    assert "for result in square.map" in caplog.text
    assert not service.offered


def test_map_over_generator_is_a_flat_map(running: Running) -> None:
    function = running(repeat)
    assert sorted(function.map([0, 1, 2])) == [1, 2, 2]
    with pytest.raises(ValueError, match="ordered"):
        function.map([1], order_outputs=True)


def test_b20_duplicates_in_map(service: FakeService, running: Running) -> None:
    service.deliver_twice = True
    assert list(running(square).map(range(5))) == [0, 1, 4, 9, 16]
    assert list(running(square).map(range(5), order_outputs=False)) == [0, 1, 4, 9, 16]


def test_stop_iteration_in_the_function_does_not_end_the_loop(running: Running) -> None:
    with pytest.raises(UnraisableError, match="StopIteration"):
        list(running(stop).map([1]))
    # Nor one that has nothing to do with Wherry.
    with pytest.raises(UnraisableError, match="StopIteration"):
        list(map(running(stop).remote, [1]))


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("kind", [list, iter])
def test_a_row_that_can_not_be_sent_fails_alone(running: Running, ordered: bool, kind: Callable[[Any], Any]) -> None:
    lock = threading.Lock()
    rows = [lock, 1, lock, lock, 4, 5, lock]
    results = list(
        running(echoed).map(kind(rows), return_exceptions=True, wrap_returned_exceptions=False, order_outputs=ordered)
    )
    shown = [result if isinstance(result, int) else type(result).__name__ for result in results]
    failed = "SerializationError"
    expected = [failed, 1, failed, failed, 4, 5, failed]
    assert shown == expected if ordered else sorted(map(str, shown)) == sorted(map(str, expected))
    assert "argument 1 of echoed can't be sent" in str(next(one for one in results if isinstance(one, Exception)))


def test_it_is_raised_in_its_turn(service: FakeService, running: Running) -> None:
    results = running(echoed).map([1, threading.Lock(), 3])
    assert next(results) == 1
    with pytest.raises(SerializationError, match="argument 1 of echoed can't be sent"):
        next(results)
    assert list(results) == []


def test_iterators_see_the_callers_context(running: Running) -> None:
    who = contextvars.ContextVar("who", default="nobody")

    def inputs() -> Iterator[str]:
        yield who.get()
        who.set("somebody else")

    async def asynchronous() -> AsyncIterator[str]:
        yield who.get()

    async def main(function: Any, rows: Any) -> list[str]:
        return [value async for value in function.map.aio(rows)]

    echo = running(echoed)
    who.set("me")
    assert list(echo.map(inputs())) == list(echo.map(asynchronous())) == ["me"]
    assert asyncio.run(main(echo, inputs())) == asyncio.run(main(echo, asynchronous())) == ["me"]
    assert who.get() == "me"


class Deep(BaseException):
    pass


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, asyncio.CancelledError, GeneratorExit, Deep])
def test_return_exceptions_returns_all_of_them(running: Running, kind: type[BaseException]) -> None:
    def fail(x: int) -> int:
        if x == 1:
            raise kind("bad option")
        return x

    first, failed, last = running(fail).map(range(3), return_exceptions=True, wrap_returned_exceptions=False)
    assert (first, last) == (0, 2)
    assert type(failed.exc if isinstance(failed, UnraisableError) else failed) is kind


def test_a_task_group_hears_of_a_cancelled_sub_task_there(running: Running) -> None:
    def fail(x: int) -> int:
        raise asyncio.CancelledError

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(running(fail).remote.aio(1))

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(main())
    assert isinstance(caught.value.exceptions[0], UnraisableError)


def test_unconsumed_rest_is_cancelled(service: FakeService, running: Running) -> None:
    for value in running(square).map(itertools.count()):
        if value > 10:
            break
    gc.collect()
    service.wait_for(lambda: len(service.cancelled) == 1)


def test_outstanding_inputs_are_bounded(service: FakeService, running: Running) -> None:
    drawn = 0

    def inputs() -> Iterator[int]:
        nonlocal drawn
        while drawn < 10_000:
            yield drawn
            drawn += 1

    function = running(square)
    service.hold.clear()
    results = function.map(inputs())

    seen: list[int] = []

    def release() -> None:
        service.wait_for(lambda: len(service.offered) >= MAX_UNANSWERED)
        seen.append(drawn)
        service.release()

    thread = threading.Thread(target=release)
    thread.start()
    assert next(results) == 0
    thread.join()
    # One more may have been drawn when the room was used up.
    assert seen[0] <= MAX_UNANSWERED + 1
    results.close()


def test_memory_stays_flat_over_many_inputs(running: Running, service: FakeService) -> None:
    function = running(nothing)
    service.messages = _Forgetful()
    service.offered = _Forgetful()
    service.executed = _Forgetful()
    service.taken = _Forgetful()
    service._answered = _ForgetfulDict()
    tracemalloc.start()
    try:
        for n, _ in enumerate(function.map(iter(range(20_000)))):
            if n == 3000:
                early, _ = tracemalloc.get_traced_memory()
                tracemalloc.reset_peak()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - early < 16 << 20, f"{(peak - early) >> 20} MiB more, Python {sys.version}"


class _Forgetful(list):  # type: ignore[type-arg]
    def append(self, item: Any) -> None:
        pass

    def __iadd__(self, other: Any) -> "_Forgetful":  # type: ignore[misc,override]
        return self


class _ForgetfulDict(dict):  # type: ignore[type-arg]
    def __setitem__(self, key: Any, value: Any) -> None:
        pass
