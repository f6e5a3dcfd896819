"""remote_gen: values as they are produced."""

import asyncio
from types import ModuleType

import pytest


def test_b16_values_arrive_as_they_are_produced(calls: ModuleType) -> None:
    waiting = iter(calls.handshake.remote_gen("wait"))

    # The generator goes on only when another call, made after its first value came, lets it.
    assert next(waiting) == "started"
    assert list(calls.handshake.remote_gen("release")) == ["released"]
    assert list(waiting) == [True]


def test_b16_both_styles_of_iteration_and_both_kinds_of_generator(calls: ModuleType) -> None:
    async def main() -> None:
        assert [value async for value in calls.numbers.remote_gen.aio(5)] == list(range(5))
        assert [value async for value in calls.async_numbers.remote_gen.aio(5)] == list(range(5))

    assert list(calls.numbers.remote_gen(0)) == []
    assert list(calls.numbers.remote_gen(5000)) == list(range(5000))
    assert list(calls.async_numbers.remote_gen(5)) == list(range(5))
    asyncio.run(main())


def test_b16_closing_early_ends_the_generator_there(calls: ModuleType) -> None:
    values = calls.handshake.remote_gen("go on")
    assert [next(values) for _ in range(3)] == [0, 1, 2]

    values.close()

    assert list(calls.handshake.remote_gen("was closed")) == [True]
    assert list(values) == []


def test_b17_a_generator_that_fails_gives_its_values_first(calls: ModuleType) -> None:
    values = calls.numbers.remote_gen(5, fail_at_end=True)
    assert [next(values) for _ in range(5)] == list(range(5))
    with pytest.raises(calls.MyError) as caught:
        next(values)
    assert caught.value.args == (5, "after the last")
