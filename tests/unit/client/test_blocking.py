"""Methods with an `.aio` form, as values: sent to a process pool, a thread or a function."""

import importlib
import inspect
import pickle
import pkgutil
from typing import Any

import cloudpickle
import pytest

import wherry
from wherry._base import blocking

DESCRIPTORS = (
    blocking.blocking,
    blocking.blocking_classmethod,
    blocking.iterating,
    blocking.iterating_classmethod,
    blocking.making,
)

app = wherry.App("blocking")


@app.function()
def double(n: int) -> int:
    return n * 2


def _all() -> list[tuple[type, str, Any]]:
    """Every method of every class of the SDK that has an `.aio` form."""
    found: dict[tuple[type, str], Any] = {}
    for module in pkgutil.walk_packages(wherry.__path__, "wherry."):
        if module.name.startswith("wherry.cli"):
            continue
        for kind in vars(importlib.import_module(module.name)).values():
            if isinstance(kind, type) and kind.__module__.startswith("wherry"):
                found |= {(kind, name): value for name, value in vars(kind).items() if isinstance(value, DESCRIPTORS)}
    return [(kind, name, value) for (kind, name), value in found.items()]


def test_each_is_found_again_under_the_name_it_is_pickled_with() -> None:
    methods = _all()
    assert len(methods) > 50
    assert [(kind, name) for kind, name, value in methods if vars(kind)[value.plain.__name__] is not value] == []


@pytest.mark.parametrize("pickler", [pickle, cloudpickle])
@pytest.mark.parametrize(
    "method",
    [
        double.remote,
        double.remote.aio,
        double.map,
        double.map.aio,
        wherry.Dict.from_name("d").get,
        wherry.Queue.from_name("q").put,
        wherry.FunctionCall.from_id("fc-" + "0" * 26).get,
        wherry.Sandbox.create,
        wherry.gather,
    ],
    ids=lambda method: repr(getattr(method, "__name__", "")),
)
def test_a_method_is_pickled_as_its_object_and_its_name(pickler: Any, method: Any) -> None:
    data = pickler.dumps(method)
    # The SDK's own code stays where it is.
    assert b"_make_function" not in data
    assert len(data) < 400
    again = pickle.loads(data)
    assert again.__name__ == method.__name__
    assert type(again) is type(method)


def test_help_shows_what_the_function_takes() -> None:
    app = wherry.App("signatures")

    @app.function(serialized=True)
    def plain(a: int, b: str = "") -> float:
        return a / len(b)

    @app.cls(serialized=True)
    class Model:
        @wherry.method()
        def predict(self, a: int) -> str:
            return str(a)

    assert str(inspect.signature(plain.remote)) == "(a: int, b: str = '') -> float"
    assert str(inspect.signature(plain.spawn)) == "(a: int, b: str = '') -> 'FunctionCall[R]'"
    assert str(inspect.signature(plain.remote_gen)) == "(a: int, b: str = '') -> 'Results[Any]'"
    assert str(inspect.signature(Model().predict.remote)) == "(a: int) -> str"
    assert str(inspect.signature(plain.keep_warm)) == "(warm_pool_size: 'int') -> 'None'"
    assert "a: int" not in str(inspect.signature(wherry.Function.from_name("a", "f").remote))
