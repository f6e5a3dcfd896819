"""`wherry config`: what is configured."""

from pathlib import Path

import typer

from wherry._base.misuse import near
from wherry._connection.client import default_client
from wherry._connection.engine import engine_here
from wherry._connection.profiles import Profiles, profiles_path
from wherry._connection.settings import Remote, Settings
from wherry.cli._common import JSON_OPTION, show_json
from wherry.cli._usage import UsageError
from wherry.exception import InvalidError, NotFoundError
from wherry_proto.messages import EnvironmentListRequest, EnvironmentListResponse

group = typer.Typer(help="Show and change what is configured.", no_args_is_help=True)


_KEYS = ("environment", "server_url", "token_id", "token_secret")


@group.callback()
def config() -> None:
    """Show and change what is configured."""


@group.command("set-environment")
def set_environment(environment: str = typer.Argument(help="Its name.")) -> None:
    """Set the environment of the profile in use.

    It counts where neither --env nor WHERRY_ENVIRONMENT says another.
    """
    name = Settings.from_environment().profile
    if not name:
        raise InvalidError(
            f"no profile is in use that could keep it: set WHERRY_ENVIRONMENT={environment}, or make a profile with "
            "`wherry profile add`"
        )
    client = default_client()
    known = client.call("Environments.List", EnvironmentListRequest(), EnvironmentListResponse).environments
    names = [info.name for info in known]
    if environment not in names:
        raise NotFoundError(f"there is no environment {environment!r}{near(environment, names)}")
    Profiles(profiles_path()).set_environment(name, environment)
    typer.echo(f"Profile {name!r} uses environment {environment} now.")


@group.command("set")
def set_value(
    key: str = typer.Argument(help="environment, server_url, token_id or token_secret."),
    value: str = typer.Argument(help="What it is from now on."),
) -> None:
    """Change one setting of the profile in use."""
    if key not in _KEYS:
        raise UsageError(f"{key!r} is no setting of a profile{near(key, _KEYS)}")
    if key == "environment":
        set_environment(value)
        return
    name = Settings.from_environment().profile
    if not name:
        raise InvalidError("no profile is in use that could keep it: make one with `wherry profile add`")
    profiles = Profiles(profiles_path())
    values = {**profiles.get(name), key: value}
    # Raises where it can't be one.
    Remote(values.get("server_url", ""), values.get("token_id", ""), values.get("token_secret", ""))
    profiles.set(name, values, activate=False)
    typer.echo(f"Profile {name!r} has another {key} now.")


@group.command()
def schema() -> None:
    """Print the JSON schema of the service's settings file.

    Editors complete and check wherry.yaml by it: docs/configuration.md says how.
    """
    typer.echo(Path(__file__).with_name("settings.schema.json").read_text(encoding="utf-8"), nl=False)


@group.command()
def show(
    redact: bool = typer.Option(True, "--redact/--no-redact", help="Hide the token's secret."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Show the settings in force."""
    settings = Settings.from_environment()
    remote = settings.remote
    values = {
        "state_dir": str(settings.state_dir),
        "server_url": settings.server_url,
        # Of a service that is started here; one elsewhere has its own.
        "engine": engine_here() if remote is None else "",
        "environment": settings.environment,
        "profile": settings.profile,
        "token_id": remote.token_id if remote is not None else "",
        "token_secret": remote.token_secret if remote is not None else "",
    }
    if redact and values["token_secret"]:
        values["token_secret"] = "***"
    if as_json:
        show_json(values)
        return
    for name, value in values.items():
        typer.echo(f"{name}: {value}")
