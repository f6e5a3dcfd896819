"""Files whose names no container can import."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_PROGRAM = """
import wherry

app = wherry.App("named")


@app.function(serialized={serialized})
def f():
    return 1


wherry._publish.needs.modules_of([f.written])
print("fine")
"""


@pytest.mark.parametrize(
    ("name", "serialized", "told"),
    [
        ("site", False, "InvalidError: site.py has the name of a module that Python itself loads before it: rename"),
        ("codecs", False, "InvalidError: codecs.py has the name"),
        ("site", True, "fine"),
        ("queue", False, "fine"),
        ("job", False, "fine"),
    ],
)
def test_a_file_named_as_a_module_that_is_loaded_first(tmp_path: Path, name: str, serialized: bool, told: str) -> None:
    program = tmp_path / f"{name}.py"
    program.write_text(
        _PROGRAM.format(serialized=serialized).replace("import wherry\n", "import wherry, wherry._publish.needs\n")
    )
    # As "python FILE" elsewhere: the file beside it must not stand in for Python's own here.
    run = f"import runpy; runpy.run_path({str(program)!r}, run_name='__main__')"
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    done = subprocess.run(
        [sys.executable, "-c", run], capture_output=True, text=True, check=False, env=environment, cwd=tmp_path
    )
    assert told in done.stdout + done.stderr


def test_a_function_of_pythons_own_is_none_of_the_users() -> None:
    import wherry
    from wherry._publish.needs import modules_of

    app = wherry.App("own")
    function = app.function()(os.path.basename)
    assert len(modules_of([function.written])) == 1
