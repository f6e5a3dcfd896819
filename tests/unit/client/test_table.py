"""Tables at the width of a terminal, and for a pipe."""

import io
from dataclasses import dataclass

import pytest
from rich.console import Console

from wherry._screen.moments import relative
from wherry._screen.table import Column, Kind, Table, shortest
from wherry_proto.times import iso

NOW = 1_800_000_000_000
MINUTE = 60_000


@dataclass
class Row:
    name: str
    id: str
    state: str = "deployed"
    at: int = NOW - 3 * MINUTE
    steps: str = ""
    size: int = 0


TABLE = Table[Row](
    Column("name", lambda row: row.name),
    Column("id", lambda row: row.id, Kind.ID),
    Column("state", lambda row: row.state, Kind.STATE),
    Column("size", lambda row: row.size, Kind.SIZE, leaves=2),
    Column("created", lambda row: row.at, Kind.TIME, leaves=1),
    Column("steps", lambda row: row.steps, leaves=3, cut=True),
)
ROWS = [
    Row("hello", "ap-01KB8ZQ4M3AAAAAAAAAAAAAAAA", steps="debian_slim, pip_install numpy pandas scipy", size=1_500_000),
    Row("a-longer-name", "ap-01KB8ZQ4M3BBBBBBBBBBBBBBBB", "failed", NOW - 49 * 60 * MINUTE),
]


def shown(rows: list[Row], width: int, colour: bool = False, known: tuple[str, ...] = ()) -> str:
    """Return what a terminal of that width shows."""
    console = Console(
        width=width, record=True, force_terminal=True, color_system="standard", highlight=False, file=io.StringIO()
    )
    for line in TABLE.fitted(rows, width, NOW, known):
        console.print(line, soft_wrap=True)
    return console.export_text(styles=colour)


def test_a_wide_terminal_shows_every_column() -> None:
    assert shown(ROWS, 120).splitlines() == [
        "name           id              state     size    created        steps",
        "hello          ap-01KB8ZQ4M3A  deployed  1.5 MB  3 minutes ago  debian_slim, pip_install numpy pandas scipy",
        "a-longer-name  ap-01KB8ZQ4M3B  failed            2 days ago",
    ]


def test_a_narrow_terminal_leaves_out_columns_and_wraps_nothing() -> None:
    lines = shown(ROWS, 60).splitlines()
    assert lines == [
        "name           id              state     created",
        "hello          ap-01KB8ZQ4M3A  deployed  3 minutes ago",
        "a-longer-name  ap-01KB8ZQ4M3B  failed    2 days ago",
    ]


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 120])
def test_no_line_is_longer_than_the_terminal_is_wide_and_none_is_padded(width: int) -> None:
    rows = [*ROWS, Row("名前" * 20, "ap-01KB8ZQ4M3CCCCCCCCCCCCCCCC", steps="x" * 300)]
    console = Console(width=width)
    for line in TABLE.fitted(rows, width, NOW):
        assert line.cell_len <= width
        assert line.plain == line.plain.rstrip()
        assert len(console.render_lines(line, pad=False)) == 1


def test_a_text_is_cut_before_columns_of_more_use_go() -> None:
    texts = Table[Row](Column("name", lambda row: row.name), Column("steps", lambda row: row.steps, leaves=1, cut=True))
    assert [line.plain for line in texts.fitted([Row("a", "", steps="0123456789" * 5)], 30, NOW)] == [
        "name  steps",
        "a     01234567890123456789012…",
    ]


def test_states_are_in_colour_on_a_terminal() -> None:
    text = shown(ROWS, 120, colour=True)
    assert "\x1b[32mdeployed\x1b[0m" in text
    assert "\x1b[31mfailed\x1b[0m" in text


def test_names_of_others_steer_no_terminal() -> None:
    text = shown([Row("a\x1b]0;title\x07\n[red]b", ROWS[0].id)], 80)
    assert "\x1b]" not in text
    assert "[red]b" in text
    assert len(text.splitlines()) == 2


def test_a_pipe_gets_everything_whole_at_any_width(monkeypatch: pytest.MonkeyPatch) -> None:
    for width in ("20", "200"):
        monkeypatch.setenv("COLUMNS", width)
        heading, first, second = TABLE.plain(ROWS)
        assert heading.split() == ["name", "id", "state", "size", "created", "steps"]
        assert first.endswith("debian_slim, pip_install numpy pandas scipy")
        assert second.split() == ["a-longer-name", ROWS[1].id, "failed", iso(ROWS[1].at)]


def test_ids_are_cut_to_what_tells_them_apart_from_all_others() -> None:
    assert shortest([]) == 8
    assert shortest(["ap-01KB8ZQ4M3AAAAAAAAAAAAAAAA"]) == 11
    assert shortest(row.id for row in ROWS) == 14
    other = "ap-01KB8ZQ4M3AAAAAAAAAAAAAAAB"
    assert ROWS[0].id in shown(ROWS, 120, known=(other,))
    # Of another kind: nobody takes the one for the other.
    assert "ap-01KB8ZQ4M3A  " in shown(ROWS, 120, known=(f"im-{26 * '0'}", f"im-{25 * '0'}1"))


def test_a_table_is_sorted_by_any_column_both_ways() -> None:
    rows = [*ROWS, Row("B", "ap-0", at=0)]
    assert [row.name for row in TABLE.sorted_by(rows, "name")] == ["a-longer-name", "B", "hello"]
    assert [row.name for row in TABLE.sorted_by(rows, "-created")] == ["hello", "a-longer-name", "B"]
    with pytest.raises(KeyError):
        TABLE.sorted_by(rows, "colour")


@pytest.mark.parametrize(
    ("ago_s", "text"),
    [
        (0, "now"),
        (1, "1 second ago"),
        (59, "59 seconds ago"),
        (60, "1 minute ago"),
        (3 * 3600 - 1, "2 hours ago"),
        (86_400, "1 day ago"),
        (29 * 86_400, "29 days ago"),
        (-90, "in 1 minute"),
        (-2 * 86_400, "in 2 days"),
    ],
)
def test_times_are_told_as_people_tell_them(ago_s: int, text: str) -> None:
    assert relative(NOW - ago_s * 1000, NOW) == text


def test_a_time_may_be_a_word() -> None:
    table = Table[str](Column("next run", lambda row: int(row) if row.isdigit() else row, Kind.TIME))
    assert [line.plain for line in table.fitted(["paused", str(NOW + 3_600_000)], 60, NOW)][1:] == [
        "paused",
        "in 1 hour",
    ]
    assert table.plain(["paused", str(NOW)])[1:] == ["paused", iso(NOW)]


def test_long_ago_is_a_date_and_never_is_empty() -> None:
    then = NOW - 40 * 86_400_000
    assert relative(then, NOW) == iso(then)[:10]
    assert (relative(0, NOW), iso(0)) == ("", "")
