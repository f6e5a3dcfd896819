"""Wrong programs, and the first line of what each is told: misuse.txt, a program and its error after each other."""

import sys
import types
import warnings
from pathlib import Path

import pytest

import wherry

TABLE = Path(__file__).with_name("misuse.txt")


def programs() -> list[tuple[str, str]]:
    entries = [entry.rpartition("\n=> ") for entry in TABLE.read_text().rstrip().split("\n\n")]
    return [(program, told) for program, _, told in entries]


def test_there_are_many() -> None:
    assert len(programs()) >= 40


@pytest.mark.parametrize(("program", "told"), programs(), ids=[told[:60] for _, told in programs()])
def test_a_wrong_program_is_told_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, told: str
) -> None:
    file = tmp_path / "misuse.py"
    file.write_text(program)
    module = types.ModuleType("misuse")
    module.__file__ = str(file)
    monkeypatch.setitem(sys.modules, "misuse", module)
    names = vars(module)
    names.update(wherry=wherry, app=wherry.App("misuse"))
    code = compile(program, str(file), "exec")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", wherry.exception.DeprecationError)
        with pytest.raises(Exception) as raised:  # noqa: PT011 - the table names the type
            exec(code, names)
    assert f"{type(raised.value).__name__}: {str(raised.value).splitlines()[0]}" == told
