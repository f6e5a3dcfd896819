"""`wherry app`: what runs."""

import sys

import typer

from wherry._base.words import counted
from wherry._connection.client import default_client
from wherry._screen.table import Column, Kind
from wherry.cli._common import (
    ENVIRONMENT_OPTION,
    JSON_OPTION,
    NEVER_ASKS_OPTION,
    show_json,
    tell,
    without_colour,
)
from wherry.cli._find import list_of_apps
from wherry.cli._ids import any_app, whole
from wherry.cli._listing import Listed, Listing
from wherry.cli._stats import described_app, interval, show_app, stats_of_app
from wherry.exception import NotFoundError
from wherry_proto import views
from wherry_proto.messages import AppInfo, AppState, AppStopRequest, AppStopResponse
from wherry_proto.times import iso

group = typer.Typer(help="Manage apps.", no_args_is_help=True)

APPS = Listed[AppInfo](
    Column("name", lambda app: app.name),
    Column("id", lambda app: app.app_id, Kind.ID),
    Column("state", lambda app: views.APP_STATES.get(app.state), Kind.STATE),
    Column("version", lambda app: app.version or None, leaves=3),
    Column("functions", lambda app: app.num_functions or None, leaves=4),
    Column("containers", lambda app: app.num_containers, leaves=2),
    Column("environment", lambda app: app.environment, leaves=7),
    Column("created", lambda app: app.created_at_ms, Kind.TIME, leaves=1),
    Column("url", lambda app: app.url, leaves=6),
    Column("last error", lambda app: app.last_error, leaves=5, cut=True),
    key=lambda app: app.app_id,
    described=views.app,
    empty="No app runs here. Start one with `wherry run FILE.py` or `wherry deploy FILE.py`; --all shows stopped ones.",
)


@group.command("list")
@APPS.command()
def list_apps(
    stopped: bool = typer.Option(False, "--all", help="Show stopped ones too."),
    environment: str | None = ENVIRONMENT_OPTION,
    *,
    listing: Listing[AppInfo],
) -> None:
    """List apps, the latest first."""
    listing.show(lambda: list_of_apps(environment, stopped))


@group.command()
def stats(
    app: str = typer.Argument(help="Id, or name: the newest app of that name, running or not."),
    since: str | None = typer.Option(None, "--since", help="From then on, an hour by default: 10m, 2h (ago), 19:30."),
    until: str | None = typer.Option(None, "--until", help="Up to then."),
    no_color: bool = typer.Option(False, "--no-color", help="Show no colours.", callback=without_colour),
    environment: str | None = ENVIRONMENT_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Show how an app's functions do: how calls ended, and times.

    Percentiles are of how long inputs waited, and of how long they ran. Without --since and --until: of the last hour.
    """
    when = interval(since, until)
    app_id = any_app(app, environment)
    found = stats_of_app(app_id, environment or default_client().environment, when)
    if as_json:
        show_json({"app_id": app_id, **described_app(found)})
    elif not found.functions:
        since_text, until_text = (iso(int(at.timestamp() * 1000)) for at in when)
        tell(f"Nothing was called in {app} between {since_text} and {until_text}.")
    else:
        show_app(found)


@group.command()
def stop(
    app: str = typer.Argument(help="Id or name."),
    timeout: int = typer.Option(60, "--timeout", help="Seconds after which to say what is left.", min=1, max=86400),
    yes: bool = NEVER_ASKS_OPTION,
    environment: str | None = ENVIRONMENT_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Stop an app and its containers.

    Exits with 1, and names them, if containers are left.
    """
    if app.startswith("ap-"):
        app = app_id = whole(app, environment, prefix="ap", ends=True)
    else:
        app_id = _id_of(app, environment)
    client = default_client()
    if not as_json and sys.stderr.isatty():
        typer.echo(f"Stopping {app}: what runs gets a moment to end …", err=True)
    answer = client.call("Apps.Stop", AppStopRequest(app_id=app_id, deadline_s=timeout), AppStopResponse)
    left_over = answer.left_over
    if as_json:
        show_json({"app_id": app_id, "containers": answer.num_containers_stopped, "left_over": left_over})
    elif not left_over:
        typer.echo(f"Stopped {app} and {counted(answer.num_containers_stopped, 'container')}.")
    else:
        what = counted(len(left_over), "container that is still there", "containers that are still there")
        typer.echo(
            f"{app} is stopped but for {what}: {', '.join(left_over)}. "
            "The service goes on removing them; if they stay, look at the engine: docker ps -a",
            err=True,
        )
    if left_over:
        raise typer.Exit(1)


def _id_of(name: str, environment: str | None) -> str:
    running = list_of_apps(environment, False)
    found = [app.app_id for app in running if app.name == name]
    if len(found) == 1:
        return found[0]
    deployed = [app.app_id for app in running if app.name == name and app.state == AppState.DEPLOYED]
    if deployed:
        return deployed[0]
    if found:
        raise NotFoundError(f"{len(found)} apps named {name!r} are running: say which by id: {', '.join(found)}")
    names = ", ".join(sorted({app.name for app in running})) or "none"
    raise NotFoundError(f"no app named {name!r} is running; running are: {names}")
