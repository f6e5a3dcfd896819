"""Functions: `local`, `map` and its like know the function's parameters. Checked, never executed."""

import datetime
from collections.abc import AsyncIterator, Iterator
from typing import Any, assert_type

import wherry
from wherry import Function, FunctionCall
from wherry.types import CallRecord, FunctionStats

app = wherry.App("types")


@app.function()
def plain(a: int, b: str = "") -> float:
    return a / len(b)


@app.function()
def two(a: int, b: str) -> float:
    return a / len(b)


@app.function()
def three(a: int, b: str, c: bytes) -> str:
    return f"{a}{b}{c!r}"


@app.function()
def four(a: int, b: int, c: int, d: str) -> str:
    return f"{a}{b}{c}{d}"


@app.function()
def any_number(*a: int) -> str:
    return str(a)


@app.function()
async def coroutine(a: int) -> str:
    return str(a)


@app.function()
def generator(a: int) -> Iterator[int]:
    yield a


@app.function()
async def async_generator(a: int) -> AsyncIterator[bytes]:
    yield bytes(a)


@app.function()
@wherry.batched(max_batch_size=4, wait_ms=100)
def batch(a: list[int]) -> list[str]:
    return [str(x) for x in a]


@app.function()
@wherry.batched(max_batch_size=4, wait_ms=100)
async def async_batch(a: list[int]) -> list[str]:
    return [str(x) for x in a]


def local() -> None:
    assert_type(plain.local(1), float)
    assert_type(generator.local(1), Iterator[int])
    assert_type(async_generator.local(1), AsyncIterator[bytes])
    assert_type(batch.local([1]), list[str])
    assert_type(plain.get_raw_f()(1), float)
    plain.local("a")  # type: ignore[arg-type]


def mapped() -> None:
    assert_type(list(plain.map([1])), list[float])
    assert_type(list(plain.map(range(3), ["a"], order_outputs=False)), list[float])
    assert_type(list(coroutine.map([1])), list[str])
    assert_type(list(generator.map([1])), list[int])
    assert_type(list(async_generator.map([1])), list[bytes])
    assert_type(list(batch.map([1])), list[str])
    assert_type(list(any_number.map([1], [2])), list[str])
    assert_type(list(three.map([1], ["a"], [b"c"])), list[str])
    assert_type(list(four.map([1], [2], [3], ["a"])), list[str])
    # What `kwargs` has is not checked, nor what stands beside it.
    assert_type(list(two.map([1], kwargs={"b": "x"})), list[float])
    plain.map(["a"])  # type: ignore[list-item]
    plain.map([1], [2])  # type: ignore[list-item]
    two.map([1])  # type: ignore[call-overload]
    coroutine.map([1], [2])  # type: ignore[call-overload]
    generator.map(["a"])  # type: ignore[list-item]


def starmapped(rows: list[tuple[int, str]], same: list[tuple[int, ...]], lists: list[list[Any]]) -> None:
    assert_type(list(two.starmap(rows)), list[float])
    assert_type(list(two.starmap([(1, "a")])), list[float])
    assert_type(list(two.starmap(zip([1], ["a"], strict=True))), list[float])
    assert_type(list(two.starmap(lists)), list[float])
    assert_type(list(any_number.starmap(same)), list[str])
    assert_type(list(three.starmap([(1, "a", b"c")])), list[str])
    assert_type(list(four.starmap([(1, 2, 3, "a")])), list[str])
    assert_type(list(generator.starmap([(1,)])), list[int])
    assert_type(list(two.starmap([(1,)], kwargs={"b": "x"})), list[float])
    two.starmap([("a", 1)])  # type: ignore[list-item]
    two.starmap([1])  # type: ignore[list-item]


def visited() -> None:
    assert_type(two.for_each([1], ["a"]), None)
    assert_type(two.for_each([1], ["a"], ignore_exceptions=True), None)
    two.for_each(["a"], ["a"])  # type: ignore[list-item]


def others() -> None:
    assert_type(next(generator.remote_gen(1)), int)
    assert_type(next(async_generator.remote_gen(1)), bytes)
    assert_type(plain.spawn_map([1]), FunctionCall[float])
    assert_type(plain.with_options(cpu=2).local(1), float)
    assert_type(plain.web_url, str)
    assert_type(plain.is_generator, bool)


def asked() -> None:
    hour = datetime.timedelta(hours=1)
    assert_type(plain.calls(), list[CallRecord])
    assert_type(plain.calls(state=["failed"], since=hour, until=datetime.datetime.now(), limit=None)[0].state, str)
    assert_type(plain.calls()[0].run_seconds, float | None)
    assert_type(plain.stats(since=hour), FunctionStats)
    assert_type(plain.stats().input_percentile_stats["run_time"].percentiles[0].value, float)
    plain.calls(limit="all")  # type: ignore[arg-type]
    plain.calls("failed")  # type: ignore[call-arg]


def looked_up() -> None:
    found = Function.from_name("app", "f")
    assert_type(found.remote(1), Any)
    assert_type(found.local(1), Any)
    assert_type(list(found.map([1], ["a"])), list[Any])
    assert_type(list(found.starmap([(1, "a")])), list[Any])
    assert_type(next(found.remote_gen(1)), Any)


async def awaiting() -> None:
    assert_type(await coroutine.local(1), str)
    assert_type(await async_batch.local([1]), list[str])
    async for value in plain.map.aio([1]):
        assert_type(value, float)
    async for value in two.starmap.aio([(1, "a")]):
        assert_type(value, float)
    async for number in generator.remote_gen.aio(1):
        assert_type(number, int)
    assert_type(await two.for_each.aio([1], ["a"]), None)
    assert_type(await plain.calls.aio(error="x"), list[CallRecord])
    assert_type(await plain.stats.aio(all_variants=True), FunctionStats)
    plain.map.aio(["a"])  # type: ignore[list-item]
