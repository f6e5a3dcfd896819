"""`wherry server install` and `uninstall`: the local service starts with the machine."""

import os
from pathlib import Path

import typer

from wherry._connection.installed import check_service_installed
from wherry._connection.server import LocalServer
from wherry._connection.settings import Settings
from wherry._connection.transport import open_transport
from wherry._connection.unit import Unit, as_file, user_name, variables_of
from wherry.cli._common import JSON_OPTION, show_json
from wherry.exception import InvalidError


def install(
    config: Path | None = typer.Option(None, "--config", help="YAML file of settings (docs/configuration.md)."),
    dry_run: bool = typer.Option(False, "--dry-run", "--print", help="Show the unit; write nothing."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Start the service whenever this machine starts.

    Makes a unit of systemd: the system's as root, else your own, with lingering. Deployed apps and schedules are
    back after a reboot. Settings from this shell's variables are kept for the service; run it again to change them.
    """
    settings, unit = _unit_of("install")
    check_service_installed()
    if config is not None:
        config = config.absolute()
        if not config.is_file():
            raise InvalidError(f"there is no file {config}")
    text = unit.text(config)
    variables = variables_of(os.environ)
    told: dict[str, object] = {
        "unit": unit.name,
        "path": str(unit.path),
        "scope": "system" if unit.is_system else "user",
        "state_dir": str(settings.state_dir),
        "variables": list(variables),
    }
    if dry_run:
        if as_json:
            show_json({**told, "text": text, "installed": False})
        else:
            typer.echo(f"# {unit.path}\n{text}\n# {unit.variables_path}: {', '.join(variables) or 'no variables'}")
        return
    unit.check()
    lingers = unit.linger()
    unit.install(text, as_file(variables))
    # One that runs already goes on: its calls are not worth less than a tidy process tree.
    started = not LocalServer(settings).answers() and LocalServer(settings).ensure(open_transport(settings))
    if as_json:
        show_json({**told, "installed": True, "lingers": lingers, "started": started})
        return
    typer.echo(f"Installed {unit.path}: the service starts with this machine.")
    if not lingers:
        typer.echo(
            "It starts when you log in, not at boot, until somebody runs this as root: "
            f"loginctl enable-linger {user_name()}",
            err=True,
        )
    if not started:
        typer.echo(
            "The service runs already and goes on; systemd has it after `wherry server stop` and `wherry server start`."
        )


def uninstall(as_json: bool = JSON_OPTION) -> None:
    """Undo `wherry server install`.

    A service that runs goes on until it is stopped. Nothing that it keeps is removed: that is `wherry server purge`.
    """
    settings, unit = _unit_of("uninstall")
    removed = unit.uninstall()
    if as_json:
        show_json({"unit": unit.name, "path": str(unit.path), "removed": removed})
    elif not removed:
        typer.echo(f"The service is not installed: there is no {unit.path}.")
    else:
        goes_on = (
            " The service that runs goes on: `wherry server stop` ends it." if LocalServer(settings).answers() else ""
        )
        typer.echo(f"Removed {unit.path}: the service does not start with this machine any more.{goes_on}")


def _unit_of(command: str) -> tuple[Settings, Unit]:
    settings = Settings.from_environment()
    if not settings.is_default_server:
        raise InvalidError(
            f"`wherry server {command}` is for a service on this machine, and {settings.server_url} is in use: "
            "run it there, or unset WHERRY_SERVER_URL or the profile (`wherry profile use`)"
        )
    return settings, Unit(settings.state_dir)
