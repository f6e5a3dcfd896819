"""Classes: one object in each container, all methods together."""

import os
import socket
from collections.abc import Iterator
from typing import Any

import wherry

app = wherry.App("classes")


class Base:
    """What is decorated here reaches the classes below."""

    events: list[str]

    @wherry.enter()
    def begin(self) -> None:
        self.events = ["base"]

    @wherry.method()
    def inherited(self) -> str:
        return type(self).__name__


@app.cls(max_containers=1)
class Greeter(Base):
    greeting: str = wherry.parameter(default="hello")
    times: int = wherry.parameter(default=1)

    @wherry.enter()
    async def load(self) -> None:
        self.events.append("greeter")
        self.calls = 0

    @wherry.method()
    def greet(self, name: str) -> str:
        self.calls += 1
        return ", ".join([self.greeting] * self.times) + f", {name}"

    @wherry.method()
    def state(self) -> tuple[list[str], int, str, int]:
        return self.events, self.calls, socket.gethostname(), os.getpid()

    @wherry.method()
    def letters(self, word: str) -> Iterator[str]:
        yield from word

    @wherry.method()
    def ask_another(self, name: str) -> str:
        return Greeter(greeting="hi").greet.remote(name) + " / " + self.greet.local(name)  # type: ignore[no-any-return]


@app.cls(max_containers=1, scaledown_window=1)
class Old:
    """The older style: arguments of `__init__`, `__enter__` and `__exit__`."""

    def __init__(self, path: str = "") -> None:
        self.path = path

    def __enter__(self) -> "Old":
        self.entered = True
        return self

    def __exit__(self, *exc: object) -> None:
        print("left", self.path)

    @wherry.method()
    def show(self) -> tuple[str, bool]:
        return self.path, self.entered


@app.cls(max_containers=1, allow_concurrent_inputs=4)
class Mixed:
    """Methods of all four kinds."""

    @wherry.enter()
    async def begin(self) -> None:
        self.factor = 10

    @wherry.method()
    async def times(self, x: int) -> int:
        return self.factor * x

    @wherry.method()
    def plus(self, x: int) -> int:
        return self.factor + x

    @wherry.method()
    async def count(self, n: int) -> Any:
        for i in range(n):
            yield i

    @wherry.method()
    def count_down(self, n: int) -> Iterator[int]:
        yield from range(n, 0, -1)

    @wherry.exit()
    async def leave(self) -> None:
        print("mixed has left")


@app.cls(max_containers=1)
class Broken:
    @wherry.enter()
    def load(self) -> None:
        raise RuntimeError("the model is not there")

    @wherry.method()
    def run(self) -> None: ...


@app.function(max_containers=1)
def variable(name: str) -> tuple[str, str]:
    return os.environ.get(name, ""), socket.gethostname()
