"""`wherry container`: what runs, or ran, in one container."""

import typer

from wherry._base.words import counted
from wherry._connection.client import default_client
from wherry._screen.table import Column, Kind
from wherry.cli._common import ENVIRONMENT_OPTION, JSON_OPTION, NEVER_ASKS_OPTION, show_json
from wherry.cli._exec import execute
from wherry.cli._find import running_containers
from wherry.cli._ids import running_app, whole
from wherry.cli._listing import Listed, Listing
from wherry.cli.logs import container_logs
from wherry_proto import views
from wherry_proto.messages import ContainerInfo, ContainerStopRequest, ContainerStopResponse

group = typer.Typer(help="Look into containers, and stop them.", no_args_is_help=True)

_CONTAINER = typer.Argument(help="Id (co-... or sb-...).")
_CONTAINERS = typer.Argument(help="Ids (co-...).")
_COMMAND = typer.Argument(help="The command and its arguments.")


CONTAINERS = Listed[ContainerInfo](
    Column("function", lambda info: info.function_name),
    Column("app", lambda info: info.app_name, leaves=2),
    Column("id", lambda info: info.container_id, Kind.ID),
    Column("state", lambda info: info.state, Kind.STATE),
    Column("inputs", lambda info: info.num_inputs, leaves=3),
    Column("shells", lambda info: info.num_execs or None, leaves=4),
    Column("cores", lambda info: f"{info.cores:.1f}" if info.seen_memory_bytes else None, leaves=5),
    Column("memory", lambda info: info.seen_memory_bytes or None, Kind.SIZE, leaves=6),
    Column("created", lambda info: info.created_at_ms, Kind.TIME, leaves=1),
    key=lambda info: info.container_id,
    described=views.container,
    empty="No container of a function runs here. A call starts one; `wherry sandbox list` shows sandboxes.",
)


@group.command("list")
@CONTAINERS.command()
def list_containers(
    app: str = typer.Option("", "--app", "--app-id", metavar="APP", help="Show those of this app: its id or name."),
    environment: str | None = ENVIRONMENT_OPTION,
    *,
    listing: Listing[ContainerInfo],
) -> None:
    """List the containers of functions, the latest first.

    `wherry sandbox list` shows sandboxes.
    """
    app_id = running_app(app, environment) if app else ""
    listing.show(lambda: running_containers(environment, app_id))


@group.command(
    "exec",
    context_settings={"allow_interspersed_args": False},
)
def exec_in_container(
    container: str = _CONTAINER,
    command: list[str] = _COMMAND,
    pty: bool | None = typer.Option(None, "--pty/--no-pty", help="With a terminal; by default if there is one here."),
    timeout: float = typer.Option(0.0, help="Seconds until it is killed; its exit code is then 124."),
    workdir: str = typer.Option("", help="The directory in which it runs."),
    user: str = typer.Option("", help="The user it runs as."),
    environment: str | None = ENVIRONMENT_OPTION,
) -> None:
    """Run a command in a running container.

    It has this terminal's input and output. Exits with the command's code.
    """
    container = whole(container, environment, prefix="co")
    code = execute(default_client(), container, command, pty=pty, timeout=timeout, workdir=workdir, user=user)
    raise typer.Exit(code)


@group.command()
def stop(
    containers: list[str] = _CONTAINERS,
    graceful: bool = typer.Option(False, "--graceful", help="Let it finish the inputs it has."),
    yes: bool = NEVER_ASKS_OPTION,
    environment: str | None = ENVIRONMENT_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Stop containers. What they were working on runs again elsewhere."""
    client = default_client()
    stopped: dict[str, int] = {}
    # All of them before the first is stopped: a wrong one stops none.
    for container_id in [whole(one, environment, prefix="co", ends=True) for one in containers]:
        request = ContainerStopRequest(container_id=container_id, graceful=graceful)
        stopped[container_id] = client.call("Containers.Stop", request, ContainerStopResponse).num_inputs
    if as_json:
        show_json([{"container_id": name, "inputs": count} for name, count in stopped.items()])
        return
    for name, count in stopped.items():
        what = f"finishes {counted(count, 'input')}, then goes" if graceful and count else "goes"
        typer.echo(f"Container {name} {what}.")


group.command("logs")(container_logs)
