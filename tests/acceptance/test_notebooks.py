"""Notebooks, executed in a real kernel: those of the page about them, and more of what people do cell after cell."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

PAGE = Path(__file__).parents[2] / "docs/notebooks.md"

Execute = Callable[..., list[Any]]


@pytest.fixture
def execute(environment: dict[str, str], tmp_path: Path) -> Execute:
    """Execute cells in a new kernel, in a folder of its own: `execute(cell, …)` → the cells with their outputs."""

    def execute(*cells: str, allow_errors: bool = False) -> list[Any]:
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        client = nbclient.NotebookClient(
            notebook,
            timeout=60,
            kernel_name="python3",
            allow_errors=allow_errors,
            resources={"metadata": {"path": str(tmp_path)}},
        )
        client.execute(env=environment, cleanup_kc=True)
        return list(notebook.cells)

    return execute


def shown(cell: Any) -> str:
    """Return what is to be read below a cell."""
    texts = []
    for output in cell.outputs:
        if output.output_type == "stream":
            texts.append(output.text)
        elif output.output_type == "error":
            texts.append(re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(output.traceback)) + "\n")
        else:
            texts.append(output.data["text/plain"] + "\n")
    return "".join(texts)


def html(cell: Any) -> str:
    """Return the tables below a cell."""
    return "".join(output.data.get("text/html", "") for output in cell.outputs if "data" in output)


def blocks(kind: str) -> list[str]:
    """Return the page's blocks of a language, in order."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE.read_text(), re.M | re.S)


def test_the_page_says_what_happens(execute: Execute) -> None:
    parts = re.findall(r"^```python\n(.*?)^```$(?:\n\n^```text\n(.*?)^```$)?", PAGE.read_text(), re.M | re.S)
    cells = execute(*(cell for cell, _ in parts))
    said = [shown(cell) if expected else "" for cell, (_, expected) in zip(cells, parts, strict=True)]
    assert not any(output.output_type == "error" for cell in cells for output in cell.outputs)
    # Deploying says what it does on stderr.
    said[-1] = "".join(output.text for output in cells[-1].outputs if output.get("name") == "stdout")
    assert said == [expected for _, expected in parts]


def test_the_page_s_shell_lines_run(environment: dict[str, str], tmp_path: Path) -> None:
    environment = dict(environment, PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    for block in blocks("bash"):
        done = subprocess.run(
            ["bash", "-e"],
            input=block,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stdout) == (0, "hello, you\n"), done.stderr


def test_cell_after_cell(execute: Execute) -> None:
    cells = execute(
        "import wherry\napp = wherry.App('cells')\n"
        "class Point:\n    def __init__(self, x): self.x = x\n"
        "def helper(point): return Point(point.x + 1)",
        "@app.function()\ndef moved(point):\n    print('at', point.x)\n    return helper(point)",
        "run = app.run()\nrun.__enter__()",
        # A class of the notebook is the same one in both directions.
        "back = moved.remote(Point(1))\nprint(isinstance(back, Point), back.x)",
        "print([point.x for point in moved.map([Point(5), Point(6)])])",
        "import sys\nprint('to stderr', file=sys.stderr)\ncall = moved.spawn(Point(7))\nprint(call.get().x)",
        "run.__exit__(None, None, None)",
        # What it uses has changed, and is not the function's own cell.
        "def helper(point): return Point(-point.x)",
        "with app.run():\n    print(moved.remote(Point(3)).x)",
    )
    assert [shown(cell) for cell in cells[3:5]] == ["at 1\nTrue 2\n", "at 5\nat 6\n[6, 7]\n"]
    assert "at 7\n" in shown(cells[5])
    assert shown(cells[5]).endswith("8\n")
    assert shown(cells[8]) == "at 3\n-3\n"


def test_errors_show_the_cell_that_defined_the_function(execute: Execute) -> None:
    cells = execute(
        "import wherry\napp = wherry.App('errors')\n@app.function()\ndef f(x):\n    return 1 / x  # here",
        "with app.run():\n    f.remote(0)",
        "with app.run():\n    f.remote(1, 2)",
        "f.remote(1)",
        "with app.run():\n    print(f.remote(1))",
        allow_errors=True,
    )
    assert "ZeroDivisionError: division by zero" in shown(cells[1])
    assert "return 1 / x  # here" in shown(cells[1])
    assert "client/wherry" not in shown(cells[1])
    assert "TypeError: f() takes 1 positional argument but 2 were given" in shown(cells[2])
    assert "call it within `with app.run():`" in shown(cells[3])
    assert shown(cells[4]) == "1.0\n"


def test_handles_are_shown_as_tables(execute: Execute) -> None:
    cells = execute(
        "import wherry\napp = wherry.App('tables')\n"
        "@app.function()\ndef f(): ...\n"
        "@app.cls()\nclass C:\n    @wherry.method()\n    def m(self): ...",
        "app",
        "with app.run():\n    display(app, f, C, C(), C().m)\n    call = f.spawn()\n    display(call)\n    call.get()",
        "wherry.Image.debian_slim().pip_install('numpy<3').env({'A': '&'})",
        "box = wherry.Sandbox.create('true')\nbox.wait()\nbox",
        "display(wherry.Secret.from_dict({'A': 'hidden'}), wherry.Volume.from_name('v'), wherry.Dict.from_name('d'))",
        # A class that was looked up has any attribute, as far as can be told without asking.
        "display(wherry.Cls.from_name('nowhere', 'C'), wherry.Function.from_name('nowhere', 'f'))",
    )
    assert "not running" in html(cells[1])
    assert ">f<" in html(cells[1])
    assert ">C<" in html(cells[1])
    assert all(f"{kind}-" in html(cells[2]) for kind in ("ap", "fu", "fc"))
    assert "not running" not in html(cells[2])
    assert "numpy&lt;3" in html(cells[3])
    assert "<3" not in html(cells[3])
    assert "ended with 0" in html(cells[4])
    assert "hidden" not in html(cells[5])
    assert "Cls(&#x27;C&#x27;)" in html(cells[6])
    # Where tables can't be shown there is text.
    assert shown(cells[1]) == "App('tables')\n"
