"""The app that is measured."""

import time
from collections.abc import Iterator

import wherry

app = wherry.App("benchmark")
image = wherry.Image.debian_slim()
COLD_FUNCTIONS = 12


@app.function(image=image, max_containers=1)
def noop(data: bytes) -> None:
    """Do nothing, in one container, as a pool of one process would."""


@app.function(image=image, max_containers=2)
def noop_wide(data: bytes) -> None:
    """Do nothing, in up to two containers."""


@app.function(image=image, max_containers=1)
def echo(data: bytes) -> bytes:
    """Give back what came."""
    return data


@app.function(image=image, max_containers=1, scaledown_window=1)
def inside(count: int, data: bytes) -> list[float]:
    """Call `noop` from inside a container; return the seconds each call took."""
    noop.remote(data)
    times = []
    for _ in range(count):
        began = time.perf_counter()
        noop.remote(data)
        times.append(time.perf_counter() - began)
    return times


@app.function(image=image, max_containers=1, scaledown_window=1)
def values(count: int) -> Iterator[int]:
    """Yield numbers."""
    yield from range(count)


@app.function(image=image, max_containers=10)
def hold(seconds: float) -> float:
    """Tell when it began, and keep the container busy."""
    began = time.time()
    time.sleep(seconds)
    return began


def answer() -> int:
    """Answer; each cold function is this one under another name."""
    return 1


cold = [app.function(image=image, name=f"cold_{number}")(answer) for number in range(COLD_FUNCTIONS)]
