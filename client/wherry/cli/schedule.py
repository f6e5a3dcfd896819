"""`wherry schedule`: functions that run by themselves."""

import time

import typer

from wherry._connection.client import default_client
from wherry._screen.table import Column, Kind
from wherry.cli import _schedules
from wherry.cli._common import ENVIRONMENT_OPTION, JSON_OPTION, show_json
from wherry.cli._listing import Listed, Listing
from wherry.schedule import from_message
from wherry_proto import views
from wherry_proto.messages import ScheduledState, ScheduleInfo

group = typer.Typer(help="Manage schedules: functions that run by the clock.", no_args_is_help=True)

_FUNCTION = typer.Argument(help="Name, APP/FUNCTION, or id.")


def _named(info: ScheduleInfo) -> str:
    return f"{info.app_name}/{info.function_name}"


_LISTED = Listed[ScheduleInfo](
    Column("function", _named),
    Column("schedule", lambda info: repr(from_message(info.schedule)) if info.schedule else "", leaves=2, cut=True),
    Column("next run", _schedules.next_of, Kind.TIME),
    Column("last run", lambda info: info.last.tick_ms if info.last is not None else 0, Kind.TIME, leaves=1),
    Column("outcome", _schedules.last_text, Kind.STATE, cut=True),
    key=_named,
    keys="names",
    described=views.schedule,
    empty="No function of a deployed app has a schedule here. `schedule=wherry.Cron(…)` of @app.function gives one.",
)


@group.command("list")
@_LISTED.command()
def list_schedules(environment: str | None = ENVIRONMENT_OPTION, *, listing: Listing[ScheduleInfo]) -> None:
    """List schedules, when each runs next, and how the last run went. Times are local."""
    listing.show(lambda: _schedules.schedules(default_client(), environment))


@group.command()
def run(function: str = _FUNCTION, environment: str | None = ENVIRONMENT_OPTION, as_json: bool = JSON_OPTION) -> None:
    """Run a function now, once, beside its schedule.

    Exits with 1 if too many of its inputs wait.
    """
    client = default_client()
    info = _schedules.run_now(client, _schedules.find(client, function, environment))
    run = info.last
    if as_json:
        show_json(views.schedule(info))
    elif run is not None and run.state != ScheduledState.SKIPPED:
        typer.echo(f"{_named(info)} runs: {run.call_id}. Its log: wherry app logs {info.app_id} --call {run.call_id}")
    elif run is not None:
        typer.echo(f"Error: {_named(info)} was not run: {run.error}", err=True)
    if run is not None and run.state == ScheduledState.SKIPPED:
        raise typer.Exit(1)


@group.command()
def pause(function: str = _FUNCTION, environment: str | None = ENVIRONMENT_OPTION, as_json: bool = JSON_OPTION) -> None:
    """Pause a schedule.

    The function does not run by itself until `wherry schedule resume`, whatever is deployed meanwhile.
    """
    client = default_client()
    info = _schedules.set_paused(client, _schedules.find(client, function, environment), True)
    if as_json:
        show_json(views.schedule(info))
    else:
        typer.echo(f"{_named(info)} is paused. To undo this: wherry schedule resume {_named(info)}")


@group.command()
def resume(
    function: str = _FUNCTION, environment: str | None = ENVIRONMENT_OPTION, as_json: bool = JSON_OPTION
) -> None:
    """Resume a schedule.

    What was due while it was paused is not run.
    """
    client = default_client()
    info = _schedules.set_paused(client, _schedules.find(client, function, environment), False)
    if as_json:
        show_json(views.schedule(info))
    else:
        typer.echo(f"{_named(info)} runs next at {_schedules.next_text(info, int(time.time() * 1000))}.")
