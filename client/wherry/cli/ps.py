"""`wherry ps`: apps, functions and containers of an environment on one screen."""

import sys
import time
from typing import Any

import typer

from wherry._connection.client import default_client
from wherry._screen.stream import ScreenStream
from wherry.cli._common import ENVIRONMENT_OPTION, JSON_OPTION, say, show_json, tell
from wherry.cli._find import functions_in, list_of_apps, list_of_sandboxes, running_containers
from wherry.cli._listing import Listed, show_lines, terminal_console, watch
from wherry.cli._usage import UsageError
from wherry.cli.app import APPS
from wherry.cli.container import CONTAINERS
from wherry.cli.function import FUNCTIONS
from wherry.cli.sandbox import SANDBOXES

_QUIET = typer.Option(False, "-q", "--quiet", help="Show ids of containers and sandboxes alone, one a line.")
_WATCH = typer.Option(False, "-w", "--watch", help="Show it again every 2 seconds, until Ctrl-C.")

Parts = list[tuple[str, Listed[Any], list[Any]]]


def ps(
    environment: str | None = ENVIRONMENT_OPTION,
    quiet: bool = _QUIET,
    watching: bool = _WATCH,
    as_json: bool = JSON_OPTION,
) -> None:
    """Show what runs: apps, functions, containers, sandboxes.

    `wherry top` shows what functions do, live.
    """
    on_terminal = ScreenStream(sys.stdout).isatty()
    if quiet and as_json:
        raise UsageError("--quiet shows ids alone, and --json everything: use one of them")
    if watching and (quiet or as_json or not on_terminal):
        raise UsageError("--watch is for a terminal, and goes neither with --json nor with --quiet")
    if watching:
        watch(lambda width: _lines(_parts(environment), width, environment))
        return
    parts = _parts(environment)
    if as_json:
        show_json({title: [listed.described(row) for row in rows] for title, listed, rows in parts})
    elif quiet:
        for _, listed, rows in parts[2:]:
            for row in rows:
                say(listed.key(row))
    elif not any(rows for _, _, rows in parts):
        tell(_nothing(environment))
    elif on_terminal:
        show_lines(_lines(parts, terminal_console().width, environment))
    else:
        for text in _plain(parts):
            say(text)


def _parts(environment: str | None) -> Parts:
    return [
        ("apps", APPS, list_of_apps(environment, False)),
        ("functions", FUNCTIONS, functions_in(environment)),
        ("containers", CONTAINERS, running_containers(environment)),
        ("sandboxes", SANDBOXES, list_of_sandboxes(environment, False)),
    ]


def _lines(parts: Parts, width: int, environment: str | None) -> list[Any]:
    from rich.text import Text  # noqa: PLC0415 - start-up cost: only on terminals

    now_ms = int(time.time() * 1000)
    lines: list[Any] = []
    for title, listed, rows in parts:
        if rows:
            lines += [*([Text("")] if lines else []), Text(title, style="bold underline")]
            lines += listed.table.fitted(rows, width, now_ms)
    return lines or [Text(_nothing(environment))]


def _plain(parts: Parts) -> list[str]:
    lines: list[str] = []
    for title, listed, rows in parts:
        if rows:
            lines += [*([""] if lines else []), title, *listed.table.plain(rows)]
    return lines


def _nothing(environment: str | None) -> str:
    name = environment or default_client().environment
    return f"Nothing runs in environment {name}. Start an app with `wherry run FILE.py` or `wherry deploy FILE.py`."
