"""Runs the functions of tests/cases/calls in each way that a container can; a few containers serve them all."""

import asyncio
import importlib
import inspect
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import wherry

app = wherry.App("cases", image=wherry.Image.debian_slim())
with_numpy = wherry.Image.debian_slim().pip_install("numpy")

# Fresh containers would hide that one has died.
ONE: dict[str, Any] = {"max_containers": 1, "timeout": 60}


def _call(module: str, name: str, args: tuple[Any, ...]) -> Any:
    return getattr(importlib.import_module(module), name)(*args)


@app.function(**ONE)
def plain(module: str, name: str, args: tuple[Any, ...]) -> Any:
    return _call(module, name, args)


@app.function(**ONE)
def generator(module: str, name: str, args: tuple[Any, ...]) -> Iterator[Any]:
    value = _call(module, name, args)
    if inspect.isgenerator(value):
        yield from value
    else:
        yield value


@app.function(**ONE)
async def coroutine(module: str, name: str, args: tuple[Any, ...]) -> Any:
    value = _call(module, name, args)
    return await value if inspect.isawaitable(value) else value


@app.function(**ONE)
async def async_generator(module: str, name: str, args: tuple[Any, ...]) -> AsyncIterator[Any]:
    await asyncio.sleep(0)
    value = _call(module, name, args)
    if inspect.isgenerator(value):
        for item in value:
            yield item
    else:
        yield value


@app.function(**ONE)
@wherry.concurrent(max_inputs=4)
def threads(module: str, name: str, args: tuple[Any, ...]) -> Any:
    return _call(module, name, args)


@app.function(**ONE)
@wherry.batched(max_batch_size=2, wait_ms=1)
def batch(modules: list[str], names: list[str], args: list[tuple[Any, ...]]) -> list[Any]:
    return [_call(*call) for call in zip(modules, names, args, strict=True)]


@app.cls(**ONE)
class Methods:
    @wherry.method()
    def method(self, module: str, name: str, args: tuple[Any, ...]) -> Any:
        return _call(module, name, args)


@app.function(image=with_numpy, **ONE)
def numpy(module: str, name: str, args: tuple[Any, ...]) -> Any:
    value = _call(module, name, args)
    return list(value) if inspect.isgenerator(value) else value


@app.function(image=with_numpy, **ONE)
def numpy_generator(module: str, name: str, args: tuple[Any, ...]) -> Iterator[Any]:
    yield from _call(module, name, args)


def process() -> int:
    """Which process runs this: another one, if the container was replaced."""
    return os.getpid() if wherry.is_local() else hash((os.getpid(), os.uname().nodename))
