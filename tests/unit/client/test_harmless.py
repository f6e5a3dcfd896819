"""What is left of text that would steer a terminal."""

import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry._screen.harmless import harmless, in_one_line
from wherry._screen.table import Column, Table
from wherry.cli._common import say


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("plain\tand\r\nsimple", "plain\tand\r\nsimple"),
        ("größer 日本", "größer 日本"),
        ("\x1b[31mred\x1b[0m \x1b[1;38:5:9mx", "\x1b[31mred\x1b[0m \x1b[1;38:5:9mx"),
        ("a\x1b]0;title\x07b", "ab"),
        ("a\x1b]52;c;ZXZpbA==\x1b\\b", "ab"),
        ("a\x9d52;c;ZXZpbA==\x9cb", "ab"),
        ("a\x1b]8;;file:///etc/passwd\x1b\\link\x1b]8;;\x1b\\b", "alinkb"),
        ("a\x1bPdevice\x1b\\b", "ab"),
        ("a\x1b[2J\x1b[1;1H\x9b5nb", "ab"),
        ("a\x1bc\x1b#8\x1b%G\x1b(0\x1b7b", "ab"),
        # One within another: what is left of the outer one would be whole.
        ("a\x1b\x1b[A[2Jb", "a[2Jb"),
        ("a\x1b\x1b]]52;c;x\x07b", "ab"),
        ("a\x1b[\x1b[31m2Jb", "a\x1b[31m2Jb"),
        ("a\x00\x07\x08\x0e\x0f\x7f\x85b", "ab"),
        ("a\x1b", "a"),
        ("a\x1b[", "a"),
        ("a\x1b]52;c;", "a"),
        ("]52;c;x\x07b", "]52;c;xb"),
    ],
)
def test_what_steers_is_left_out(text: str, left: str) -> None:
    assert harmless(text) == left


PIECES = st.lists(st.sampled_from([*"\x1b[]P\\;?0m2Jcx \r\n\x07\x08\x9b\x9d\x9c\x90", "\x1b[", "\x1b]52;", "[31m"]))


@given(PIECES, PIECES)
def test_nothing_is_left_that_steers_and_nothing_becomes_whole(first: list[str], second: list[str]) -> None:
    whole = harmless("".join(first)) + harmless("".join(second))
    rest = re.sub(r"\x1b\[[0-9;:]*m", "", whole)
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", rest)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain name", "plain name"),
        ("日本[red]", "日本[red]"),
        ("a\nb\x1b]0;x\x07", r"a\nb\x1b]0;x\x07"),
        ("u\u202egpj.exe", r"u\u202egpj.exe"),
        ("\udcff", r"\udcff"),
        ("\x9b31m", r"\x9b31m"),
    ],
)
def test_a_name_is_in_one_line(name: str, shown: str) -> None:
    assert in_one_line(name) == shown


def test_what_is_in_a_table_is_text() -> None:
    table = Table[tuple[str, int | None]](Column("name", lambda row: row[0]), Column("size", lambda row: row[1]))
    shown = table.plain([("[/x]", 1), ("[red]r[/red]", None), ("a\nb\x1b]52;c;x\x07", 2)])
    assert [line.rstrip() for line in shown] == [
        "name                 size",
        "[/x]                 1",
        "[red]r[/red]",
        r"a\nb\x1b]52;c;x\x07  2",
    ]


def test_a_value_is_said_as_it_is_unless_to_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    say("a\x1bcb")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    say("a\x1bcb")
    assert capsys.readouterr().out == "a\x1bcb\nab\n"
