"""Calls. Checked, never executed."""

from typing import Any, assert_type

import wherry

app = wherry.App("types")


@app.function()
def plain(a: int) -> float:
    return a / 2


def calls() -> None:
    call = plain.spawn(1)
    assert_type(call.get(timeout=1), float)
    assert_type(list(call.iter()), list[float])
    assert_type(call.num_inputs(), int)
    assert_type(call.object_id, str)
    call.get(timeout="a")  # type: ignore[arg-type]


def found_again() -> None:
    assert_type(wherry.FunctionCall.from_id("fc-1").get(), Any)
    assert_type(wherry.FunctionCall[float]("fc-1").get(), float)
    known: wherry.FunctionCall[float] = wherry.FunctionCall.from_id("fc-1")
    assert_type(known.get(), float)
    assert_type(wherry.FunctionCall.gather(known), list[Any])
    assert_type(wherry.gather(known, known), list[Any])


async def awaiting() -> None:
    call = await plain.spawn.aio(1)
    assert_type(await call.get.aio(), float)
    assert_type(await call.cancel.aio(), None)
    async for value in call.iter.aio():
        assert_type(value, float)
