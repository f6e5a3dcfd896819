"""A failed input that is opened: loaded as the runner loads it, run, and looked into where it raises."""

import io
import json
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest

from wherry_runner.debug import Failed, Session

SOURCE = """
import wherry

app = wherry.App("app")

@app.function()
def divide(a, b=1):
    return a / b

@app.function()
async def later(a):
    return a + 1

@app.function()
def count(n):
    yield from range(n)

@app.function()
async def stream(n):
    for number in range(n):
        yield number

@app.function()
@wherry.batched(max_batch_size=4, wait_ms=10)
def doubled(numbers):
    return [2 * number for number in numbers]

@app.cls()
class Room:
    size: int = wherry.parameter(default=1)

    @wherry.enter()
    def open(self):
        self.doors = 2

    @wherry.method()
    def area(self, factor):
        return self.size * self.doors * factor
"""


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A function's source, importable."""
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "debugged.py").write_text(SOURCE)
    (folder / "broken.py").write_text("import no_such_module_here\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "debugged", raising=False)
    main = sys.modules["__main__"]
    monkeypatch.setattr(sys, "argv", ["debug.py"])
    monkeypatch.setitem(sys.modules, "__main__", main)
    return folder


def session(source: Path, qualname: str, *args: Any, method: str = "", **facts: Any) -> Session:
    folder = source.parent / "input"
    folder.mkdir(exist_ok=True)
    (folder / "arguments").write_bytes(pickle.dumps((args, facts.pop("kwargs", {}))))
    (folder / "parameters").write_bytes(facts.pop("parameters", b""))
    function = {
        "name": qualname,
        "module": facts.pop("module", "debugged"),
        "qualname": qualname,
        "python": "",
        "methods": facts.pop("methods", []),
    }
    values = {
        "input_id": "in-1",
        "name": qualname,
        "error": "ZeroDivisionError: division by zero",
        "method": method,
        "format": 1,
        "is_generator": False,
        "batched": False,
        "function": function,
        **facts,
    }
    (folder / "function.json").write_text(json.dumps(values))
    return Session(Failed(str(folder), str(source)))


@pytest.mark.parametrize(
    ("qualname", "facts", "value"),
    [
        ("divide", {"kwargs": {"b": 2}}, "1.5"),
        ("later", {}, "4"),
        ("count", {"is_generator": True}, "[0, 1, 2]"),
        ("stream", {"is_generator": True}, "[0, 1, 2]"),
        ("doubled", {"batched": True}, "[6]"),
        (
            "Room",
            {"method": "area", "methods": [["area", False, False]], "parameters": pickle.dumps(((), {"size": 5}))},
            "30",
        ),
    ],
)
def test_a_function_of_any_kind_runs_again(
    source: Path, capsys: pytest.CaptureFixture[str], qualname: str, facts: dict[str, Any], value: str
) -> None:
    assert session(source, qualname, 3, **facts).begin("run", "") == 0
    assert f"it returned {value}." in capsys.readouterr().out


def test_arguments_may_be_json(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opened = session(source, "divide", format=2)
    (source.parent / "input" / "arguments").write_text('{"args": [3], "kwargs": {"b": 2}}')
    assert opened.begin("code", "print(args, kwargs, function(*args, **kwargs))") == 0
    assert "1.5" in capsys.readouterr().out


def test_its_traceback_is_the_users(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert session(source, "divide", 1, 0).begin("run", "") == 1
    said = capsys.readouterr().err
    assert "ZeroDivisionError" in said
    assert "return a / b" in said
    assert "wherry_runner" not in said


def test_the_traceback_of_own_code_is_the_users_too(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = "try:\n    run()\nexcept ZeroDivisionError as error:\n    raise ValueError('other') from error\n"
    assert session(source, "divide", 1, 0).begin("code", code) == 1
    said = capsys.readouterr().err
    assert "return a / b" in said
    assert "ValueError: other" in said
    assert "wherry_runner" not in said


def test_a_prompt_has_its_names(
    source: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("print('got', args, kwargs)\nfunction(4, 2)\nrun()\n"))
    assert session(source, "divide", 1, kwargs={"b": 0}).begin("prompt", "") == 0
    said = capsys.readouterr()
    assert "in-1 of divide failed: ZeroDivisionError" in said.err
    assert "got (1,) {'b': 0}" in said.out
    assert "2.0" in said.out
    assert "ZeroDivisionError: division by zero\n" in said.err


@pytest.mark.parametrize(("mode", "words"), [("pdb", "p a, b\nq\n"), ("breakpoint", "p a, b\nc\n")])
def test_pdb_stops_in_it(
    source: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, mode: str, words: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(words))
    assert session(source, "divide", 1, 0).begin(mode, "") == 1
    said = capsys.readouterr().out
    assert "(1, 0)" in said
    assert "return a / b" in said


def test_what_can_not_be_imported_is_told_and_the_arguments_are_not_lost(
    source: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("print(args)\n"))
    assert session(source, "f", 7, module="broken").begin("prompt", "") == 0
    said = capsys.readouterr()
    assert "no_such_module_here" in said.err
    assert "this may be why it failed" in said.err
    assert "(7,)" in said.out
    assert session(source, "f", 7, module="broken").begin("run", "") == 1
