"""What mypy and pyright say of programs that use wherry: of the files of assertions in tests/typing."""

import importlib.util
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
from mypy import api

import wherry
from wherry._base.elsewhere import Refused

ROOT = Path(__file__).parents[3]
TYPING = ROOT / "tests/typing"
CACHE = "--cache-dir=" + str(ROOT / ".mypy_cache")

# A class as in the docs, which mypy knows with the plugin and pyright by itself.
GREETER = """
from typing import assert_type

import wherry

app = wherry.App("types")


class Base:
    greeting: str = wherry.parameter(default="hello")


@app.cls()
class Greeter(Base):
    n: int = wherry.parameter()
    name: str | None = wherry.parameter(default=None)
    hidden: bool = wherry.parameter(default=True, init=False)

    @wherry.method()
    def greet(self) -> str:
        return f"{self.greeting}, {self.name}" * self.n


@app.cls()
class Sized:
    def __init__(self, size: int) -> None:
        self.size = size

    @wherry.method()
    def twice(self) -> int:
        return 2 * self.size


assert_type(Greeter(n=1).greet.remote(), str)
Greeter(n=1, name="you")
Sized(1)
"""
MISTAKES = """
Greeter(n="1")
Greeter()
Greeter(n=1, hidden=False)
Greeter(n=1, nmae="you")
Sized("a")
"""


def mypy(*args: str) -> str:
    out, err, code = api.run(["--strict", "--python-executable", sys.executable, *args])
    return "" if code == 0 else out + err


def pyright(*args: str) -> str:
    name = next((name for name in ("basedpyright", "pyright") if importlib.util.find_spec(name)), None)
    if name is None:
        pytest.skip("pyright is not installed (pip install basedpyright); mypy reads the same files")
    command = [sys.executable, "-m", name, "--pythonpath", sys.executable, "--project", str(TYPING), *args]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if ran.returncode == 0 else ran.stdout + ran.stderr


@pytest.mark.timeout(120)
def test_mypy_reads_the_types_of_all_that_is_public() -> None:
    assert mypy(CACHE, str(TYPING)) == ""


@pytest.mark.timeout(120)
def test_pyright_reads_the_types_of_all_that_is_public() -> None:
    assert pyright() == ""


def test_every_public_class_has_a_file_of_assertions() -> None:
    classes = {name for name in wherry.__all__ if inspect.isclass(getattr(wherry, name))}
    refused = {name for name in classes if isinstance(getattr(wherry, name), Refused)}
    snake = {re.sub(r"(?<=.)(?=[A-Z])", "_", name).lower() for name in classes - refused}
    snake = (snake - {"function_call"}) | {"call"}
    assert {path.stem.removeprefix("of_") for path in TYPING.glob("of_*.py")} >= snake


@pytest.fixture
def plugged(tmp_path: Path) -> tuple[str, ...]:
    config = tmp_path / "mypy.ini"
    config.write_text("[mypy]\nplugins = wherry.mypy\n")
    return f"--config-file={config}", f"--cache-dir={tmp_path / 'cache'}"


@pytest.mark.timeout(120)
def test_with_the_plugin_mypy_knows_the_parameters_of_a_class(tmp_path: Path, plugged: tuple[str, ...]) -> None:
    program = tmp_path / "program.py"
    program.write_text(GREETER)
    assert mypy(*plugged, str(program)) == ""
    program.write_text(GREETER + MISTAKES)
    said = mypy(*plugged, str(program))
    assert re.findall(r"error: (.*?)  \[", said) == [
        'Argument "n" to "Greeter" has incompatible type "str"; expected "int"',
        'Missing named argument "n" for "Greeter"',
        'Unexpected keyword argument "hidden" for "Greeter"',
        'Unexpected keyword argument "nmae" for "Greeter"',
        'Argument 1 to "Sized" has incompatible type "str"; expected "int"',
    ], said


@pytest.mark.timeout(120)
def test_pyright_knows_the_parameters_of_a_class(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(GREETER)
    assert pyright(str(program)) == ""
    program.write_text(GREETER + MISTAKES)
    assert pyright(str(program)).count("error:") == 5


@pytest.mark.timeout(120)
def test_the_page_about_types_says_what_mypy_says(tmp_path: Path, plugged: tuple[str, ...]) -> None:
    program = tmp_path / "page.py"
    page = (ROOT / "docs/editors.md").read_text()
    text = "\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    program.write_text(text)
    wrong = [number for number, line in enumerate(text.splitlines(), 1) if "# error" in line]
    assert [int(number) for number in re.findall(r"page\.py:(\d+): error", mypy(*plugged, str(program)))] == wrong
