"""`wherry sandbox`: containers that run any command."""

import sys
import threading
from typing import Any

import typer

from wherry._connection.client import default_client
from wherry._screen.table import Column, Kind
from wherry.cli._common import JSON_OPTION, show_json
from wherry.cli._exec import copy, copy_beside, execute
from wherry.cli._ids import any_app, is_whole, whole
from wherry.cli._listing import Listed, Listing
from wherry.cli._usage import UsageError
from wherry.sandbox import Sandbox
from wherry_proto import views
from wherry_proto.messages import (
    SandboxInfo,
    SandboxListRequest,
    SandboxListResponse,
    SandboxOutputRequest,
    SandboxState,
    SandboxTerminateRequest,
)

group = typer.Typer(help="Manage sandboxes: containers that run any command.", no_args_is_help=True)

_ENVIRONMENT = typer.Option(None, "-e", "--env", help="The environment.")
_TAGS = typer.Option([], "--tag", help="NAME=VALUE: only those that have it. May be repeated.")
_COMMAND = typer.Argument(help="The command and its arguments.")
_SANDBOXES = typer.Argument(help="Ids, or names of running ones.")
_SANDBOX = typer.Argument(help="Id, or the name of a running one; APP/NAME where it has an app.")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 40 else line[:39] + "…"


SANDBOXES = Listed[SandboxInfo](
    Column("name", lambda info: info.name or "-"),
    Column("id", lambda info: info.sandbox_id, Kind.ID),
    Column("state", lambda info: views.SANDBOX_STATES.get(info.state), Kind.STATE),
    Column("code", lambda info: info.returncode if info.state != SandboxState.RUNNING else None, leaves=2),
    Column("command", lambda info: _short(" ".join(info.command) or "(waits)"), leaves=3, cut=True),
    Column("created", lambda info: info.created_at_ms, Kind.TIME, leaves=1),
    key=lambda info: info.sandbox_id,
    described=views.sandbox,
    empty="No sandbox runs here. A program makes one with wherry.Sandbox.create(); --all shows those that have ended.",
)


@group.command("list")
@SANDBOXES.command()
def list_sandboxes(
    ended: bool = typer.Option(False, "--all", help="Show those that have ended too."),
    app: str = typer.Option("", "--app", metavar="APP", help="Show those of this app: its id or name."),
    tag: list[str] = _TAGS,
    environment: str | None = _ENVIRONMENT,
    *,
    listing: Listing[SandboxInfo],
) -> None:
    """List sandboxes, the latest first."""
    tags = dict(_tag(item) for item in tag)
    app_id = any_app(app, environment) if app else ""
    listing.show(lambda: _list(environment, app_id, tags, ended))


@group.command(
    "exec",
    context_settings={"allow_interspersed_args": False},
)
def exec_in_sandbox(
    sandbox: str = _SANDBOX,
    command: list[str] = _COMMAND,
    timeout: float = typer.Option(0.0, help="Seconds until it is killed; its exit code is then 124."),
    workdir: str = typer.Option("", help="The directory in which it runs."),
    pty: bool = typer.Option(False, "--pty/--no-pty", help="With a terminal, this one."),
    environment: str | None = _ENVIRONMENT,
) -> None:
    """Run a command in a sandbox.

    It has this terminal's input and output. Exits with the command's code.
    """
    sandbox_id = _find(sandbox, environment).object_id
    raise typer.Exit(execute(default_client(), sandbox_id, command, pty=pty, timeout=timeout, workdir=workdir))


@group.command()
def logs(
    sandbox: str = _SANDBOX,
    follow: bool = typer.Option(False, "-f", "--follow", help="Go on until it ends."),
    environment: str | None = _ENVIRONMENT,
    as_json: bool = JSON_OPTION,
) -> None:
    """Show what a sandbox's command has printed."""
    sandbox_id = _find(sandbox, environment).object_id
    if as_json:
        if follow:
            raise UsageError("--json shows what there is: leave out --follow")
        texts = {name: b"".join(_output(sandbox_id, n, False)) for n, name in ((1, "stdout"), (2, "stderr"))}
        show_json({"sandbox_id": sandbox_id, **{n: data.decode(errors="replace") for n, data in texts.items()}})
        return
    errors = threading.Thread(target=copy_beside, args=(_output(sandbox_id, 2, follow), sys.stderr.buffer), daemon=True)
    errors.start()
    copy(_output(sandbox_id, 1, follow), sys.stdout.buffer)
    errors.join()


@group.command()
def terminate(
    sandboxes: list[str] = _SANDBOXES,
    environment: str | None = _ENVIRONMENT,
    as_json: bool = JSON_OPTION,
) -> None:
    """Kill sandboxes."""
    ids = [_find(sandbox, environment, ends=True).object_id for sandbox in sandboxes]
    request = [SandboxTerminateRequest(sandbox_id=sandbox_id) for sandbox_id in ids]
    infos = [default_client().call("Sandboxes.Terminate", item, SandboxInfo) for item in request]
    if as_json:
        show_json([views.sandbox(info) for info in infos])
        return
    for info in infos:
        typer.echo(f"Sandbox {info.sandbox_id} {info.reason}.")


@group.command()
def pause(
    sandboxes: list[str] = _SANDBOXES,
    environment: str | None = _ENVIRONMENT,
    as_json: bool = JSON_OPTION,
) -> None:
    """Stop all processes of sandboxes, until `resume`.

    They keep their memory and take no processor time. Timeouts go on.
    """
    for sandbox in (found := [_find(name, environment) for name in sandboxes]):
        sandbox.pause()
    _show_done(found, "paused", as_json)


@group.command()
def resume(
    sandboxes: list[str] = _SANDBOXES,
    environment: str | None = _ENVIRONMENT,
    as_json: bool = JSON_OPTION,
) -> None:
    """Resume paused sandboxes: their processes go on."""
    for sandbox in (found := [_find(name, environment) for name in sandboxes]):
        sandbox.resume()
    _show_done(found, "resumed", as_json)


def _show_done(sandboxes: list[Sandbox], word: str, as_json: bool) -> None:
    if as_json:
        show_json([{"sandbox_id": sandbox.object_id} for sandbox in sandboxes])
        return
    for sandbox in sandboxes:
        typer.echo(f"Sandbox {sandbox.object_id} is {word}.")


def _find(sandbox: str, environment: str | None, ends: bool = False) -> Sandbox:
    app_name, _, name = sandbox.rpartition("/")
    if app_name:
        return Sandbox.from_name(app_name, name, environment_name=environment)
    if is_whole(sandbox, "sb"):
        return Sandbox.from_id(sandbox)
    # A name may begin as an id does: who gave it means that one.
    named = [info for info in _list(environment, "", {}, False) if info.name == sandbox]
    if len(named) == 1:
        return Sandbox(named[0].sandbox_id)
    if named:
        which = ", ".join(f"{info.app_name}/{info.name}" for info in named)
        raise UsageError(f"{len(named)} sandboxes run under the name {sandbox!r}: say which, of {which}")
    if sandbox.startswith("sb-"):
        return Sandbox.from_id(whole(sandbox, environment, prefix="sb", ends=ends))
    return Sandbox.from_name(None, sandbox, environment_name=environment)


def _list(environment: str | None, app_id: str, tags: dict[str, str], ended: bool) -> list[SandboxInfo]:
    client = default_client()
    request = SandboxListRequest(
        environment=environment or client.environment, app_id=app_id, tags=tags, include_ended=ended
    )
    return client.call("Sandboxes.List", request, SandboxListResponse).sandboxes


def _tag(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise UsageError(f"--tag {text!r}: write NAME=VALUE")
    return name, value


def _output(sandbox_id: str, stream: int, follow: bool) -> Any:
    request = SandboxOutputRequest(sandbox_id=sandbox_id, stream=stream, follow=follow, masked=True)
    for message in default_client().stream("Sandboxes.Output", request):
        yield message.data  # type: ignore[attr-defined]
