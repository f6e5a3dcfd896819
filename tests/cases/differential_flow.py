"""Functions that yield, wait, hear signals and print: as those of differential.py."""

import asyncio
import contextlib
import contextvars
import functools
import io
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, NoReturn

from tests.cases.differential import _Own, _Point, division

# Generators


def count() -> Iterator[int]:
    yield from range(5)


def none_at_all() -> Iterator[int]:
    yield from ()


def fails_late() -> Iterator[int]:
    yield 1
    raise _Own(9)


def returns_something() -> Iterator[int]:
    yield 1
    return 7


def many_kinds() -> Iterator[Any]:
    yield _Point(2)
    yield None
    yield [lambda: 3][0]()


def prints_between() -> Iterator[int]:
    for number in range(3):
        print("before", number)
        yield number
    print("at the end", file=sys.stderr)


def context_in_generator() -> Iterator[int]:
    for number in range(3):
        _seen.set(_seen.get() + number)
        yield _seen.get()


async def async_count() -> AsyncIterator[int]:
    for number in range(3):
        await asyncio.sleep(0)
        yield number


async def async_fails_late() -> AsyncIterator[int]:
    yield 1
    await asyncio.sleep(0)
    raise _Own(10)


# Coroutines

_seen: contextvars.ContextVar[int] = contextvars.ContextVar("_seen", default=0)


async def awaits() -> int:
    await asyncio.sleep(0.001)
    return 5


async def gathers() -> Any:
    async def one(x: int) -> int:
        await asyncio.sleep(0)
        return x * 2

    return await asyncio.gather(*(one(x) for x in range(4)))


async def gathers_errors() -> Any:
    async def one(x: int) -> int:
        return 1 // x

    return [repr(item) for item in await asyncio.gather(one(0), one(1), return_exceptions=True)]


async def task_group_fails() -> None:
    async def one(x: int) -> None:
        await asyncio.sleep(0)
        raise _Own(x)

    async with asyncio.TaskGroup() as group:
        group.create_task(one(1))
        group.create_task(one(2))


async def times_out() -> None:
    try:
        async with asyncio.timeout(0.001):
            await asyncio.sleep(10)
    except TimeoutError as error:
        raise _Own(12, repr(error)) from None


async def cancels_its_own() -> str:
    task = asyncio.create_task(asyncio.sleep(10))
    await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return f"{task.cancelled()}"


async def runs_in_running_loop() -> Any:
    coroutine = awaits()
    try:
        return asyncio.run(coroutine)
    finally:
        coroutine.close()


async def in_executor() -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, division)


async def async_child() -> Any:
    process = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
    out, _ = await process.communicate(b"through")
    return out, process.returncode


async def context_in_tasks() -> Any:
    async def inner() -> int:
        _seen.set(9)
        return _seen.get()

    _seen.set(1)
    return await asyncio.create_task(inner()), _seen.get()


async def own_cancellation() -> None:
    task = asyncio.create_task(asyncio.sleep(10))
    await asyncio.sleep(0)
    task.cancel()
    await task


def runs_a_loop() -> int:
    return asyncio.run(awaits())


# Context variables, signals, wrapping


def context_is_fresh() -> int:
    before = _seen.get()
    _seen.set(before + 100)
    return before


def context_is_fresh_again() -> int:
    return context_is_fresh()


def raises_a_signal() -> list[int]:
    heard: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: heard.append(number))
    signal.raise_signal(signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)
    return heard


def alarm_raises() -> None:
    def ring(number: int, frame: object) -> NoReturn:
        raise TimeoutError("rung")

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    try:
        time.sleep(10)
    finally:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


def in_main_thread() -> Any:
    return threading.current_thread() is threading.main_thread(), threading.active_count() >= 1


def _logged(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        print("calls", function.__name__)
        return function(*args, **kwargs)

    return wrapper


@_logged
def wrapped() -> int:
    return 4


@_logged
def wrapped_fails() -> int:
    raise _Own(11)


@functools.lru_cache
def cached() -> int:
    return 6


# Output


def prints() -> None:
    print("one", "two", sep="-")
    print("näïve \u4e2d", end="!\n")
    print("to stderr", file=sys.stderr)


def prints_without_end() -> None:
    print("no newline", end="")


def prints_odd_lines() -> None:
    print("a\n\nb\ttab  ")
    sys.stdout.writelines(["x\n", "y\n"])
    print("z" * 5000)


def writes_bytes() -> None:
    sys.stdout.flush()
    sys.stdout.buffer.write(b"bytes\n")
    sys.stdout.buffer.flush()
    os.write(1, b"descriptor\n")


def children_print() -> None:
    subprocess.run(["sh", "-c", "echo from a child; echo its stderr >&2"], check=True)
    os.system("echo from another")


def threads_print() -> None:
    thread = threading.Thread(target=print, args=("from a thread",))
    thread.start()
    thread.join()


def redirects() -> str:
    buffer = io.StringIO()
    with contextlib.redirect_stdout(buffer):
        print("caught")
    print("not caught")
    return buffer.getvalue()


def logs() -> None:
    logging.getLogger("differential").warning("a warning of %s", "logging")


def warns() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("mind this", UserWarning, stacklevel=1)


def prints_surrogates() -> None:
    print("before")
    print("\udc80")


def streams() -> Any:
    return sys.stdout.isatty(), sys.stdout.encoding, sys.stdout.fileno(), sys.stderr.fileno(), sys.stdout.writable()


def reads_stdin() -> Any:
    return sys.stdin.read()


def asks() -> str:
    return input("? ")


def unraisable() -> None:
    class Bad:
        def __del__(self) -> None:
            raise ValueError("in __del__")

    Bad()


def thread_fails() -> None:
    thread = threading.Thread(target=division, name="failing")
    thread.start()
    thread.join()


def queues() -> Any:
    items: queue.Queue[int] = queue.Queue()
    thread = threading.Thread(target=lambda: items.put(1))
    thread.start()
    return items.get(timeout=5)
