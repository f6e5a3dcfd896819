"""Commands and options of Modal's command line that mean nothing here: they say why. None is shown in a help text."""

from collections.abc import Callable
from typing import Any

import typer

from wherry._base.elsewhere import Row, row_of
from wherry.cli._usage import UsageError

# Whole commands, and groups with all that is in them.
_COMMANDS = (
    "app dashboard", "app promote", "billing", "changelog", "curl", "endpoint", "environment billing",
    "environment members", "environment roles", "server autoscaler", "server deploy", "server info",
    "server requests", "server stats", "setup", "skills", "token rotate", "token set", "volume dashboard",
    "workspace",
)  # fmt: skip
# Options of commands that there are; True: with a value.
_OPTIONS = {
    "environment create": {"--restricted": False, "--default-role": True},
    "environment update": {"--set-image-builder-version": True, "--set-web-suffix": True},
    "server metrics": {
        "--since": True, "--until": True, "--group": True, "--bucket-size": True, "--json": False, "--csv": False,
    },
    "shell": {"--cloud": True, "--region": True, "--runtime": True},
    "token new": {
        "--activate/--no-activate": False, "--verify/--no-verify": False, "--expires-in": True,
        "--delete-existing": False,
    },
    "volume create": {"--version": True},
}  # fmt: skip


def stand_in(cli: Any) -> None:
    """Add them to the whole command line, hidden."""
    for words in _COMMANDS:
        *groups, name = words.split()
        group = _command(cli, groups)
        if group is not None and name not in group.commands:
            group.commands[name] = _made(_refusing(words))
    for words, options in _OPTIONS.items():
        command = _command(cli, words.split())
        for spelling, has_value in options.items() if command is not None else ():
            if not any(spelling.split("/")[0] in own.opts for own in command.params):
                command.params += _option(words, spelling, has_value)


def _command(cli: Any, words: list[str]) -> Any:
    found = cli
    for word in words:
        found = found.commands.get(word)
        if found is None:
            return None
    return found


def _refusing(words: str) -> Callable[..., None]:
    def refuse(context: typer.Context) -> None:
        row = _row(words, next((name for name in (f"modal {words}", f"modal {words} x") if row_of(name)), ""))
        raise UsageError(f"there is no wherry {' '.join([words, *context.args[:1]])}: {row.sentence}")

    return refuse


def _made(function: Callable[..., None]) -> Any:
    made = typer.Typer(add_completion=False)
    made.command(
        hidden=True,
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(function)
    return typer.main.get_command(made)


def _option(words: str, spelling: str, has_value: bool) -> list[Any]:
    def meet(given: Any) -> None:
        if given is None:
            return
        row = _row(spelling, f"modal {words} {spelling}")
        if row.how == "refused":
            raise UsageError(f"wherry {words} has no {spelling.split('/', maxsplit=1)[0]}: {row.sentence}")
        if row.how == "ignored":
            typer.echo(f"{spelling.split('/', maxsplit=1)[0]} is ignored: {row.sentence}", err=True)

    def one(value: str | None = typer.Option(None, spelling, hidden=True, callback=meet, expose_value=False)) -> None:
        """Has the option."""

    def flag(value: bool | None = typer.Option(None, spelling, hidden=True, callback=meet, expose_value=False)) -> None:
        """Has the option."""

    made = typer.Typer(add_completion=False)
    made.command()(one if has_value else flag)
    return [own for own in typer.main.get_command(made).params if spelling.split("/", maxsplit=1)[0] in own.opts]


def _row(what: str, fact: str) -> Row:
    row = row_of(fact)
    assert row is not None, what
    return row
