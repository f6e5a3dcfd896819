"""What docs/security.md promises is held by tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_test_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "security.md").read_text()))
    texts = [path.read_text() for path in (ROOT / "tests").rglob("test_*.py")]
    found = {name for text in texts for name in re.findall(r"^\s*(?:async )?def (test_\w+)\(", text, re.MULTILINE)}
    assert len(named) > 20
    assert sorted(named - found) == []
