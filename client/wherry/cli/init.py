"""`wherry init`: a first file that runs, to be changed into one's own."""

import enum
import re
from pathlib import Path

import typer

from wherry.cli._usage import UsageError

_TEMPLATES = Path(__file__).parent / "templates"


class Template(enum.StrEnum):
    """What the file shows."""

    FUNCTION = "function"
    WEB = "web"
    CRON = "cron"
    CLASS = "class"
    QUEUE = "queue"
    SANDBOX = "sandbox"


# The file's name where none is given, and what to type next.
_NAMES = {
    Template.FUNCTION: "hello.py",
    Template.WEB: "site.py",
    Template.CRON: "nightly.py",
    Template.CLASS: "greeter.py",
    Template.QUEUE: "worker.py",
    Template.SANDBOX: "agent.py",
}
_NEXT = {
    Template.FUNCTION: (
        ("wherry run {file} --count 20", "run it now"),
        ("wherry deploy {file}", "keep it, for other programs to call"),
    ),
    Template.WEB: (
        ("wherry serve {file}", "show it while you work on it: each change is there at once"),
        ("wherry deploy {file}", "keep it"),
        ("wherry open {app}", "open the deployed one in a browser"),
    ),
    Template.CRON: (
        ("wherry run {file}", "try it now"),
        ("wherry deploy {file}", "have it run by the clock"),
        ("wherry schedule list", "see when it runs next"),
    ),
    Template.CLASS: (
        ("wherry run {file} --name Ada", "run it now"),
        ("wherry deploy {file}", "keep it, for other programs to call"),
    ),
    Template.QUEUE: (
        ("wherry run {file} --workers 2", "run it now"),
        ("wherry queue list", "see the queue"),
    ),
    Template.SANDBOX: (("wherry run {file}", "run it now"),),
}


def init(
    file: Path = typer.Argument(None, help="The file to write, for example hello.py.", show_default=False),
    template: Template = typer.Option(Template.FUNCTION, "-t", "--template", help="What the file shows."),
    force: bool = typer.Option(False, "--force", help="Replace the file if it exists."),
) -> None:
    """Write a file to begin with, and say what to type next."""
    file = file or Path(_NAMES[template])
    app_name = _app_name(file)
    if file.is_dir():
        raise UsageError(f"{file} is a folder: name a file in it, for example {file / _NAMES[template]}")
    if not file.parent.is_dir():
        raise UsageError(f"there is no folder {file.parent}: make it first, or name another one")
    text = _TEMPLATES.joinpath(f"{template}.py.txt").read_text(encoding="utf-8").replace("APP_NAME", app_name)
    try:
        with file.open("w" if force else "x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        raise UsageError(f"{file} exists: name another file, or replace it with --force") from None
    except OSError as error:
        raise UsageError(f"{file} can't be written: {error.strerror}") from None
    typer.echo(f"Wrote {file}. Next:")
    commands = [(command.format(file=_quoted(file), app=app_name), why) for command, why in _NEXT[template]]
    width = max(len(command) for command, _ in commands)
    for command, why in commands:
        typer.echo(f"  {command:{width}}  # {why}")


def _app_name(file: Path) -> str:
    """Return the app's name: that of the file, as far as it can be one."""
    if file.suffix != ".py" and not file.is_dir():
        raise UsageError(f"{file} is no name of a Python file: write {file.name or 'hello'}.py")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", file.stem).strip("-._")[:60] or "hello"
    # Ids begin so.
    return f"app-{name}" if name.startswith("ap-") else name


def _quoted(file: Path) -> str:
    text = str(file)
    return f"'{text}'" if re.search(r"[^\w./~-]", text) else text
