"""`wherry function`: how functions do."""

import typer

from wherry.cli._common import JSON_OPTION, show_json
from wherry.cli._usage import UsageError
from wherry.function import Function

group = typer.Typer(help="Functions of running apps.", no_args_is_help=True)


@group.callback()
def functions() -> None:
    """Functions of running apps."""


@group.command()
def stats(
    function: str = typer.Argument(help="Id, or APP/FUNCTION."),
    environment: str | None = typer.Option(None, "-e", "--env", help="The environment."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Show how many inputs wait, and how many containers a function has."""
    if function.startswith("fu-"):
        found = Function.from_id(function)
    else:
        app_name, _, name = function.partition("/")
        if not name:
            raise UsageError(f"{function!r} is neither an id (fu-…) nor APP/FUNCTION")
        found = Function.lookup(app_name, name, environment_name=environment)
    now = found.get_current_stats()
    if as_json:
        show_json(
            {
                "backlog": now.backlog,
                "num_active_runners": now.num_active_runners,
                "num_total_runners": now.num_total_runners,
            }
        )
        return
    typer.echo(f"{now.backlog} inputs wait, {now.num_active_runners} of {now.num_total_runners} containers work.")
