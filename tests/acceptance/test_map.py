"""map, starmap and for_each."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Iterator
from types import ModuleType
from typing import Any

import pytest

import wherry


async def _asynchronously(values: Any) -> AsyncIterator[Any]:
    for value in values:
        await asyncio.sleep(0)
        yield value


def test_b03_map_zips_and_keeps_the_order_of_its_inputs(calls: ModuleType) -> None:
    assert list(calls.after.map([0.5, 0.2, 0, 0], ["a", "b", "c", "d", "left over"])) == ["a", "b", "c", "d"]


def test_b03_map_adds_keyword_arguments(calls: ModuleType) -> None:
    assert list(calls.add.map(range(3), range(3), kwargs={"extra": 10})) == [10, 12, 14]


def test_b04_unordered_results_come_as_they_are_done(calls: ModuleType) -> None:
    calls.after.remote(0, None)  # its container is there
    assert list(calls.after.map([1.0, 0.0], ["late", "early"], order_outputs=False)) == ["early", "late"]


def test_b05_inputs_and_consumers_may_be_asynchronous(calls: ModuleType) -> None:
    async def main() -> None:
        assert [value async for value in calls.add.map.aio(range(100))] == list(range(100))
        assert [value async for value in calls.add.map.aio(_asynchronously(range(100)))] == list(range(100))
        assert [v async for v in calls.add.map.aio(_asynchronously(range(5)), range(4))] == [0, 2, 4, 6]
        assert list(calls.add.map(range(3))) == [0, 1, 2]

    asyncio.run(main())
    assert list(calls.add.map(_asynchronously(range(3)))) == [0, 1, 2]
    assert list(calls.add.map(iter(range(2500)))) == list(range(2500))


def test_b05_no_input_gives_no_result(calls: ModuleType) -> None:
    async def main() -> None:
        assert [value async for value in calls.add.map.aio([])] == []
        assert [value async for value in calls.add.map.aio(_asynchronously([]))] == []

    assert list(calls.add.map([])) == []
    assert list(calls.add.map([1], [])) == []
    assert list(calls.add.starmap(iter(()))) == []
    asyncio.run(main())


def test_b06_none_is_a_result(calls: ModuleType) -> None:
    assert list(calls.echo.map([None, 1, None])) == [None, 1, None]
    assert calls.echo.remote(None) is None


def test_b07_what_the_input_iterator_raises_is_raised_here(calls: ModuleType) -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise LookupError("no more")

    async def main() -> None:
        async for _ in calls.add.map.aio(_asynchronously(broken())):
            pass

    with pytest.raises(LookupError, match="no more"):
        list(calls.add.map(broken()))
    with pytest.raises(LookupError, match="no more"):
        asyncio.run(main())
    assert calls.add.remote(1) == 1


def test_b08_starmap_spreads_tuples(calls: ModuleType) -> None:
    assert list(calls.add.starmap([(1, 2), (3, 4)])) == [3, 7]
    assert list(calls.add.starmap(iter([(1, 2), (3,)]), kwargs={"extra": 10})) == [13, 13]


def test_b09_for_each_runs_all_and_gives_nothing(calls: ModuleType) -> None:
    before = calls.count.remote()
    assert calls.count.for_each(range(5)) is None
    assert asyncio.run(calls.count.for_each.aio(range(5))) is None
    assert calls.count.remote() == before + 11

    with pytest.raises(ValueError, match="odd"):
        calls.refuse_odd.for_each(range(4))
    assert calls.refuse_odd.for_each(range(4), ignore_exceptions=True) is None


def test_b10_the_first_failing_output_raises(calls: ModuleType) -> None:
    results = calls.refuse_odd.map([0, 2, 3, 4])
    assert [next(results), next(results)] == [0, 2]
    with pytest.raises(ValueError, match="odd") as caught:
        next(results)
    assert caught.value.args == ("odd", 3)


def test_b10_exceptions_are_returned_where_that_is_asked_for(calls: ModuleType) -> None:
    zero, one, two = calls.refuse_odd.map([0, 1, 2], return_exceptions=True)
    assert (zero, two) == (0, 2)
    assert isinstance(one, wherry.exception.UserCodeException)
    assert type(one) is type(one.exc) is ValueError
    assert one.exc.args == ("odd", 1)

    _, raw, _ = calls.refuse_odd.map([0, 1, 2], return_exceptions=True, wrap_returned_exceptions=False)
    assert (type(raw), raw.args) == (ValueError, ("odd", 1))


def test_b11_what_is_not_consumed_warns_and_runs_nothing(calls: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    before = calls.count.remote()
    for forget in (
        lambda: calls.count.map(range(10)),
        lambda: calls.count.starmap([(1,)]),
        lambda: calls.numbers.remote_gen(3),
    ):
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="wherry"):
            forget()
            gc.collect()
        assert "not consumed" in caplog.text
        assert "for" in caplog.text
    assert calls.count.remote() == before + 1


def test_a_map_over_a_generator_function_is_flat(calls: ModuleType) -> None:
    assert sorted(calls.numbers.map([1, 0, 3])) == [0, 0, 1, 2]
    with pytest.raises(ValueError, match="order_outputs"):
        calls.numbers.map([1], order_outputs=True)
