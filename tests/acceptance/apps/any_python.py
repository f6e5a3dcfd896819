"""What a function may do, for every Python that runs it; the image is the test's."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator

import wherry

app = wherry.App("any-python")


@app.function()
def version() -> tuple[int, int]:
    return sys.version_info[:2]


@app.function()
def count(to: int) -> Iterator[int]:
    yield from range(to)


@app.function()
async def count_async(to: int) -> AsyncIterator[int]:
    for number in range(to):
        await asyncio.sleep(0)
        yield number


@app.function()
@wherry.concurrent(max_inputs=20)
async def together(number: int) -> int:
    await asyncio.sleep(0.001)
    return number * number


@app.function()
def fails() -> None:
    print("about to fail")
    raise KeyError("no such key")


@app.function()
def nested(number: int) -> int:
    return number + 1


@app.cls()
class Counter:
    start: int = wherry.parameter(default=1)

    @wherry.enter()
    def begin(self) -> None:
        self.at = self.start

    @wherry.method()
    def more(self) -> int:
        self.at += 1
        return self.at
