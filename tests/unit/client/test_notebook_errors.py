"""How IPython shows errors: without Wherry's own frames, in a cell's own function, within an app's run or not."""

import re
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from wherry._connection.notebook import hide_internals_in_ipython

CELLS = """
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
for cell in (
    "import wherry\\napp = wherry.App('x')",
    "def define():\\n    app.function(cpu=-1)\\n\\ndefine()",
    "@app.function()\\ndef f(): pass\\n\\nf.remote()",
    "try:\\n    int('one')\\nexcept ValueError:\\n    f.remote()",
    "wherry.Volume.from_name('')",
    "{}['missing']",
):
    shell.run_cell(cell)
"""


def test_errors_have_the_cells_frames_and_none_of_wherrys() -> None:
    ran = subprocess.run([sys.executable, "-c", CELLS], capture_output=True, text=True, check=True)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", ran.stdout)
    for told in (
        "InvalidError: cpu is -1",
        "in define()",
        "ExecutionError: f can't be called yet",
        "ValueError: invalid literal",
        "InvalidError: Volume.from_name got ''",
        "KeyError: 'missing'",
    ):
        assert told in shown
    assert "/wherry/" not in shown


class Shell:
    """IPython's, as far as it is asked."""

    def __init__(self, handlers: Any = ()) -> None:
        self.custom_exceptions = handlers

    def set_custom_exc(self, kinds: Any, handler: Any) -> None:
        self.custom_exceptions = kinds


@pytest.mark.parametrize("handlers", [(KeyError,), None])
def test_a_handler_that_is_set_stays(monkeypatch: pytest.MonkeyPatch, handlers: Any) -> None:
    shell = Shell(handlers)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))  # type: ignore[arg-type]
    hide_internals_in_ipython()
    assert shell.custom_exceptions == handlers
    shell.custom_exceptions = ()
    hide_internals_in_ipython()
    assert shell.custom_exceptions == (Exception,)


@pytest.mark.parametrize("module", [SimpleNamespace(), SimpleNamespace(get_ipython=lambda: None), None])
def test_without_a_shell_nothing_is_done(monkeypatch: pytest.MonkeyPatch, module: Any) -> None:
    monkeypatch.setitem(sys.modules, "IPython", module)
    hide_internals_in_ipython()
