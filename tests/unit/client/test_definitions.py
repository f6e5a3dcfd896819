"""One name in an app: what may take it again, what may not, and what calls of a handle that came too late are told."""

import importlib
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import wherry
from tests.fakes.service import FakeService
from wherry._connection.client import Client
from wherry.exception import ExecutionError, InvalidError

MODULE = """
import wherry
from {shared} import app

@app.function()
def process(x): return __name__

@app.cls()
class Worker:
    @wherry.method()
    def work(self): return 1
"""


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], types.ModuleType]]:
    """Make and import modules that share an app."""
    monkeypatch.syspath_prepend(str(tmp_path))
    shared = types.ModuleType("shared_app")
    shared.app = wherry.App("shared")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "shared_app", shared)

    def make(name: str, text: str = MODULE.format(shared="shared_app")) -> types.ModuleType:
        (tmp_path / f"{name}.py").write_text(text)
        importlib.invalidate_caches()
        return importlib.import_module(name)

    before = set(sys.modules)
    yield make
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_two_modules_can_not_have_functions_of_one_name(modules: Callable[..., types.ModuleType]) -> None:
    modules("own_one")
    with pytest.raises(InvalidError, match="two functions named 'process', in own_one and in own_two: give one"):
        modules("own_two")


def test_nor_classes(modules: Callable[..., types.ModuleType]) -> None:
    text = MODULE.format(shared="shared_app").replace("@app.function()\n", "", 1)
    modules("own_one", text)
    with pytest.raises(InvalidError, match="two functions named 'Worker', in own_one and in own_two"):
        modules("own_two", text)


def test_a_module_may_load_again(modules: Callable[..., types.ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    module = modules("own_one")
    assert importlib.reload(module).process is module.process
    # Under the name of a package that it is in as well: one file is one.
    monkeypatch.setitem(sys.modules, "pkg.own_one", module)
    exec(
        compile(MODULE.format(shared="shared_app"), str(module.__file__), "exec"),
        {"__name__": "pkg.own_one", "__file__": module.__file__},
    )


def test_a_cell_may_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", shell)
    app = wherry.App("cells")
    vars(shell).update(app=app)
    make = "def make(n):\n    def made(): return n\n    return made"
    for text in ("def f(): return 1", "def f(): return 2", make, "f = make(1)", "f = make(2)"):
        exec(text, vars(shell))
        name = "made" if "make(" in text and "def" not in text else "f"
        if text != make:
            app.function(serialized=True, name=name)(shell.f)  # type: ignore[attr-defined]


def test_a_loop_makes_functions_of_different_names() -> None:
    def make(n: int) -> Callable[[], int]:
        def made() -> int:
            return n

        return made

    app = wherry.App("loop")
    app.function(serialized=True, name="made")(make(1))
    app.function(serialized=True, name="other")(make(2))
    with pytest.raises(InvalidError, match="two functions named 'made'"):
        app.function(serialized=True, name="made")(make(3))


def test_what_is_defined_while_its_app_runs_takes_the_place_of_what_was(service: FakeService, client: Client) -> None:
    app = wherry.App("late")

    def define() -> Any:
        namespace: dict[str, Any] = {"app": app, "__name__": __name__}
        exec("@app.function(serialized=True)\ndef f(x): return x + 1", namespace)
        return namespace["f"]

    first = define()
    service.functions["f"] = first.get_raw_f()
    with app.run(client=client):
        assert first.remote(1) == 2
        second = define()
        assert first.remote(1) == 2
        assert second.remote(1) == 2
        with pytest.raises(ExecutionError, match="f can't be called: it was replaced by another function of its name"):
            first.remote(1)
    with app.run(client=client):
        with pytest.raises(ExecutionError, match="f can't be called: it was replaced by another function of its name"):
            first.remote(1)
        assert second.remote(1) == 2


@pytest.mark.parametrize("timeout", [float("inf"), 1e10, 10**12, None])
def test_time_without_end(service: FakeService, client: Client, timeout: float | None) -> None:
    app = wherry.App("patient")
    f = app.function(serialized=True)(lambda: 1)
    service.functions[f.written.name] = lambda: 1
    with app.run(client=client):
        assert f.spawn().get(timeout=timeout) == 1


@pytest.mark.parametrize("timeout", ["3", float("nan"), True])
def test_time_that_is_none(client: Client, timeout: Any) -> None:
    call: wherry.FunctionCall[int] = wherry.FunctionCall.from_id("fc-01M84FGRVRNANF8XXZSWHJDQ25", client)
    with pytest.raises(InvalidError, match="it must be a number of seconds, or None"):
        call.get(timeout=timeout)


def test_an_app_may_have_attributes_of_any_name(service: FakeService, client: Client) -> None:
    app: Any = wherry.App("roomy")
    for name in ("client", "environment", "plan", "owner", "objects", "functions", "callee", "is_running", "begin"):
        setattr(app, name, name)
    f = app.function(serialized=True)(lambda: 1)
    service.functions[f.written.name] = lambda: 1
    with app.run(client=client):
        assert f.remote() == 1
    assert (app.client, app.environment) == ("client", "environment")
