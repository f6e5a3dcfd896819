"""What counts is what a decorated function itself is, not what it wraps; a coroutine that a plain wrapper returns is
awaited."""

import asyncio
import functools
from collections.abc import Callable, Iterator
from typing import Any

import wherry

COMMANDS = {"wraps": "wherry run -q {file}"}
EXPECTED = {"wraps": (0, "finished 2 awaited 2 passed 2 collected [0, 1] twice [3, 3] yielded [0, 1] method 2\n")}
app = wherry.App("case-wrapped")


def finished(function: Callable[..., Any]) -> Callable[..., Any]:
    return functools.wraps(function)(lambda *args: asyncio.run(function(*args)))


def passed(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper


def collected(function: Callable[..., Any]) -> Callable[..., Any]:
    return functools.wraps(function)(lambda *args: list(function(*args)))


def awaited(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper


def twice(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any) -> Iterator[Any]:
        yield function(*args)
        yield function(*args)

    return wrapper


@app.function()
@finished
async def finish(x: int) -> int:
    return x + 1


@app.function()
@awaited
def wait(x: int) -> int:
    return x + 1


@app.function()
@passed
async def hand_on(x: int) -> int:
    return x + 1


@app.function()
@collected
def collect(n: int) -> Iterator[int]:
    yield from range(n)


@app.function()
@twice
def say(x: int) -> int:
    return x


@app.function(is_generator=True)
@passed
def count(n: int) -> Iterator[int]:
    yield from range(n)


@app.cls()
class Methods:
    @wherry.method()
    @finished
    async def method(self, x: int) -> int:
        return x + 1


@app.local_entrypoint()
def main() -> None:
    values: dict[str, Any] = {
        "finished": finish.remote(1),
        "awaited": wait.remote(1),
        "passed": hand_on.remote(1),
        "collected": collect.remote(2),
        "twice": list(say.remote_gen(3)),
        "yielded": list(count.remote_gen(2)),
        "method": Methods().method.remote(1),
    }
    print(*(word for item in values.items() for word in item))
