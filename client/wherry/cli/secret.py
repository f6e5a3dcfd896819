"""`wherry secret`: values for functions' environments."""

import json
import os
import sys
from pathlib import Path

import typer

from wherry._base.words import counted
from wherry._connection.client import default_client
from wherry._objects import secrets
from wherry._objects.dotenv import read
from wherry._screen.table import Column, Kind
from wherry.cli._common import (
    ALLOW_MISSING_OPTION,
    ENVIRONMENT_OPTION,
    JSON_OPTION,
    YES_OPTION,
    confirm,
    show_json,
    stdin_is_terminal,
)
from wherry.cli._listing import Listed, Listing
from wherry.cli._shared import missing_allowed
from wherry.cli._usage import UsageError
from wherry.exception import AlreadyExistsError, InvalidError
from wherry.secret import Secret
from wherry_proto import views
from wherry_proto.messages import SecretInfo, SecretRotateRequest, SecretRotateResponse

group = typer.Typer(help="Manage secrets: values for environment variables.", no_args_is_help=True)

_VALUES = typer.Argument(None, metavar="KEY=VALUE", help="KEY=- reads the value from stdin.")
_DOTENV = typer.Option(None, "--from-dotenv", help="Take the values of a .env file.")
_JSON = typer.Option(None, "--from-json", help="Take the values of a JSON object; - reads stdin.")


@group.command()
def create(
    name: str = typer.Argument(help="What it is called."),
    values: list[str] | None = _VALUES,
    from_dotenv: Path | None = _DOTENV,
    from_json: str | None = _JSON,
    force: bool = typer.Option(False, "--force", help="Replace the values of a secret of that name."),
    environment: str | None = ENVIRONMENT_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Store a secret. A value on the command line stays in the shell's history: KEY=- keeps it out."""
    given: dict[str, str] = {}
    if from_dotenv is not None:
        if not from_dotenv.is_file():
            raise UsageError(f"--from-dotenv: {from_dotenv} is no file")
        given.update(read(from_dotenv))
    if from_json is not None:
        given.update(_from_json(from_json))
    given.update(_pairs(values or [], from_json == "-"))
    if not given:
        raise UsageError(f"a secret holds something: wherry secret create {name} KEY=VALUE …")
    try:
        info = secrets.create(None, name, environment or "", given, replace=force)
    except AlreadyExistsError as error:
        text = str(error).partition(":")[0]
        raise AlreadyExistsError(f"{text}: replace its values with --force, or choose another name") from None
    if as_json:
        show_json(views.secret(info))
        return
    typer.echo(f"Stored secret {info.name} with {', '.join(info.keys)}. Use it as:")
    typer.echo(f'\n    @app.function(secrets=[wherry.Secret.from_name("{info.name}")])')
    typer.echo(f'    def function():\n        os.environ["{info.keys[0]}"]')


_LISTED = Listed[SecretInfo](
    Column("name", lambda info: info.name),
    Column("values", lambda info: ", ".join(info.keys), leaves=3, cut=True),
    Column("changed", lambda info: info.updated_at_ms, Kind.TIME, leaves=2),
    Column("last used", lambda info: info.used_at_ms or "never", Kind.TIME, leaves=1),
    key=lambda info: info.name,
    keys="names",
    described=views.secret,
    empty="There are no secrets here. Store one with `wherry secret create NAME KEY=VALUE`.",
)


@group.command("list")
@_LISTED.command()
def list_secrets(environment: str | None = ENVIRONMENT_OPTION, *, listing: Listing[SecretInfo]) -> None:
    """List the secrets of an environment, without their values."""
    listing.show(lambda: secrets.listed(None, environment or ""))


@group.command()
def delete(
    name: str = typer.Argument(help="Name."),
    yes: bool = YES_OPTION,
    allow_missing: bool = ALLOW_MISSING_OPTION,
    environment: str | None = ENVIRONMENT_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Delete a secret.

    Functions that use it start no new container then.
    """
    with missing_allowed(allow_missing):
        Secret.lookup(name, environment_name=environment)
    confirm(f"Delete secret {name}? Its values are kept nowhere else.", yes)
    info = secrets.delete(None, name, environment or "")
    if as_json:
        show_json(views.secret(info))
    else:
        typer.echo(f"Deleted secret {name}.")


@group.command()
def rotate(as_json: bool = JSON_OPTION) -> None:
    """Encrypt all secrets of all environments with a new key."""
    answer = default_client().call("Secrets.Rotate", SecretRotateRequest(), SecretRotateResponse)
    if as_json:
        show_json({"secrets": answer.num_secrets, "new_key": answer.new_key})
    elif not answer.num_secrets:
        typer.echo("There are no secrets: nothing to encrypt.")
    elif answer.new_key:
        typer.echo(f"Encrypted {counted(answer.num_secrets, 'secret')} with a new key; the old one is gone.")
    else:
        typer.echo(
            f"Encrypted {counted(answer.num_secrets, 'secret')} with the first key of WHERRY_SECRET_KEY; the others "
            "can go now."
        )


def _pairs(values: list[str], stdin_taken: bool) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in values:
        key, separator, value = item.partition("=")
        if not separator or not key:
            raise UsageError(
                f"{item.partition('=')[0]!r} has no value: write KEY=VALUE, or KEY=- to read it from stdin"
            )
        if value == "-":
            if stdin_taken:
                raise UsageError(f"{key}=- can't read from stdin: another value does")
            stdin_taken = True
            value = _from_stdin(key)
        found[key] = value
    return found


def _from_stdin(key: str) -> str:
    if stdin_is_terminal():
        value: str = typer.prompt(f"Value of {key}", hide_input=True)
        return value
    # As `$(…)` does: the newline that ends a file is no part of its value.
    return sys.stdin.read().rstrip("\n")


def _from_json(path: str) -> dict[str, str]:
    where = "stdin" if path == "-" else path
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text()
        values = json.loads(text)
    except OSError as error:
        raise InvalidError(f"--from-json: {where} can't be read: {os.strerror(error.errno or 0)}") from None
    except ValueError as error:
        # Not the text itself: it is secret.
        raise InvalidError(f"--from-json: {where} holds no JSON: {str(error).partition(': ')[0]}") from None
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        raise InvalidError(f'--from-json: {where} must hold one object of strings, as {{"KEY": "value"}}')
    return values
