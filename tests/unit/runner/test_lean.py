"""The runner loads no more of Python than it uses."""

import subprocess
import sys
from pathlib import Path

import wherry_runner

RUNNER = Path(wherry_runner.__file__).parents[1]


def printed(program: str) -> list[str]:
    """Return the lines that a program prints, in a Python that has loaded nothing of its own accord."""
    line = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.append({str(RUNNER)!r})\n{program}"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_pickle_comes_without_all_of_functools_and_collections() -> None:
    program = """
from wherry_runner import lean
lean.load_pickle()
from wherry_runner import executor, loader, payload, serial
print(*sorted({"functools", "collections", "types", "pickle", "typing", "re"} & set(sys.modules)))
"""
    assert printed(program) == [""]


def test_user_code_gets_all_of_functools_and_pickles_its_objects() -> None:
    program = """
from wherry_runner import lean
lean.load_pickle()
from wherry_runner import payload
import functools
print(functools.__name__, functools.wraps.__name__)
back = payload.loads(payload.pickle_dumps([functools.partial(int, base=2), "a".join]))
print(back[0]("11"), back[1](["x", "y"]))
"""
    assert printed(program) == ["functools wraps", "3 xay"]


def test_a_functools_that_is_there_stays() -> None:
    program = """
import functools
from wherry_runner import lean
lean.load_pickle()
print(sys.modules["functools"] is functools)
"""
    assert printed(program) == ["True"]
