"""The functions that the acceptance tests call. Each costs a container, so one serves several tests."""

import os
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import wherry

app = wherry.App("acceptance", image=wherry.Image.debian_slim())


class MyError(Exception):
    """An exception with arguments of its own."""

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail


@app.function(max_containers=2)
def add(a: int, b: int = 0, *, extra: int = 0) -> int:
    return a + b + extra


@app.function(max_containers=1)
def echo(value: Any) -> Any:
    return value


@app.function(max_containers=1)
def describe(value: Any) -> tuple[str, str, Any]:
    """What a value is when it has arrived: the type's name, the object's id, and the value itself."""
    return type(value).__name__, value.object_id, value


@app.function(max_containers=1)
def ids() -> tuple[str | None, str | None]:
    return wherry.current_input_id(), wherry.current_function_call_id()


@app.function(max_containers=1, allow_concurrent_inputs=10)
def after(delay_s: float, value: Any) -> Any:
    """Return `value` after a time; ten of them at once, in one container."""
    time.sleep(delay_s)
    return value


@app.function(max_containers=1)
def nap(seconds: float) -> str:
    """Sleep alone in the container, and say where."""
    time.sleep(seconds)
    return socket.gethostname()


_executions = 0


@app.function(max_containers=1)
def count(_: Any = None) -> int:
    """How often this function has run."""
    global _executions
    _executions += 1
    return _executions


@app.function(max_containers=1)
def misbehave(how: str, *args: Any) -> int:
    if how == "raise":
        fail_with(*args)
    if how == "raise from":
        try:
            int("nonsense")
        except ValueError as error:
            raise MyError(*args) from error
    if how == "exit":
        sys.exit(*args)
    return os.getpid()


def fail_with(code: int, detail: str) -> None:
    raise MyError(code, detail)


@app.function(max_containers=2)
def refuse_odd(x: int) -> int:
    if x % 2:
        raise ValueError("odd", x)
    return x


@app.function(max_containers=1)
def numbers(n: int, fail_at_end: bool = False) -> Iterator[int]:
    yield from range(n)
    if fail_at_end:
        raise MyError(n, "after the last")


@app.function(max_containers=1)
async def async_numbers(n: int) -> AsyncIterator[int]:
    for i in range(n):
        yield i


_released = threading.Event()
_closed = threading.Event()


@app.function(max_containers=1, allow_concurrent_inputs=4)
def handshake(action: str) -> Iterator[Any]:
    """Generators that meet in one container: one waits for what another does."""
    if action == "wait":
        yield "started"
        yield _released.wait(30)
    elif action == "release":
        _released.set()
        yield "released"
    elif action == "go on":
        try:
            i = 0
            while True:
                yield i
                i += 1
        finally:
            _closed.set()
    elif action == "was closed":
        yield _closed.wait(30)


@app.function(max_containers=2)
def step(i: int) -> tuple[int, str]:
    """One of many short inputs: its number, and where it ran."""
    time.sleep(0.02)
    return i, socket.gethostname()


@app.function(max_containers=1)
def leave_mark(path: str, seconds: float) -> str:
    """Sleep, then write a file that can be seen from outside; return the container's host name."""
    time.sleep(seconds)
    Path(path).touch()
    return socket.gethostname()
