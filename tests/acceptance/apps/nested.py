"""Functions that call functions: of their own app, of another, themselves."""

import sys
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


@app.function(max_containers=1, image=wherry.Image.debian_slim().pip_install("protobuf==3.20.3", "grpcio==1.51.3"))
def ask_beside_old_packages(x: int) -> tuple[int, str, str]:
    """Call from a process that has its own, older protobuf and gRPC loaded."""
    import google.protobuf
    import grpc

    return double.remote(x), google.protobuf.__version__, grpc.__version__


@app.function(max_containers=1)
def modules(x: int) -> tuple[int, list[str]]:
    """Call, and tell what of the service's own needs has been loaded for it."""
    return double.remote(x), [name for name in ("google", "grpc", "asyncio", "rich") if name in sys.modules]


@app.function(max_containers=1)
def leaf(x: int) -> int:
    if x < 0:
        raise ValueError("negative")
    return x


@app.function(max_containers=1)
def branch(xs: list[int]) -> int:
    return sum(value for value in leaf.map(xs, return_exceptions=True) if isinstance(value, int))


@app.function(max_containers=1)
def tree(wait_s: float = 0.0) -> int:
    """Two branches, one of which has a leaf that fails."""
    result = branch.remote([1, 2]) + branch.remote([3, -1])
    slow.remote(wait_s)
    return result


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
