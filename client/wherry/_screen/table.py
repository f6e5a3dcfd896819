"""Tables: for a terminal in its width, for a pipe always the same.

On a terminal ids are cut to what tells them apart, times are relative, states have colours, and a line is never longer
than the terminal is wide: columns are left out, then texts cut. Elsewhere everything is whole.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from wherry._screen.harmless import in_one_line
from wherry._screen.moments import relative
from wherry._screen.pace import took
from wherry_proto.times import iso

if TYPE_CHECKING:
    from rich.text import Text

T = TypeVar("T")

_GAP = 2
# Digits of an id that are shown at least: in a list of two even one might do, and would mean another one tomorrow.
_DIGITS = 8
# What a text that may be cut is left with, before another column goes; and what any text is left with in the end.
_ROOM = 16
_LEAST = 4
_GREEN = ("busy", "built", "deployed", "live", "ok", "running", "succeeded")
_YELLOW = ("building", "creating", "detached", "draining", "retrying", "starting", "ephemeral")
_RED = ("error", "failed", "lost", "rejected", "timed out", "timeout")
_DIM = (
    "cancelled", "exited", "idle", "not built", "paused", "removed", "revoked", "skipped", "stopped", "superseded",
    "terminated",
)  # fmt: skip
_STYLES = {
    word: style
    for style, words in (("green", _GREEN), ("yellow", _YELLOW), ("red", _RED), ("dim", _DIM))
    for word in words
}


class Kind(Enum):
    """What a column holds, and so how it is shown."""

    TEXT = "text"
    # A whole id: cut on a terminal.
    ID = "id"
    # A word, maybe with more behind a colon or a comma: in colour on a terminal.
    STATE = "state"
    # Milliseconds since 1970, 0 for never: relative on a terminal. Or a text, such as "paused".
    TIME = "time"
    # Bytes.
    SIZE = "size"
    # How long something took.
    SECONDS = "seconds"


@dataclass(frozen=True)
class Column(Generic[T]):
    """One column. `value` takes what a row is about; None and "" leave the cell empty."""

    title: str
    value: Callable[[T], Any]
    kind: Kind = Kind.TEXT
    # Where the terminal is too narrow the columns with the highest number go first; with 0 they stay.
    leaves: int = 0
    # Whether what is too long may end with "…" before other columns go.
    cut: bool = False


class Table(Generic[T]):
    """Columns, in the order in which they are shown."""

    def __init__(self, *columns: Column[T]) -> None:
        self.columns = columns

    @property
    def titles(self) -> list[str]:
        """What it can be sorted by."""
        return [column.title for column in self.columns]

    def sorted_by(self, rows: Iterable[T], title: str) -> list[T]:
        """Return the rows in the order of a column, with "-" before its title in the other one; raise KeyError."""
        name = title.removeprefix("-")
        value = {column.title: column.value for column in self.columns}[name]
        return sorted(rows, key=lambda row: _rank(value(row)), reverse=title.startswith("-"))

    def plain(self, rows: Sequence[T]) -> list[str]:
        """Return lines for a pipe or a file: every column, ids whole, times in ISO format."""
        cells = [[_whole(column.kind, column.value(row)) for row in rows] for column in self.columns]
        return _lines([[column.title, *texts] for column, texts in zip(self.columns, cells, strict=True)])

    def fitted(self, rows: Sequence[T], width: int, now_ms: int, known: Iterable[str] = ()) -> "list[Text]":
        """Return lines for a terminal of that width. `known`: ids that are not shown, and must not be mistaken."""
        from rich.text import Text  # noqa: PLC0415 - start-up cost: only on terminals

        columns = list(self.columns)
        cells = {column.title: _shown(column, rows, now_ms, known) for column in columns}
        # A column without anything in it tells nothing.
        columns = [column for column in columns if not column.leaves or any(cells[column.title])]
        natural = {c.title: max(map(_len, (c.title, *cells[c.title]))) for c in columns}
        least = {
            c.title: min(natural[c.title], max(_ROOM, _len(c.title))) if c.cut else natural[c.title] for c in columns
        }
        while _total(columns, least) > width and (leaving := max(columns, key=lambda c: c.leaves)).leaves:
            columns.remove(leaving)
        widths = _dealt(columns, natural, least, width)
        lines = [Text(_GAP * " ").join(_headings(columns, widths))]
        for number, row in enumerate(rows):
            parts = []
            for index, column in enumerate(columns):
                text = _cut(cells[column.title][number], widths[column.title])
                padding = widths[column.title] - _len(text) if index < len(columns) - 1 else 0
                parts.append(Text(text, style=_style(column, row)).append(" " * padding, style="none"))
            lines.append(Text(_GAP * " ").join(parts))
        for line in lines:
            line.rstrip()
            line.no_wrap = True
        return lines


def shortest(ids: Iterable[str]) -> int:
    """Return how many characters tell all these ids apart: at least the kind and some digits."""
    ordered = sorted({one for one in ids if one})
    common = max((_common(a, b) for a, b in itertools.pairwise(ordered)), default=0)
    kind = max((one.find("-") + 1 for one in ordered), default=0)
    return max(common + 1, kind + _DIGITS)


def _common(a: str, b: str) -> int:
    return next((index for index, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _shown(column: Column[Any], rows: Sequence[Any], now_ms: int, known: Iterable[str]) -> list[str]:
    values = [column.value(row) for row in rows]
    if column.kind is Kind.ID:
        # Ids of other kinds have other lengths.
        kinds = {str(value).partition("-")[0] for value in values if value}
        length = shortest([*(value or "" for value in values), *(one for one in known if one[:2] in kinds)])
        return [in_one_line(str(value or ""))[:length] for value in values]
    if column.kind is Kind.TIME:
        return [value if isinstance(value, str) else relative(value or 0, now_ms) for value in values]
    return [_whole(column.kind, value) for value in values]


def _whole(kind: Kind, value: Any) -> str:
    if value is None:
        return ""
    if kind is Kind.TIME and isinstance(value, int):
        return iso(value)
    if kind is Kind.SECONDS:
        return took(value)
    return size_of(value) if kind is Kind.SIZE else in_one_line(str(value))


def size_of(size: int) -> str:
    """Return a number of bytes as people read it; "" for 0."""
    if not size:
        return ""
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            return f"{amount:.0f} {unit}" if amount >= 10 or unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return ""


def _headings(columns: list[Column[Any]], widths: dict[str, int]) -> "list[Text]":
    from rich.text import Text  # noqa: PLC0415 - start-up cost: only on terminals

    return [Text(_cut(c.title, widths[c.title]).ljust(widths[c.title]), style="bold") for c in columns]


def _dealt(columns: list[Column[Any]], natural: dict[str, int], least: dict[str, int], width: int) -> dict[str, int]:
    """Return how wide each column is: texts get what is left, and where nothing is, the longest gives most."""
    widths = {column.title: least[column.title] for column in columns}
    spare = width - _total(columns, widths)
    while spare > 0 and (wanting := [c.title for c in columns if widths[c.title] < natural[c.title]]):
        for title in wanting[:spare]:
            widths[title] += 1
        spare = width - _total(columns, widths)
    while spare < 0 and (longest := max((c.title for c in columns), key=lambda title: widths[title])):
        if widths[longest] <= _LEAST:
            break
        widths[longest] -= 1
        spare += 1
    return widths


def _total(columns: list[Column[Any]], widths: dict[str, int]) -> int:
    return sum(widths[column.title] for column in columns) + _GAP * (len(columns) - 1)


def _style(column: Column[Any], row: Any) -> str:
    if column.kind is not Kind.STATE:
        return ""
    word = str(column.value(row) or "")
    return _STYLES.get(word) or _STYLES.get(word.partition(":")[0].partition(",")[0], "")


def _lines(columns: list[list[str]]) -> list[str]:
    widths = [max(map(_len, texts)) for texts in columns]
    rows = zip(*columns, strict=True)
    gap = _GAP * " "
    return [
        gap.join(text + " " * (width - _len(text)) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _len(text: str) -> int:
    """Return how many cells of a terminal it takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # noqa: PLC0415 - start-up cost: only for texts that need it

    return cell_len(text)


def _cut(text: str, width: int) -> str:
    if _len(text) <= width:
        return text
    shown = text[: width - 1]
    while _len(shown) > width - 1:
        shown = shown[:-1]
    return shown + "…"


def _rank(value: Any) -> tuple[int, float, str]:
    """Numbers first, then texts; what is empty comes last."""
    if value is None or value == "":
        return 2, 0.0, ""
    return (0, float(value), "") if isinstance(value, int | float) else (1, 0.0, str(value).casefold())
