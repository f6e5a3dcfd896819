"""What all commands that list have: a table, and the options for it."""

import copy
import dataclasses
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar, cast

import typer

from wherry._screen.stream import ScreenStream
from wherry._screen.table import Column, Table
from wherry.cli._common import JSON_OPTION, say, show_json, tell
from wherry.cli._options import with_options
from wherry.cli._usage import UsageError

T = TypeVar("T")

_EVERY_S = 2.0


class Listed(Generic[T]):
    """What one command lists.

    `key`: what commands take for a row, its id or name. `described`: a row as JSON shows it. `empty`: what is said of
    an empty list, with what to do.
    """

    def __init__(
        self,
        *columns: Column[T],
        key: Callable[[T], str],
        described: Callable[[T], Any],
        empty: str,
        keys: str = "ids",
    ) -> None:
        self.table = Table(*columns)
        self.key = key
        self.described = described
        self.empty = empty
        self.keys = keys

    def command(
        self, *, limit: bool = True, watch: bool = True
    ) -> Callable[[Callable[..., None]], Callable[..., None]]:
        """Decorate a command: its last parameter gets a `Listing`, and the command the options for it."""
        options = _options(self, limit, watch)
        return with_options(options)


class Listing(Generic[T]):
    """How a list is wanted this time."""

    def __init__(self, listed: Listed[T], as_json: bool, quiet: bool, limit: int, sort: str, watch: bool) -> None:
        if quiet and as_json:
            raise UsageError(f"--quiet shows {listed.keys} alone, and --json everything: use one of them")
        if watch and (quiet or as_json or not ScreenStream(sys.stdout).isatty()):
            raise UsageError("--watch is for a terminal, and goes neither with --json nor with --quiet")
        if sort and sort.removeprefix("-") not in listed.table.titles:
            raise UsageError(f"--sort {sort!r}: there are the columns {', '.join(listed.table.titles)}")
        self._listed = listed
        self._json = as_json
        self._quiet = quiet
        self._limit = limit
        self._sort = sort
        self._watch = watch

    def keep(self, title: str) -> None:
        """Have a column stay, however narrow the terminal is."""
        columns = self._listed.table.columns
        kept = [dataclasses.replace(one, leaves=0) if one.title == title else one for one in columns]
        self._listed = copy.copy(self._listed)
        self._listed.table = Table(*kept)

    def show(self, fetch: Callable[[], Sequence[T]]) -> None:
        """List what `fetch` returns; while it is watched, again and again."""
        if self._watch:
            watch(lambda width: self._lines(fetch(), width))
            return
        everything = fetch()
        rows = self._chosen(everything)
        if self._json:
            show_json([self._listed.described(row) for row in rows])
        elif self._quiet:
            for row in rows:
                say(self._listed.key(row))
        elif not rows:
            tell(self._listed.empty)
        elif ScreenStream(sys.stdout).isatty():
            show_lines(self._lines(everything, terminal_console().width))
        else:
            for text in self._listed.table.plain(rows):
                say(text)

    def _lines(self, everything: Sequence[T], width: int) -> list[Any]:
        rows = self._chosen(everything)
        if not rows:
            return [self._listed.empty]
        known = [self._listed.key(row) for row in everything] if self._listed.keys == "ids" else []
        return list(self._listed.table.fitted(rows, width, int(time.time() * 1000), known))

    def _chosen(self, rows: Sequence[T]) -> list[T]:
        chosen = self._listed.table.sorted_by(rows, self._sort) if self._sort else list(rows)
        return chosen[: self._limit or None]


def terminal_console() -> Any:
    """Return rich's console for standard output."""
    from rich.console import Console  # noqa: PLC0415 - start-up cost: only on terminals

    return Console(file=cast("Any", ScreenStream(sys.stdout)), highlight=False, markup=False)


def watch(lines: Callable[[int], list[Any]], every_s: float = _EVERY_S) -> None:
    """Show lines for a terminal's width, and what becomes of them, until Ctrl-C."""
    from rich.console import Group  # noqa: PLC0415 - start-up cost: only on terminals
    from rich.live import Live  # noqa: PLC0415 - start-up cost: as above

    console = terminal_console()
    with Live(console=console, auto_refresh=False, screen=True, vertical_overflow="crop") as live:
        while True:
            live.update(Group(*lines(console.width)), refresh=True)
            time.sleep(every_s)


def show_lines(lines: Sequence[Any]) -> None:
    """Print lines that were made for a terminal."""
    console = terminal_console()
    for line in lines:
        console.print(line, crop=False, soft_wrap=True)


def show_rows(*columns: Column[T], rows: Sequence[T]) -> None:
    """Print a table that has no options of its own: under others' lines, or of things without ids."""
    table = Table(*columns)
    if not ScreenStream(sys.stdout).isatty():
        for text in table.plain(rows):
            say(text)
        return
    show_lines(table.fitted(rows, terminal_console().width, int(time.time() * 1000)))


def _options(listed: Listed[Any], limit: bool, watching: bool) -> Callable[..., Listing[Any]]:
    titles = listed.table.titles

    def complete(incomplete: str) -> list[str]:
        return [title for title in titles if title.startswith(incomplete)]

    quiet_option = typer.Option(False, "-q", "--quiet", help=f"Show {listed.keys} alone, one a line, for scripts.")
    sort_option = typer.Option(
        "", "--sort", metavar="COLUMN", help="Order by a column; -COLUMN: the other way round.", autocompletion=complete
    )
    limit_option = typer.Option(0, "-n", "--limit", metavar="N", help="Show at most N; 0: all.", min=0)
    watch_option = typer.Option(False, "-w", "--watch", help="Show it again every 2 seconds, until Ctrl-C.")

    def whole(
        sort: str = sort_option,
        limit: int = limit_option,
        quiet: bool = quiet_option,
        watch: bool = watch_option,
        as_json: bool = JSON_OPTION,
    ) -> Listing[Any]:
        return Listing(listed, as_json, quiet, limit, sort, watch)

    def still(
        sort: str = sort_option, limit: int = limit_option, quiet: bool = quiet_option, as_json: bool = JSON_OPTION
    ) -> Listing[Any]:
        return whole(sort, limit, quiet, False, as_json)

    def all_of_it(sort: str = sort_option, quiet: bool = quiet_option, as_json: bool = JSON_OPTION) -> Listing[Any]:
        return whole(sort, 0, quiet, False, as_json)

    def watched(
        sort: str = sort_option,
        quiet: bool = quiet_option,
        watch: bool = watch_option,
        as_json: bool = JSON_OPTION,
    ) -> Listing[Any]:
        return whole(sort, 0, quiet, watch, as_json)

    if not limit:
        return watched if watching else all_of_it
    return whole if watching else still
