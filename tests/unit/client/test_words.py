"""Words of messages that depend on what they are about."""

import pytest

from wherry._base.words import counted, with_article
from wherry_runner.payload import with_article as of_runner


@pytest.mark.parametrize(
    ("name", "expected"), [("Attr", "an Attr"), ("lock", "a lock"), ("UUID", "a UUID"), ("int", "an int"), ("", "a ")]
)
def test_articles(name: str, expected: str) -> None:
    assert with_article(name) == of_runner(name) == expected


def test_numbers() -> None:
    assert [counted(number, "file") for number in (0, 1, 2)] == ["0 files", "1 file", "2 files"]
    assert counted(2, "entry", "entries") == "2 entries"
