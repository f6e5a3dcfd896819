"""Functions whose containers take several inputs, or only one."""

import asyncio
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import wherry

app = wherry.App("concurrency", image=wherry.Image.debian_slim())

Ids = tuple[str | None, str | None]


@app.function(max_containers=1)
@wherry.batched(max_batch_size=4, wait_ms=300)
def double(xs: list[Any], note: list[str] | None = None) -> list[tuple[Any, int, str]]:
    if "fail" in xs:
        raise ValueError("no batch with that in it")
    results = [(2 * x, len(xs), text) for x, text in zip(xs, note or [""] * len(xs), strict=True)]
    return results[:-1] if "short" in xs else results


@app.function(max_containers=1)
@wherry.concurrent(max_inputs=2)
@wherry.batched(max_batch_size=3, wait_ms=50)
async def double_async(xs: list[int]) -> list[int]:
    await asyncio.sleep(0.05)
    return [2 * x for x in xs]


def ids() -> Ids:
    return wherry.current_input_id(), wherry.current_function_call_id()


@app.function(max_containers=1)
@wherry.concurrent(max_inputs=6)
def thread(seconds: float) -> tuple[Ids, Ids, str]:
    before = ids()
    time.sleep(seconds)
    return before, ids(), socket.gethostname()


@app.function(max_containers=1)
@wherry.concurrent(max_inputs=6)
async def task(seconds: float) -> tuple[Ids, Ids, Ids]:
    async def nested() -> Ids:
        await asyncio.sleep(seconds)
        return ids()

    before = ids()
    within, in_thread = await asyncio.gather(nested(), asyncio.to_thread(ids))
    return before, within, in_thread


@app.function(max_containers=1)
def mark(path: str, seconds: float) -> bool:
    """Sleep, and leave a file when interrupted; tell whether there is one of an earlier input."""
    found = Path(path).exists()
    try:
        time.sleep(seconds)
    except wherry.exception.InputCancellation:
        Path(path).touch()
        raise
    return found


@app.function(max_containers=1)
def ticks(path: str, count: int) -> Iterator[Any]:
    """Values for ever, and a file at their end; or whether there is one."""
    if not count:
        yield Path(path).exists()
        return
    try:
        for i in range(count):
            yield i
            time.sleep(0.02)
    finally:
        Path(path).touch()


@app.function(single_use_containers=True, max_containers=3)
def once() -> str:
    return socket.gethostname()


@app.function(gpu="T4:64", max_containers=1)
def needs_gpu() -> None:
    """Runs nowhere: no machine has as many."""


@app.function(retries=wherry.Retries(max_retries=3, backoff_coefficient=1.0, initial_delay=0.1), max_containers=1)
def flaky(path: str, succeeds_at: int) -> int:
    """Count its runs in a file; fail until the given one."""
    file = Path(path)
    runs = int(file.read_text()) + 1 if file.exists() else 1
    file.write_text(str(runs))
    if not succeeds_at:
        raise ValueError("always", runs)
    if succeeds_at < 0:
        return runs
    if runs < succeeds_at:
        raise ValueError("not yet", runs)
    return runs


@app.function(retries=wherry.Retries(max_retries=2, backoff_coefficient=1.0, initial_delay=0.1), timeout=1)
def late(path: str, seconds: float) -> int:
    """Count its runs, and take too long."""
    with open(path, "a") as file:
        file.write("x")
    time.sleep(seconds)
    return len(Path(path).read_text())


@app.cls(max_containers=1)
class Model:
    @wherry.enter()
    def load(self) -> None:
        self.factor = 3

    @wherry.batched(max_batch_size=4, wait_ms=50)
    def times(self, xs: list[int]) -> list[int]:
        return [self.factor * x for x in xs]
