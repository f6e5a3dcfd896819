"""`wherry container`: what runs, or ran, in one container."""

import typer

from wherry.cli.logs import container_logs

group = typer.Typer(help="Containers.", no_args_is_help=True)


@group.callback()
def containers() -> None:
    """Containers."""


group.command("logs")(container_logs)
