"""`import modal` is Wherry where that was asked for, and nowhere else."""

import pickle
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import wherry
from wherry._define.definition import Definition
from wherry._publish.spec import function_spec

PLAIN = {"PATH": "/usr/bin:/bin"}


def python(program: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program with this SDK on its path; without what installed .pth files do, ours among them."""
    variables = {**PLAIN, "PYTHONPATH": ":".join(sys.path[1:]), **(environment or {})}
    command = [sys.executable, "-S", "-c", program]
    return subprocess.run(command, capture_output=True, text=True, env=variables, check=False)


@pytest.fixture
def real(tmp_path: Path) -> Path:
    """A folder with a package of that name that is not Wherry."""
    (tmp_path / "modal").mkdir()
    (tmp_path / "modal/__init__.py").write_text("REAL = True\n")
    return tmp_path


def after_wherry(lines: str, environment: Mapping[str, str] | None = None) -> str:
    done = python(f"import wherry\n{lines}", {"WHERRY_MODAL": "1", **(environment or {})})
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_modules_are_the_same() -> None:
    program = """
import modal, modal.exception, modal.functions, wherry.exception
from modal.queue import Queue
from modal import gpu, Image
assert modal is wherry and modal.exception is wherry.exception and modal.App is wherry.App
assert modal.exception.NotFoundError is wherry.exception.NotFoundError
assert Queue is wherry.Queue and modal.functions is wherry.functions and gpu is wherry.gpu
assert modal.__spec__.name == "wherry" and wherry.exception.__spec__.name == "wherry.exception"
import modal._base.ids, wherry._base.ids
assert modal._base.ids is wherry._base.ids
"""
    assert after_wherry(program) == ""


def test_a_module_that_wherry_lacks_is_missing_under_the_name_that_was_asked_for() -> None:
    program = "try: import modal.nowhere.at_all\nexcept ModuleNotFoundError as error: print(error, error.name)"
    assert after_wherry(program) == "No module named 'modal.nowhere' modal.nowhere\n"


def test_pickles_made_under_one_name_load_under_the_other() -> None:
    program = "import modal, pickle; print(pickle.dumps(modal.Dict.from_name('shared')).hex())"
    made = bytes.fromhex(after_wherry(program))
    assert isinstance(pickle.loads(made), wherry.Dict)
    assert after_wherry(f"import modal, pickle; print(pickle.loads({made!r}).__class__ is modal.Dict)") == "True\n"
    # As something that names its modules by the other name has it.
    renamed = pickle.dumps(wherry.exception.NotFoundError("gone"), 0).replace(b"cwherry.exception", b"cmodal.exception")
    assert after_wherry(f"import pickle; print(repr(pickle.loads({renamed!r})))") == "NotFoundError('gone')\n"


@pytest.mark.parametrize("value", [None, "", "0", "false", "No"])
def test_it_is_not_taken_unasked(value: str | None, real: Path) -> None:
    path = ":".join([*sys.path[1:], str(real)])
    variables = {"PYTHONPATH": path} | ({} if value is None else {"WHERRY_MODAL": value})
    done = python("import wherry, modal; print(modal.REAL)", variables)
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_a_real_one_that_is_hidden_is_told(real: Path) -> None:
    variables = {"PYTHONPATH": ":".join([*sys.path[1:], str(real)]), "WHERRY_MODAL": "1"}
    done = python("import wherry, modal; print(modal is wherry)", variables)
    assert done.stdout == "True\n"
    assert done.stderr == (
        f"wherry: `import modal` means Wherry in this program (WHERRY_MODAL); the package modal in "
        f"{real}/modal/__init__.py is not used. To use that one, leave out WHERRY_MODAL.\n"
    )


def test_a_real_one_that_is_loaded_already_is_not_replaced(real: Path) -> None:
    variables = {"PYTHONPATH": ":".join([*sys.path[1:], str(real)]), "WHERRY_MODAL": "1"}
    done = python("import modal, wherry", variables)
    assert done.returncode == 1
    assert "but this program has imported modal from" in done.stderr
    assert "import wherry first, or leave out WHERRY_MODAL" in done.stderr


@pytest.mark.parametrize(
    ("installed", "value", "expected"),
    [(False, None, "wherry"), (True, None, "modal"), (True, "1", "wherry"), (False, "0", "none")],
)
def test_the_extra_gives_the_name_where_nothing_else_has_it(
    installed: bool, value: str | None, expected: str, real: Path
) -> None:
    folder, client = Path(wherry.__file__).parents[2] / "extras/modal", Path(wherry.__file__).parents[1]
    program = f"""
import site; site.addsitedir({str(folder)!r}); site.addsitedir({str(client)!r})
try: import modal; print(modal.__name__)
except ModuleNotFoundError as error: print("none", error)
"""
    path = [*sys.path[1:], *([str(real)] if installed else [])]
    done = python(program, {"PYTHONPATH": ":".join(path)} | ({} if value is None else {"WHERRY_MODAL": value}))
    assert done.stdout.split()[0] == expected, done.stderr


def test_a_plain_program_has_it_by_the_variable() -> None:
    folder = Path(wherry.__file__).parents[1]
    program = f"import site; site.addsitedir({str(folder)!r}); import modal; print(modal.__name__)"
    assert python(program, {"WHERRY_MODAL": "1"}).stdout == "wherry\n"
    assert "No module named 'modal'" in python(program).stderr


def test_python_m_runs_the_command_under_both_names() -> None:
    path = {"PYTHONPATH": ":".join(sys.path[1:])}
    program = "import runpy, sys, wherry; sys.argv[1:] = ['--version']; runpy.run_module('modal', run_name='__main__')"
    found = [
        subprocess.run(words, capture_output=True, text=True, env={**PLAIN, **path, "WHERRY_MODAL": "1"}, check=True)
        for words in ([sys.executable, "-m", "wherry", "--version"], [sys.executable, "-c", program])
    ]
    assert [done.stdout for done in found] == [f"wherry {wherry.__version__}\n"] * 2


def test_containers_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    app = wherry.App("told")
    app.function(env={"OWN": "1"})(python)
    definition: Definition = app.__wherry_owner__.plan().definitions[0]
    assert function_spec(definition).env == {"OWN": "1"}
    monkeypatch.setattr("wherry._base.modal_name.is_taken", lambda: True)
    assert function_spec(definition).env == {"OWN": "1", "WHERRY_MODAL": "1"}
    # Not into what the definition itself has.
    assert definition.options.env == {"OWN": "1"}


def test_modules_are_there_without_being_imported() -> None:
    done = python("import wherry; print(wherry.container_process.__name__); wherry.no_such_module")
    assert done.stdout == "wherry.container_process\n"
    assert "AttributeError: module 'wherry' has no attribute 'no_such_module'" in done.stderr


def test_a_program_of_the_real_one_is_told_what_to_do(real: Path, tmp_path: Path) -> None:
    program = tmp_path / "theirs.py"
    program.write_text("import modal\napp = modal.REAL\n")
    variables = {**PLAIN, "PYTHONPATH": ":".join([*sys.path[1:], str(real)])}
    command = [sys.executable, "-m", "wherry", "deploy", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, env=variables, check=False)
    assert done.returncode == 2
    assert f"has no app of Wherry's: its `import modal` is the package in {real}/modal/__init__.py" in " ".join(
        done.stderr.replace("│", "").split()
    )
