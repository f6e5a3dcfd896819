"""Runs mypy over the file of type assertions."""

import sys
from pathlib import Path

import pytest
from mypy import api

ROOT = Path(__file__).parents[3]


@pytest.mark.timeout(120)
def test_signatures_survive_decoration() -> None:
    cache = "--cache-dir=" + str(ROOT / ".mypy_cache")
    out, err, code = api.run(["--strict", cache, "--python-executable", sys.executable, str(ROOT / "tests/typing")])
    assert code == 0, out + err
