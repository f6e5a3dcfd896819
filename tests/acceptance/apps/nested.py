"""Functions that call functions: of their own app, of another, themselves."""

import time
from collections.abc import Iterator
from typing import Any

import wherry

app = wherry.App("nested")


@app.function(max_containers=2)
def double(x: int) -> int:
    return 2 * x


@app.function(max_containers=1)
def numbers(n: int) -> Iterator[int]:
    yield from range(n)


@app.function(max_containers=1)
def fail(text: str) -> None:
    raise ValueError(text)


@app.function(max_containers=1)
def slow(seconds: float) -> str:
    time.sleep(seconds)
    return "slept"


@app.function(max_containers=1, block_network=True)
def ask(how: str, *args: Any) -> Any:
    """Do something with the service from inside a container without a network."""
    if how == "remote":
        return double.remote(*args)
    if how == "map":
        return sum(double.map(range(*args)))
    if how == "generator":
        return list(numbers.remote_gen(*args))
    if how == "spawn":
        return double.spawn(*args)
    if how == "get":
        return args[0].get(timeout=30)
    if how == "call":
        return args[0].remote(*args[1:])
    if how == "lookup":
        return wherry.Function.lookup(*args[:2]).remote(*args[2:])
    if how == "size":
        return len(echo.remote(b"x" * args[0]))
    if how == "fail":
        return fail.remote(*args)
    if how == "ids":
        return wherry.current_input_id(), double.object_id
    if how == "run":
        with wherry.App("inner").run():
            return None
    return slow.remote(*args)


@app.function(max_containers=1)
def echo(value: Any) -> Any:
    return value


@app.function()
def fibonacci(n: int) -> int:
    """Each call waits for two others of its own function."""
    return n if n < 2 else fibonacci.remote(n - 1) + fibonacci.remote(n - 2)


@app.function(cpu=0.5)
async def countdown(n: int) -> list[int]:
    return [n, *(await countdown.remote.aio(n - 1))] if n else [0]
