"""The public names: one table says where each is, and type checkers see the same."""

import ast
import subprocess
import sys
from pathlib import Path

import wherry


def test_every_public_name_is_there() -> None:
    for name in wherry.__all__:
        assert getattr(wherry, name) is not None
    assert len(set(wherry.__all__)) == len(wherry.__all__)


def test_dir_shows_every_public_name_of_a_package_that_has_just_been_imported() -> None:
    program = "import wherry; print(sorted(set(wherry.__all__) - set(dir(wherry))))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(wherry.__file__).read_text())
    seen = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert set(wherry.__all__) <= seen


def test_a_name_that_there_is_not() -> None:
    assert not hasattr(wherry, "Nothing")
