"""The `wherry` command."""

import os
import sys
from typing import Any

import typer

from wherry import __version__
from wherry._screen.harmless import harmless
from wherry.cli import (
    app,
    audit,
    call,
    config,
    container,
    dict,
    environment,
    function,
    image,
    profile,
    queue,
    sandbox,
    schedule,
    secret,
    server,
    system,
    token,
    volume,
)
from wherry.cli._common import tell
from wherry.cli._elsewhere import stand_in
from wherry.cli._ending import ends_as_ctrl_c
from wherry.cli._help import dress, usage_of
from wherry.cli._install import install, uninstall
from wherry.cli._purge import purge
from wherry.cli._usage import UsageError
from wherry.cli.dashboard import dashboard
from wherry.cli.deploy import deploy, history, info, rollback, rollover
from wherry.cli.doctor import doctor
from wherry.cli.init import init
from wherry.cli.logs import app_logs, call_logs, function_logs, logs
from wherry.cli.open import open_endpoint
from wherry.cli.ps import ps
from wherry.cli.run import run
from wherry.cli.serve import serve
from wherry.cli.shell import shell
from wherry.cli.top import top
from wherry.exception import AuthError, ConnectionError, DeploymentError, Error, ImageBuildError, PermissionDeniedError

# What scripts can tell apart; any other error is 1, and 2 a command line that can't be read.
_CODES = {
    UsageError: 2,
    ConnectionError: 3,
    AuthError: 4,
    PermissionDeniedError: 4,
    ImageBuildError: 5,
    DeploymentError: 6,
}
cli = typer.Typer(
    name="wherry",
    help="Run Python functions in containers on your own machines.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    # A terminal that is wide enough shows what a command does as a whole.
    context_settings={"max_content_width": 120, "help_option_names": ["-h", "--help"]},
)
# What follows REF belongs to the function.
cli.command("run", context_settings={"allow_extra_args": True, "allow_interspersed_args": False})(run)
cli.command("serve")(serve)
cli.command("deploy")(deploy)
cli.command("shell")(shell)
cli.command("init")(init)
cli.command("open")(open_endpoint)
cli.command("dashboard")(dashboard)
cli.command("logs")(logs)
cli.command("doctor")(doctor)
server.group.command("install")(install)
server.group.command("uninstall")(uninstall)
server.group.command("purge")(purge)
cli.command("ps")(ps)
cli.command("top")(top)
cli.add_typer(server.group, name="server")
cli.add_typer(system.group, name="system")
app.group.command("logs")(app_logs)
app.group.command("history")(history)
app.group.command("rollback")(rollback)
app.group.command("rollover")(rollover)
app.group.command("info")(info)
cli.add_typer(app.group, name="app")
cli.add_typer(container.group, name="container")
function.group.command("logs")(function_logs)
cli.add_typer(function.group, name="function")
call.group.command("logs")(call_logs)
cli.add_typer(call.group, name="call")
cli.add_typer(image.group, name="image")
cli.add_typer(sandbox.group, name="sandbox")
cli.add_typer(secret.group, name="secret")
cli.add_typer(dict.group, name="dict")
cli.add_typer(queue.group, name="queue")
cli.add_typer(volume.volumes, name="volume")
cli.add_typer(volume.file_systems, name="nfs")
cli.add_typer(schedule.group, name="schedule")
cli.add_typer(environment.group, name="environment")
cli.add_typer(config.group, name="config")
cli.add_typer(token.group, name="token")
cli.add_typer(profile.group, name="profile")
cli.add_typer(audit.group, name="audit")


@cli.callback(invoke_without_command=True)
def options(version: bool = typer.Option(False, "--version", help="Show the version and exit.")) -> None:
    """Options that belong to no command."""
    if version:
        typer.echo(f"wherry {__version__}")
        raise typer.Exit


def commands() -> Any:
    """Return the whole command line; every command takes `--profile`."""
    made = typer.main.get_command(cli)
    stand_in(made)
    _add_option(made, *typer.main.get_command(_profiled).params)
    dress(made)
    if "_WHERRY_COMPLETE" in os.environ:
        from wherry.cli import _completion  # noqa: PLC0415 - start-up cost: only for TAB

        _completion.join_words(os.environ)
        _completion.complete(made)
    return made


def _add_option(command: Any, option: Any) -> None:
    subcommands = getattr(command, "commands", None)
    if subcommands is not None:
        for one in subcommands.values():
            _add_option(one, option)
    elif not any(set(option.opts) & set(own.opts) for own in command.params):
        command.params.append(option)


def _use_profile(context: typer.Context, name: str | None) -> None:
    # Before anything looks for a service. What this command starts reads the variable too.
    if name is not None and not context.resilient_parsing:
        os.environ["WHERRY_PROFILE"] = name


_profiled = typer.Typer(add_completion=False)


@_profiled.command()
def _with_profile(
    profile: str | None = typer.Option(
        None,
        "--profile",
        metavar="NAME",
        help="The profile to use for this command.",
        callback=_use_profile,
        expose_value=False,
        is_eager=True,
    ),
) -> None:
    """Has the option that all commands take."""


def main() -> None:
    """Run the command line; the exit codes are those of docs/commands.md."""
    with ends_as_ctrl_c() as ending:
        try:
            commands()(prog_name="wherry", standalone_mode=True)
        except SystemExit as end:
            sys.exit(ending.code(end.code))
        except Error as error:
            if isinstance(error, UsageError):
                typer.echo(usage_of(commands(), sys.argv[1:]), err=True)
            tell(f"Error: {harmless(str(error))}")
            sys.exit(ending.code(next((code for kind, code in _CODES.items() if isinstance(error, kind)), 1)))
        except KeyboardInterrupt:
            typer.echo("Stopped.", err=True)
            sys.exit(ending.code(130))


if __name__ == "__main__":
    main()
