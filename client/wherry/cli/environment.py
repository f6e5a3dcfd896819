"""`wherry environment`: apps and objects kept apart."""

import typer

from wherry._base.misuse import near
from wherry._connection.client import Client, default_client
from wherry._screen.output import waited
from wherry._screen.table import Column, Kind
from wherry.cli._common import JSON_OPTION, YES_OPTION, confirm, show_json
from wherry.cli._listing import Listed, Listing
from wherry.cli._usage import UsageError
from wherry.exception import InvalidError, NotFoundError
from wherry.output import screen_for_stderr
from wherry_proto import views
from wherry_proto.messages import (
    EnvironmentCreateRequest,
    EnvironmentDeleteRequest,
    EnvironmentInfo,
    EnvironmentListRequest,
    EnvironmentListResponse,
    EnvironmentRenameRequest,
)

group = typer.Typer(help="Manage environments: namespaces for apps and data.", no_args_is_help=True)

_NAME = typer.Argument(help="Name of the environment.")
# The one that is always there.
_DEFAULT = "main"


@group.command()
def create(name: str = _NAME, as_json: bool = JSON_OPTION) -> None:
    """Create an environment if it does not exist."""
    client = default_client()
    existed = any(info.name == name for info in _all(client))
    made = client.call("Environments.Create", EnvironmentCreateRequest(name=name), EnvironmentInfo)
    if as_json:
        show_json(_described(made, client))
        return
    said = f"Environment {name} exists already" if existed else f"Created environment {name}"
    typer.echo(f"{said}. Use it with --env {name}, or WHERRY_ENVIRONMENT={name}.")


_ENVIRONMENTS = Listed[EnvironmentInfo](
    Column("name", lambda info: f"{info.name} *" if info.name == default_client().environment else info.name),
    Column("apps", lambda info: info.num_apps),
    Column("sandboxes", lambda info: info.num_sandboxes, leaves=2),
    Column("objects", lambda info: info.num_objects, leaves=1),
    Column("created", lambda info: info.created_at_ms, Kind.TIME, leaves=3),
    key=lambda info: info.name,
    keys="names",
    described=lambda info: _described(info, default_client()),
    empty="This token is for no environment.",
)


@group.command("list")
@_ENVIRONMENTS.command()
def list_environments(*, listing: Listing[EnvironmentInfo]) -> None:
    """List environments, and what runs in them.

    The star marks the one that is used unless another is named.
    """
    listing.show(lambda: _all(default_client()))


@group.command()
def rename(
    name: str = _NAME, new_name: str = typer.Argument(help="What it is to be called."), as_json: bool = JSON_OPTION
) -> None:
    """Rename an environment.

    What is in it goes on running; its URLs change with the name.
    """
    client = default_client()
    request = EnvironmentRenameRequest(name=name, new_name=new_name)
    info = client.call("Environments.Rename", request, EnvironmentInfo)
    if as_json:
        show_json(_described(info, client))
    else:
        typer.echo(
            f"Environment {name} is called {new_name} now. To undo this: wherry environment rename {new_name} {name}"
        )


@group.command()
def update(
    name: str = _NAME,
    new_name: str | None = typer.Option(None, "--set-name", help="What it is to be called."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Change an environment's settings: its name."""
    if new_name is None:
        raise UsageError("say what to change: --set-name")
    rename(name, new_name, as_json)


@group.command()
def delete(
    name: str = _NAME,
    yes: bool = YES_OPTION,
    force: bool = typer.Option(False, "--force", help="Also where apps or sandboxes run in it: they are stopped."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Delete an environment with all that is in it.

    Its secrets, dicts, queues and volumes are deleted too. This can't be undone.
    """
    client = default_client()
    known = {info.name: info for info in _all(client)}
    if name not in known:
        raise NotFoundError(f"there is no environment {name!r}{near(name, known)}")
    if name == _DEFAULT:
        raise InvalidError(f"environment {name} can't be deleted: every service has it")
    info = known[name]
    running = _counted((info.num_apps, "running app", "running apps"), (info.num_sandboxes, "sandbox", "sandboxes"))
    if running and not force:
        raise InvalidError(
            f"environment {name} has {running}: stop them first (wherry app stop, wherry sandbox terminate), or stop "
            "them with it: --force"
        )
    held = _counted(
        (info.num_apps, "running app", "running apps"),
        (info.num_sandboxes, "sandbox", "sandboxes"),
        (info.num_objects, "object", "objects (secrets, dicts, queues, volumes)"),
    )
    confirm(f"Delete environment {name} with {held or 'nothing in it'}? This can't be undone.", yes)
    with waited(screen_for_stderr(), f"Environment {name} is deleted with all that is in it"):
        client.call("Environments.Delete", EnvironmentDeleteRequest(name=name, force=force), EnvironmentInfo)
    if as_json:
        show_json({"name": name, "apps": info.num_apps, "sandboxes": info.num_sandboxes, "objects": info.num_objects})
    else:
        typer.echo(f"Deleted environment {name}{f', with {held}' if held else ''}.")


def _all(client: Client) -> list[EnvironmentInfo]:
    return client.call("Environments.List", EnvironmentListRequest(), EnvironmentListResponse).environments


def _counted(*counts: tuple[int, str, str]) -> str:
    """Return the numbers that are not 0, as people say them."""
    texts = [f"{number} {one if number == 1 else many}" for number, one, many in counts if number]
    return " and ".join([", ".join(texts[:-1]), texts[-1]]) if len(texts) > 1 else "".join(texts)


def _described(info: EnvironmentInfo, client: Client) -> dict[str, object]:
    return {"name": info.name, "current": info.name == client.environment, **views.environment(info)}
