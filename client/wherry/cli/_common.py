"""What commands share: times, tables, JSON."""

import json
import os
import shutil
import sys
import textwrap
import time
from typing import Any

import typer

from wherry._base import modal_name
from wherry._connection.client import default_client
from wherry._screen.harmless import harmless
from wherry._screen.moments import relative
from wherry._screen.stream import ScreenStream
from wherry.cli._usage import UsageError
from wherry.exception import InvalidError
from wherry_proto.times import iso

JSON_OPTION = typer.Option(False, "--json", help="Write JSON.")
ENVIRONMENT_OPTION = typer.Option(None, "-e", "--env", help="The environment.")
MODULE_OPTION = typer.Option(False, "-m", help="REF is a module, as with python -m.")
NAME_OPTION = typer.Option(None, "-n", "--name", help="What this run of the app is called.")
TIMESTAMPS_OPTION = typer.Option(False, "--timestamps", help="Show the time of each line that containers print.")
MODAL_OPTION = typer.Option(False, "--modal", help="`import modal` means Wherry, here and in containers.")
NEVER_ASKS_OPTION = typer.Option(False, "-y", "--yes", help="Accepted for scripts: this command never asks.")
ALLOW_MISSING_OPTION = typer.Option(False, "--allow-missing", help="Do nothing if it does not exist.")
YES_OPTION = typer.Option(False, "-y", "--yes", help="Do not ask.")


def use_environment(environment: str | None) -> None:
    """Have names mean, in all of this process, those of the environment that a command was given.

    To be called before the user's code is imported: entrypoints look up dicts, secrets and functions, too.
    """
    if environment:
        default_client().environment = environment


def suggested(environment: str) -> str:
    """Return what a suggested command ends with: " -e ENV", "" where the command means that environment anyway.

    To be called before `use_environment`, or without it.
    """
    own = default_client().environment
    # Code in a container has but one.
    return f" -e {environment}" if own and environment and environment != own else ""


def use_modal(wanted: bool) -> None:
    """Have `import modal` mean Wherry in this process and its children. Raises UsageError where it can't."""
    if not wanted:
        return
    os.environ[modal_name.VARIABLE] = "1"
    try:
        modal_name.take("--modal")
    except ImportError as error:
        raise UsageError(str(error)) from None


def confirm(question: str, yes: bool) -> None:
    """Ask on a terminal; exit with code 1 unless the answer is yes. Without a terminal `--yes` is needed."""
    if yes:
        return
    if not stdin_is_terminal():
        raise InvalidError(f"{question} There is no terminal to ask on: say so with --yes")
    # Not among what was asked for: that may be JSON for another program.
    typer.confirm(question, abort=True, err=True)


def without_colour(wanted: bool) -> bool:
    """Show nothing of this process in colour, if that is wanted; for the option `--no-color`."""
    if wanted:
        os.environ["NO_COLOR"] = "1"
    return wanted


def stdin_is_terminal() -> bool:
    """Whether there is somebody to ask; with a closed stdin there is not even a stream."""
    return sys.stdin is not None and sys.stdin.isatty()


def say(text: str) -> None:
    """Print a line of what was asked for: what the stream can't encode as "?", on a terminal nothing that steers it."""
    stream = ScreenStream(sys.stdout)
    stream.write((harmless(text) if stream.isatty() else text) + "\n")
    stream.flush()


def in_words(text: str, stream: ScreenStream, hanging: int = 0) -> str:
    """Return sentences in lines that end between words, where they go to a terminal.

    Lines that go on begin below the first, so many columns further right.
    """
    if not stream.isatty():
        return text
    width = max(20, shutil.get_terminal_size().columns)
    lines = [
        textwrap.fill(
            line,
            width,
            subsequent_indent=" " * (len(line) - len(line.lstrip()) + hanging),
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in text.splitlines()
    ]
    return "\n".join(lines)


def say_sentence(text: str, hanging: int = 0) -> None:
    """Do as `say` with sentences: on a terminal their lines end between words."""
    say(in_words(text, ScreenStream(sys.stdout), hanging))


def tell(text: str) -> None:
    """Print a sentence beside what was asked for, to standard error."""
    typer.echo(in_words(text, ScreenStream(sys.stderr)), err=True)


def show_json(value: Any) -> None:
    """Print a value as JSON."""
    typer.echo(json.dumps(value, indent=2))


def when(ms: int) -> str:
    """Return "3 minutes ago" on a terminal, and in a pipe local time in ISO format; "" for 0."""
    return relative(ms, int(time.time() * 1000)) if ScreenStream(sys.stdout).isatty() else iso(ms)


def time_of(ms: int) -> str | None:
    """Return local time in ISO format, None for 0."""
    return iso(ms) or None
