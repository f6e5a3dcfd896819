"""Classes: their options, their objects, handles on deployed ones. Checked, never executed."""

from typing import assert_type

import wherry

app = wherry.App("types")


@app.cls(cpu=1, max_containers=2, gpu=["A100:2", "any"], volumes={"/data": wherry.Volume.from_name("a")})
class Model:
    def __init__(self, size: int) -> None:
        self.size = size

    @wherry.enter()
    def load(self) -> None: ...

    @wherry.method()
    def predict(self, a: int, b: str = "") -> float:
        return self.size * a / len(b)

    @wherry.method()
    async def later(self, a: int) -> str:
        return str(a)

    @wherry.method()
    @wherry.batched(max_batch_size=2, wait_ms=5)
    def embed(self, a: list[str]) -> list[float]:
        return [len(x) / 2 for x in a]


@app.cls(memroy=1)  # type: ignore[arg-type]
class Misspelt: ...


@app.cls(timeout="10")  # type: ignore[arg-type]
class OfWrongType: ...


def methods() -> None:
    model = Model(3)
    assert_type(model.predict.local(1), float)
    assert_type(list(model.predict.map([1, 2], ["a", "b"])), list[float])
    assert_type(list(model.later.map([1])), list[str])
    assert_type(model.embed.remote("a"), float)
    assert_type(model.embed.local(["a"]), list[float])
    model.predict.map(["a"])  # type: ignore[list-item]


def handles() -> None:
    found = wherry.Cls.from_name("app", "Model")
    assert_type(found, wherry.Cls)
    assert_type(found.with_options(cpu=2), wherry.Cls)
    assert_type(found.object_id, str)


async def awaiting() -> None:
    assert_type(await wherry.Cls.lookup.aio("app", "Model"), wherry.Cls)
    assert_type(await Model(3).predict.remote.aio(1), float)
