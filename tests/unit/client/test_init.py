"""`wherry init`: files to begin with."""

import ast
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mypy import api

from wherry._define.names import check_app_name
from wherry.cli import main as cli
from wherry.cli._ref import find_app
from wherry.cli.init import _NEXT, Template, _app_name

Run = Callable[..., int]
ROOT = Path(__file__).parents[3]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> int:
        monkeypatch.setattr("sys.argv", ["wherry", *words])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return int(caught.value.code or 0)

    return run


@pytest.mark.parametrize("template", Template)
def test_a_template_is_an_app_with_what_its_next_commands_need(
    run: Run, template: Template, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert run("init", "-t", template, f"my {template}.py") == 0
    told = capsys.readouterr().out
    path = tmp_path / f"my {template}.py"
    assert "APP_NAME" not in path.read_text()
    app = find_app(str(path))
    assert app.name == f"my-{template}"
    for command, why in _NEXT[template]:
        assert command.format(file=f"'my {template}.py'", app=app.name) in told
        assert why in told
        if command.startswith("wherry run"):
            # There is one thing to run, so that the file alone says what.
            assert len(app.registered_entrypoints) == 1 or len(app.registered_functions) == 1
            function = next(iter(app.registered_entrypoints.values()), None)
            for option in [word[2:] for word in command.split() if word.startswith("--")]:
                assert function is not None
                assert option in function.function.__code__.co_varnames


def test_templates_pass_the_type_checker(run: Run, tmp_path: Path) -> None:
    for template in Template:
        assert run("init", "-t", template, f"{template}_example.py") == 0
    cache = f"--cache-dir={ROOT / '.mypy_cache'}"
    out, err, code = api.run(["--strict", cache, "--python-executable", sys.executable, str(tmp_path)])
    assert code == 0, out + err


def test_templates_look_as_the_formatter_would_have_them(run: Run, tmp_path: Path) -> None:
    for template in Template:
        assert run("init", "-t", template, f"{template}_example.py") == 0
        ast.parse((tmp_path / f"{template}_example.py").read_text())
    ruff = [sys.executable, "-m", "ruff"]
    options = ["--line-length", "120", "--isolated", str(tmp_path)]
    for command in (["format", "--check"], ["check"]):
        ran = subprocess.run([*ruff, *command, *options], capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout


def test_without_a_name_the_file_has_the_templates_own(run: Run, tmp_path: Path) -> None:
    assert run("init") == 0
    assert run("init", "--template", "web") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hello.py", "site.py"]


def test_a_file_that_exists_is_kept(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "hello.py"
    path.write_text("mine")
    assert run("init") == 2
    assert "hello.py exists: name another file, or replace it with --force" in capsys.readouterr().err
    assert path.read_text() == "mine"
    assert run("init", "--force") == 0
    assert "wherry.App" in path.read_text()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["folder"], "folder is no name of a Python file: write folder.py"),
        (["nowhere/a.py"], "there is no folder nowhere: make it first"),
        (["a.txt"], "a.txt is no name of a Python file"),
        (["taken.py"], "taken.py is a folder"),
        (["-t", "nothing"], "'nothing' is not one of"),
    ],
)
def test_what_can_not_be_written(
    run: Run, tmp_path: Path, words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken.py").mkdir()
    assert run("init", *words) == 2
    assert told in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["taken.py"]


@pytest.mark.parametrize("name", ["a b.py", "ap-1.py", "..py", "ünï.py", "x" * 90 + ".py", "-.py"])
def test_the_apps_name_is_one_that_apps_may_have(name: str) -> None:
    check_app_name(_app_name(Path(name)))
