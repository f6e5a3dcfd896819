"""`wherry config`: what is configured."""

import typer

from wherry._connection.settings import Settings
from wherry.cli._common import JSON_OPTION, show_json

group = typer.Typer(help="What is configured, by the environment.", no_args_is_help=True)


@group.callback()
def config() -> None:
    """What is configured, by the environment."""


@group.command()
def show(as_json: bool = JSON_OPTION) -> None:
    """Show the settings in force."""
    settings = Settings.from_environment()
    values = {
        "state_dir": str(settings.state_dir),
        "server_url": settings.server_url,
        "environment": settings.environment,
        "profile": settings.profile,
        "token_id": settings.remote.token_id if settings.remote is not None else "",
    }
    if as_json:
        show_json(values)
        return
    for name, value in values.items():
        typer.echo(f"{name}: {value}")
