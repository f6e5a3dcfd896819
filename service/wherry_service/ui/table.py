"""Tables: what their columns are called, and what each row has in them. `templates/list.html` draws them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

# Rows of one table: more are counted, and left to the command line.
MOST = 500


class Cell(NamedTuple):
    """What one row has in one column."""

    text: str = ""
    # The path of the page it leads to.
    link: str = ""
    # The time that it is, instead of a text; milliseconds since the epoch.
    at_ms: int = 0
    # "state", "number", "id", "bad", "faint", or "" for plain words.
    kind: str = ""


class Button(NamedTuple):
    """A form of one button behind a row."""

    text: str
    path: str
    fields: Mapping[str, str]
    # Asked before it is sent; "": nothing is.
    question: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A column. `cell` makes what a row has in it."""

    title: str
    cell: Callable[[Any], Cell]
    # Its numbers stand at the right.
    number: bool = False


class Row(NamedTuple):
    """A row, drawn."""

    # Names it in the page.
    row_id: str
    cells: Sequence[tuple[Column, Cell]]
    buttons: Sequence[Button]


@dataclass(slots=True)
class Table:
    """A table, or what is said where it has no row."""

    title: str
    columns: Sequence[Column]
    rows: list[Row] = field(default_factory=list)
    # Rows that are not shown.
    more: int = 0
    empty: str = ""
    command: str = ""

    @property
    def has_buttons(self) -> bool:
        """Whether any row has a button."""
        return any(row.buttons for row in self.rows)


def table(
    title: str,
    columns: Sequence[Column],
    rows: Iterable[Any],
    row_id: Callable[[Any], str],
    empty: str,
    command: str = "",
    buttons: Callable[[Any], Sequence[Button]] = lambda row: (),
) -> Table:
    """Return a table of these rows: the first `MOST`, and how many more there are."""
    made = Table(title, columns, empty=empty, command=command)
    for row in rows:
        if len(made.rows) >= MOST:
            made.more += 1
            continue
        made.rows.append(Row(row_id(row), [(column, column.cell(row)) for column in columns], buttons(row)))
    return made


def word(text: str) -> Cell:
    """Return a cell of plain words; "–" where there are none."""
    return Cell(text) if text else Cell("–", kind="faint")


def when(at_ms: int) -> Cell:
    """Return a cell with a time; "–" for 0."""
    return Cell(at_ms=at_ms) if at_ms else Cell("–", kind="faint")


def count(number: int) -> Cell:
    """Return a cell with a number."""
    return Cell(f"{number:,}", kind="number")


def identity(text: str, link: str = "") -> Cell:
    """Return a cell with an id."""
    return Cell(text, link, kind="id") if text else Cell("–", kind="faint")


def state(text: str) -> Cell:
    """Return a cell with a state."""
    return Cell(text, kind="state")
