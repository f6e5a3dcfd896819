"""docs/internals/limits.md names what there is: modules, constants in them, and tests."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = (ROOT / "service/wherry_service", ROOT / "client/wherry")
TESTS = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
PAGE = (ROOT / "docs/internals/limits.md").read_text().partition("## Where a size changes the way")[0]
ROWS = [
    cells
    for line in PAGE.splitlines()
    if line.startswith("| ") and len(cells := line.strip("| ").split(" | ")) == 5 and cells[0] != "what"
]


def test_there_are_rows() -> None:
    assert len(ROWS) > 40


@pytest.mark.parametrize("cells", ROWS, ids=lambda cells: cells[0][:60])
def test_a_limit_is_where_the_page_says_and_has_a_test(cells: list[str]) -> None:
    _, _, _, where, tests = cells
    modules = re.findall(r"`([\w/]+\.py)`", where)
    assert modules
    texts = []
    for module in modules:
        (found,) = [folder / module for folder in SOURCES if (folder / module).exists()]
        texts.append(found.read_text())
    for constant in re.findall(r"`([A-Z_]{3,})`", where):
        assert any(re.search(rf"^{constant}\b.* = ", text, re.MULTILINE) for text in texts), constant
    named = re.findall(r"`(test_\w+\.py)`", tests)
    assert named
    assert set(named) <= TESTS
