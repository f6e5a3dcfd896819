"""Signatures survive decoration. Checked by mypy, which a test in tests/unit/client runs; never executed."""

from collections.abc import AsyncIterator, Iterator
from typing import Any, assert_type

import wherry
from wherry import App, Function, FunctionCall

app = App("types")


@app.function(cpu=1)
def plain(a: int, b: str = "") -> float:
    return a / len(b)


@app.function()
async def coroutine(a: int) -> str:
    return str(a)


@app.function()
def generator(a: int) -> Iterator[int]:
    yield a


@app.function()
async def async_generator(a: int) -> AsyncIterator[int]:
    yield a


@app.function()
@wherry.concurrent(max_inputs=4)
def shared(a: int) -> float:
    return a / 2


@app.function()
@wherry.batched(max_batch_size=4, wait_ms=100)
def batch(a: list[int]) -> list[str]:
    return [str(x) for x in a]


@app.function()
@wherry.batched(max_batch_size=4, wait_ms=100)
async def async_batch(a: list[int]) -> list[str]:
    return [str(x) for x in a]


@app.cls(cpu=1)
class Model:
    def __init__(self, size: int, name: str = "") -> None:
        self.size = size
        self.name = name

    @wherry.enter()
    def load(self) -> None: ...

    @wherry.method()
    def predict(self, a: int, b: str = "") -> float:
        return self.size * a / len(b)

    @wherry.method()
    async def later(self, a: int) -> str:
        return str(a)


@app.cls()
class Greeter:
    greeting: str = wherry.parameter(default="hello")

    @wherry.method()
    def greet(self, name: str) -> str:
        return f"{self.greeting}, {name}"


@app.local_entrypoint()
def main(n: int) -> str:
    return str(n)


def blocking() -> None:
    assert_type(plain, Function[[int, str], float])  # type: ignore[assert-type]  # mypy keeps the names too
    assert_type(plain.remote(1, b="x"), float)
    assert_type(coroutine.remote(1), str)
    assert_type(shared.remote(1), float)
    shared.remote("a")  # type: ignore[arg-type]
    assert_type(batch.remote(1), str)
    assert_type(async_batch.remote(1), str)
    assert_type(next(batch.map([1])), str)
    assert_type(plain.spawn(1), FunctionCall[float])
    assert_type(plain.spawn(1).get(timeout=1), float)
    assert_type(next(plain.map([1])), float)
    assert_type(Function.lookup("app", "f").remote(1), Any)
    assert_type(main(1), str)
    assert_type(wherry.gather(plain.spawn(1)), list[Any])
    plain.remote("a")  # type: ignore[arg-type]
    plain.remote(1, c=2)  # type: ignore[call-arg]
    plain.spawn()  # type: ignore[call-arg]
    main("x")  # type: ignore[arg-type]


def classes() -> None:
    model = Model(3, name="m")
    assert_type(model.predict.remote(1, b="x"), float)
    assert_type(model.later.remote(1), str)
    assert_type(model.predict.spawn(1).get(), float)
    assert_type(next(model.predict.map([1])), float)
    assert_type(model.predict.with_options(timeout=5).remote(1), float)
    assert_type(Greeter().greet.remote("you"), str)
    # mypy sees no `dataclass_transform` on a method such as `app.cls`: it needs `wherry.Parametrized`, or the plugin.
    Greeter(greeting="hi")  # type: ignore[call-arg]
    # Nor what a decorator makes of a class.
    Model.with_options(timeout=5)  # type: ignore[attr-defined]
    Model("x")  # type: ignore[arg-type]
    Model(1, sise=2)  # type: ignore[call-arg]
    model.predict.remote("a")  # type: ignore[arg-type]
    model.predict.remote(1, c=2)  # type: ignore[call-arg]
    model.predict.spawn()  # type: ignore[call-arg]
    model.load.remote(1)  # hooks are not told from methods


async def awaiting() -> None:
    assert_type(await Model(3).predict.remote.aio(1), float)
    assert_type(await Model(3).later.remote.aio(1), str)
    assert_type(await plain.remote.aio(1), float)
    assert_type(await coroutine.remote.aio(1), str)
    assert_type(await (await plain.spawn.aio(1)).get.aio(), float)
    assert_type(await wherry.gather.aio(), list[Any])
    async for value in plain.map.aio([1]):
        assert_type(value, float)
    await plain.remote.aio("a")  # type: ignore[arg-type]


async def shared_objects() -> None:
    kept = wherry.Dict.from_name("x", create_if_missing=True)
    assert_type(kept, wherry.Dict)
    assert_type(wherry.Dict.lookup("x"), wherry.Dict)
    assert_type(await wherry.Queue.lookup.aio("x"), wherry.Queue)
    assert_type(kept.put("a", 1, skip_if_exists=True), bool)
    assert_type(await kept.contains.aio("a"), bool)
    assert_type(kept.len(), int)
    with wherry.Queue.ephemeral() as queue:
        assert_type(queue, wherry.Queue)
        assert_type(await queue.get_many.aio(5, timeout=1), list[Any])
        assert_type(await queue.put.aio(1), None)
    async with wherry.Dict.ephemeral({"a": 1}) as other:
        assert_type(other, wherry.Dict)
    assert_type(wherry.Secret.create_deployed("x", {"A": "1"}), str)
    assert_type(await wherry.Secret.lookup.aio("x"), wherry.Secret)
