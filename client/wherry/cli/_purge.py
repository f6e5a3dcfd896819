"""`wherry server purge`: nothing of Wherry's stays on this machine."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import typer

from wherry._base.words import counted
from wherry._connection.installed import check_service_installed
from wherry._connection.server import LocalServer
from wherry._connection.settings import Settings
from wherry._connection.transport import open_transport
from wherry._connection.unit import Unit
from wherry._screen.table import size_of
from wherry.cli._common import JSON_OPTION, YES_OPTION, confirm, show_json
from wherry.cli.server import wait_until_gone
from wherry.exception import Error, InvalidError
from wherry_proto.messages import ServerStopRequest


def purge(
    images: bool = typer.Option(False, "--images", help="Also remove the images that Wherry made."),
    config: Path | None = typer.Option(None, "--config", help="The YAML file of settings that the service has."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Show what would be removed."),
    yes: bool = YES_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Remove everything that Wherry keeps on this machine.

    Stops the service, then removes its state directory, with volumes, secrets and results, and its containers and
    networks. Other state directories stay, and so does all that is not Wherry's.
    """
    settings = Settings.from_environment()
    if not settings.is_default_server:
        raise InvalidError(
            f"`wherry server purge` is for a service on this machine, and {settings.server_url} is in use: "
            "run it there, or unset WHERRY_SERVER_URL or the profile (`wherry profile use`)"
        )
    check_service_installed()
    unit = Unit(settings.state_dir)
    options = ["--images"] if images else []
    # What an installed service was given says where its volumes, its database and its values are.
    config = config if config is not None else unit.config
    options += ["--config", str(config)] if config is not None else []
    variables = unit.variables() if unit.is_installed else {}
    found = _asked(settings, options, variables)
    if not (_is_something(found) or unit.is_installed):
        if as_json:
            show_json({**found, "removed": False})
        else:
            typer.echo(f"Wherry keeps nothing in {found['state_dir']}.")
        return
    if not (as_json and (yes or dry_run)):
        _show(found, unit, images)
    if dry_run:
        if as_json:
            show_json({**found, "removed": False})
        return
    confirm("Remove all of this? It can't be undone.", yes)
    unit.uninstall()
    server = LocalServer(settings)
    if server.answers():
        open_transport(settings).call("Server.Stop", ServerStopRequest(force=True))
        wait_until_gone(settings)
    done = _asked(settings, [*options, "--remove"], variables)
    if as_json:
        # What there was before the service ended; its containers went with it.
        show_json({**found, "left": done["left"], "removed": not done["left"]})
    for text in done["left"]:
        typer.echo(f"Left: {text}", err=True)
    if done["left"]:
        raise typer.Exit(1)
    if not as_json:
        typer.echo(f"Removed all that Wherry kept in {found['state_dir']}.")


def _asked(settings: Settings, options: list[str], variables: dict[str, str]) -> dict[str, Any]:
    line = [sys.executable, "-P", "-m", "wherry_service.purge", "--state-dir", str(settings.state_dir), *options]
    ended = subprocess.run(
        line,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if ended.returncode:
        raise Error(ended.stderr.strip().removeprefix("wherry: ") or f"{line[3]} ended with code {ended.returncode}")
    return cast("dict[str, Any]", json.loads(ended.stdout))


def _is_something(found: dict[str, Any]) -> bool:
    return any(found[name] for name in ("parts", "containers", "networks", "volumes", "images"))


def _show(found: dict[str, Any], unit: Unit, images: bool) -> None:
    def line(what: str, amount: str) -> None:
        typer.echo(f"  {what:<28} {amount}".rstrip(), err=True)

    typer.echo("This removes:", err=True)
    if found["parts"]:
        line(f"{found['state_dir']}", "")
    for part in found["parts"]:
        more = "" if part["complete"] else " and more"
        line(f"  {part['name']}", f"{size_of(part['bytes'])}{more}, {counted(part['files'], 'file')}")
    for name in ("container", "network", "volume"):
        if found[f"{name}s"]:
            line(f"{name}s in the engine", str(found[f"{name}s"]))
    if found["images"]:
        line("images", f"{found['images']}, {size_of(found['images_bytes'])}")
    if unit.is_installed:
        line(str(unit.path), "")
    stays = [*found["elsewhere"]]
    if not images:
        stays.append("images (--images removes them)")
    elif found["images_stay"]:
        stays.append(f"images: {found['images_stay']}")
    if found["engine_error"]:
        stays.append(f"all that is in the engine: {found['engine_error']}")
    for text in stays:
        typer.echo(f"This stays: {text}", err=True)
