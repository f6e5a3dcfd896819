"""`wherry profile`: services by name."""

import hashlib
import ssl
from pathlib import Path
from typing import Any

import typer

from wherry._connection.profiles import Profiles, profiles_path
from wherry._connection.settings import Remote, Settings
from wherry._screen.table import Column, Kind
from wherry.cli._listing import Listed, Listing
from wherry.exception import ConnectionError, InvalidError

group = typer.Typer(help="Manage profiles: services by name, in ~/.wherry.toml.", no_args_is_help=True)


_PROFILES = Listed[dict[str, Any]](
    Column("name", lambda row: f"{row['name']} *" if row["active"] else row["name"]),
    Column("server", lambda row: row["server_url"], cut=True),
    Column("token", lambda row: row["token_id"], Kind.ID, leaves=2),
    Column("environment", lambda row: row["environment"], leaves=1),
    key=lambda row: row["name"],
    keys="names",
    described=lambda row: row,
    empty="There are no profiles: commands use the local service. `wherry profile add NAME --url …` makes one.",
)


@group.command("list")
@_PROFILES.command(watch=False)
def list_profiles(*, listing: Listing[dict[str, Any]]) -> None:
    """List the profiles; secrets are not shown.

    The star marks the one that is used.
    """
    listing.show(_rows)


def _rows() -> list[dict[str, Any]]:
    profiles = Profiles(profiles_path())
    return [
        {
            "name": name,
            "active": name == profiles.active,
            "server_url": values.get("server_url", ""),
            "token_id": values.get("token_id", ""),
            "environment": values.get("environment", "main"),
            "pinned": bool(values.get("certificate")),
        }
        for name, values in profiles.by_name.items()
    ]


@group.command()
def add(
    name: str,
    url: str = typer.Option(help="https://HOST:PORT"),
    token_id: str = typer.Option("", envvar="WHERRY_TOKEN_ID", help="Default: the variable."),
    token_secret: str = typer.Option(
        "", envvar="WHERRY_TOKEN_SECRET", show_envvar=True, help="Better as the variable: others can see arguments."
    ),
    environment: str = typer.Option("", "-e", "--env", help="The environment it uses."),
    certificate: Path | None = typer.Option(None, help="PEM file of the one certificate to trust."),
    pin: bool = typer.Option(False, "--pin", help="Fetch the service's certificate now, and trust that one."),
) -> None:
    """Create a profile, or replace it."""
    remote = Remote(url, token_id, token_secret)
    pem = ""
    if certificate is not None:
        try:
            pem = certificate.read_text()
        except OSError as error:
            raise InvalidError(f"the certificate {certificate} can't be read: {error.strerror}") from None
    elif pin:
        host, _, port = remote.address.rpartition(":")
        try:
            pem = ssl.get_server_certificate((host.strip("[]"), int(port)), timeout=10)
        except OSError as error:
            raise ConnectionError(f"no certificate could be fetched from {url}: {error}") from None
        digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
        typer.echo(f"Pinned the certificate with SHA-256 {digest}: compare it with the service's.")
    values = {
        "server_url": url,
        "token_id": token_id,
        "token_secret": token_secret,
        "environment": environment,
        "certificate": pem,
    }
    profiles = Profiles(profiles_path())
    was_active = profiles.active
    profiles.set(name, values)
    typer.echo(f"Wrote profile {name!r} ({profiles_path()}).")
    if profiles.active != was_active:
        typer.echo(f"It is your first, and in use now: commands go to {url}. Undo this with `wherry profile use`.")
    elif profiles.active == name:
        typer.echo(f"It is in use: commands go to {url}.")
    else:
        typer.echo(f"Not in use yet: `wherry profile use {name}`, or --profile {name} for one command.")


@group.command("activate")
@group.command()
def use(name: str = typer.Argument("", help="Its name; none: the local service again.")) -> None:
    """Use a profile from now on."""
    Profiles(profiles_path()).activate(name)
    typer.echo(f"Profile {name!r} is in use." if name else "No profile is in use: commands use the local service.")


@group.command()
def current() -> None:
    """Print the name of the profile in use; nothing without one."""
    if name := Settings.from_environment().profile:
        typer.echo(name)


@group.command()
def remove(name: str) -> None:
    """Delete a profile.

    Its token stays valid: `wherry token revoke` ends it.
    """
    Profiles(profiles_path()).remove(name)
    typer.echo(f"Removed profile {name!r}.")
