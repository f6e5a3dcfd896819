"""Functions that programs in other languages call."""

import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import wherry

app = wherry.App("http-api")


@app.function()
def add(x: int, y: int = 0) -> dict[str, Any]:
    print("adding")
    return {"sum": x + y, "raw": b"hi"}


@app.function()
def fails(how: str) -> Any:
    if how == "raise":
        raise ValueError("no such thing")
    if how == "sleep":
        time.sleep(60)
    if how == "large":
        return "x" * (2 << 20)
    return {"it": {1, 2}}


@app.function()
def count(n: int) -> Iterator[dict[str, int]]:
    for i in range(n):
        yield {"i": i}
    if n > 3:
        raise KeyError("enough")


@app.cls()
class Greeter:
    name: str = wherry.parameter(default="you")
    times: int = wherry.parameter(default=1)

    @wherry.method()
    def hello(self, mark: str = "!") -> str:
        return f"hello {self.name}" * self.times + mark

    @wherry.method()
    async def letters(self) -> AsyncIterator[str]:
        for letter in self.name:
            yield letter
