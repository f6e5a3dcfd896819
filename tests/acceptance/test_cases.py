"""The cases of tests/cases: each file says what happens and what is expected. CONTRIBUTING.md says how to add one."""

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import wherry
from tests.acceptance.apps import cases as runs
from tests.acceptance.conftest import RunApp

CASES = Path(__file__).parents[1] / "cases"


def _calls() -> Iterator[Any]:
    for file in sorted((CASES / "calls").glob("*.py")):
        module = importlib.import_module(f"tests.cases.calls.{file.stem}")
        for executor in getattr(module, "EXECUTORS", ("plain",)):
            yield pytest.param(module, executor, id=f"{file.stem}-{executor}")


class Run:
    """`run(function, *args)` has a function of a case run in a container, and returns its value or raises its error."""

    def __init__(self, module: ModuleType, executor: str) -> None:
        self.executor = executor
        self._module = module.__name__

    def __call__(self, function: Callable[..., Any], *args: Any) -> Any:
        values = self.values(function, *args)
        return values[0] if len(values) == 1 else values

    def values(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        """Return all values of a generator, or the one of another function."""
        what = (function.__module__, function.__name__, args)
        if self.executor == "method":
            return [runs.Methods().method.remote(*what)]
        target: wherry.Function[..., Any] = getattr(runs, self.executor)
        return list(target.remote_gen(*what)) if "generator" in self.executor else [target.remote(*what)]

    def process(self) -> int:
        """Which process runs the functions now: another one, if the container had to be replaced."""
        return int(self(runs.process))


@pytest.fixture(scope="module")
def app(run_app: RunApp) -> Iterator[None]:
    with run_app(runs.app):
        yield


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize(("module", "executor"), list(_calls()))
def test_call(module: ModuleType, executor: str) -> None:
    module.expect(Run(module, executor))
