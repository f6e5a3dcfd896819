"""Tables of pages whose rows are all alike: said in Python, drawn by one template."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Cell(NamedTuple):
    """What stands in a row: drawn by its kind, with a link where it has one."""

    # "text", "long", "number", "when", "size", "state" or "code".
    kind: str
    value: Any
    path: str = ""


class Row(NamedTuple):
    """A row. `key` is no other's on the page: what changes is put in its place by it."""

    key: str
    cells: Sequence[Cell]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows below their titles."""

    # Of a column with numbers: "Size#".
    titles: Sequence[str]
    rows: Sequence[Row]
    # Said where there are none, with a command that makes one.
    empty: str
    command: str = ""
    # Said below.
    more: str = ""
    label: str = ""
    facts: Sequence[tuple[str, Any]] = field(default_factory=tuple)


def text(value: object, path: str = "") -> Cell:
    """Return a text."""
    return Cell("text", value, path)


def long(value: object) -> Cell:
    """Return a text that may have several lines."""
    return Cell("long", value)


def code(value: object, path: str = "") -> Cell:
    """Return an id or a line of a program."""
    return Cell("code", value, path)


def number(value: int) -> Cell:
    """Return a number."""
    return Cell("number", value)


def when(at_ms: int) -> Cell:
    """Return a time; 0 for none."""
    return Cell("when", at_ms)


def size(num_bytes: int) -> Cell:
    """Return bytes."""
    return Cell("size", num_bytes)


def state(word: str) -> Cell:
    """Return a state."""
    return Cell("state", word)
