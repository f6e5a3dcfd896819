"""The cases of tests/cases: each file says what happens and what is expected. CONTRIBUTING.md says how to add one."""

import ast
import importlib
import os
import subprocess
import sys
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


def _programs() -> Iterator[Any]:
    for file in sorted((CASES / "programs").glob("*.py")):
        for name, expected in _constants(file)["EXPECTED"].items():
            yield pytest.param(file, name, expected, id=f"{file.stem}-{name}")


def _constants(file: Path) -> dict[str, Any]:
    """Return the constants of a program, without running it."""
    found: dict[str, Any] = {}
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id.isupper():
            found[node.targets[0].id] = ast.literal_eval(node.value)
    return found


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


@pytest.mark.parametrize(("file", "command", "expected"), list(_programs()))
def test_program(
    file: Path, command: str, expected: tuple[int, str], environment: dict[str, str], tmp_path: Path
) -> None:
    """Run a program as a person would, with `{file}` in its command, and compare exit code and stdout."""
    environment = dict(environment, PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    environment.pop("PYTHONWARNINGS")
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", _constants(file)["COMMANDS"][command].format(file=file)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == expected, done.stderr
    assert "Traceback" not in done.stderr
