"""Runs the functions of tests/cases/differential*.py in containers, one for each kind of function."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import wherry
from tests.cases import differential, differential_flow

app = wherry.App("differential", image=wherry.Image.debian_slim())
ONE: dict[str, Any] = {"max_containers": 1, "timeout": 60}


def _named(name: str) -> Any:
    return getattr(differential_flow, name, None) or getattr(differential, name)


@app.function(**ONE)
def plain(name: str) -> Any:
    return _named(name)()


@app.function(**ONE)
def generator(name: str) -> Iterator[Any]:
    yield from _named(name)()


@app.function(**ONE)
async def coroutine(name: str) -> Any:
    return await _named(name)()


@app.function(**ONE)
async def async_generator(name: str) -> AsyncIterator[Any]:
    async for value in _named(name)():
        yield value
