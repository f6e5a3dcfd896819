"""`wherry function`: how functions do."""

import contextlib
from typing import Any

import typer

from wherry._base.words import counted
from wherry._connection.client import default_client
from wherry._screen.table import Column, Kind
from wherry.cli._common import ENVIRONMENT_OPTION, JSON_OPTION, say, say_sentence, show_json, time_of, without_colour
from wherry.cli._find import functions_in
from wherry.cli._functions import find_function, function_of, split_name, status_of
from wherry.cli._ids import running_app, whole
from wherry.cli._listing import Listed, Listing
from wherry.cli._records import CALLS, halves, list_records, request_of
from wherry.cli._stats import described, interval, lines_of
from wherry.cli._usage import UsageError
from wherry.exception import InvalidError, NotFoundError
from wherry.function import Function
from wherry_proto import views
from wherry_proto.messages import FunctionInfo, FunctionStatus, Record, ScheduleListRequest, ScheduleListResponse

group = typer.Typer(help="Look at functions of running apps, and scale them.", no_args_is_help=True)
autoscaler = typer.Typer(help="Show and change how a function scales.", no_args_is_help=True)
group.add_typer(autoscaler, name="autoscaler")

_FUNCTION = typer.Argument(help="Id, or APP/FUNCTION.")
_NO_COLOR = typer.Option(False, "--no-color", help="Show no colours.", callback=without_colour)
# Calls that are shown where nothing says how many.
_CALLS = 10
_SCALING = ("min_containers", "max_containers", "buffer_containers", "scaledown_window_s")


FUNCTIONS = Listed[FunctionStatus](
    Column("function", lambda status: f"{function_of(status).app_name}/{function_of(status).name}"),
    Column("id", lambda status: function_of(status).function_id, Kind.ID, leaves=2),
    Column("containers", lambda status: status.num_containers),
    Column("waiting", lambda status: status.backlog),
    Column("running", lambda status: status.num_running),
    Column("failed", lambda status: status.num_failed or None, leaves=5),
    Column("url", lambda status: next((url for _, url in views.urls_of(function_of(status))), ""), leaves=1),
    Column("variants", lambda status: status.num_variants or None, leaves=4),
    Column("image", lambda status: status.image_id, Kind.ID, leaves=3),
    key=lambda status: function_of(status).function_id,
    described=views.listed_function,
    empty="No running app has functions here. `wherry run FILE.py` and `wherry deploy FILE.py` make some.",
)


@group.command("list")
@FUNCTIONS.command()
def list_functions(
    app: str = typer.Option("", "--app", metavar="APP", help="Show those of this app: its id or name."),
    environment: str | None = ENVIRONMENT_OPTION,
    *,
    listing: Listing[FunctionStatus],
) -> None:
    """List the functions of running apps."""
    app_id = running_app(app, environment) if app else ""
    listing.show(lambda: functions_in(environment, app_id))


@group.command()
def info(function: str = _FUNCTION, environment: str | None = ENVIRONMENT_OPTION, as_json: bool = JSON_OPTION) -> None:
    """Show a function: its settings, URLs and next runs."""
    found = find_function(function, environment)
    request = ScheduleListRequest(app_id=found.app_id)
    schedules = default_client().call("Schedules.List", request, ScheduleListResponse).schedules
    next_runs = {one.function_id: [time_of(ms) for ms in one.next_ms] for one in schedules}
    described = views.function(_status(found), next_runs)
    if as_json:
        show_json({**described, "app_id": found.app_id, "app_name": found.app_name, "environment": found.environment})
        return
    say_sentence(f"{found.app_name}/{found.name} ({found.function_id}) in environment {found.environment}")
    settings = described.pop("settings")
    for name, value in {**described, **settings}.items():
        if name not in ("function_id", "name") and value not in (None, [], {}):
            typer.echo(f"{name}: {_shown(value)}")


@group.command()
def stats(
    function: str = _FUNCTION,
    since: str | None = typer.Option(None, "--since", help="From then on, an hour by default: 10m, 2h (ago), 19:30."),
    until: str | None = typer.Option(None, "--until", help="Up to then."),
    all_variants: bool = typer.Option(False, "--all-variants", help="Count what its variants ran, too."),
    container: str = typer.Option("", "--container", help="Only what this one ran: co-…."),
    no_color: bool = _NO_COLOR,
    environment: str | None = ENVIRONMENT_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Show how a function does: what waits, how calls ended, times.

    Percentiles are of how long inputs waited, and of how long they ran. Without --since and --until: of the last hour.
    """
    when = interval(since, until)
    handle = Function.from_id(find_function(function, environment).function_id)
    found = handle.stats(
        since=when.since,
        until=when.until,
        container=whole(container.removeprefix("wherry-"), environment, prefix="co") or None,
        all_variants=all_variants,
    )
    now = handle.get_current_stats()
    if as_json:
        show_json(
            {
                "backlog": now.backlog,
                "num_active_runners": now.num_active_runners,
                "num_total_runners": now.num_total_runners,
                **{name: value for name, value in described(found).items() if name != "backlog"},
            }
        )
        return
    say(
        f"{counted(now.backlog, 'input')} waiting, {now.num_active_runners} of "
        f"{counted(now.num_total_runners, 'container')} working."
    )
    for line in lines_of(found):
        # Below the words after "inputs".
        say_sentence(line, hanging=12)


@group.command("calls")
@CALLS.command(limit=False)
def list_calls(
    function: str = _FUNCTION,
    tail: int | None = typer.Option(None, "-n", "--tail", help="At most N; 10 without --since or --until.", min=1),
    since: str | None = typer.Option(None, "--since", help="Queued from then on: 10m, 2h (ago), 19:30."),
    until: str | None = typer.Option(None, "--until", help="Queued before then."),
    all_variants: bool = typer.Option(False, "--all-variants", help="With an id: calls of its variants, too."),
    call_ids: bool = typer.Option(False, "--show-function-call-id", help="Show the id of each call, however narrow."),
    no_color: bool = _NO_COLOR,
    environment: str | None = ENVIRONMENT_OPTION,
    *,
    listing: Listing[Record],
) -> None:
    """List a function's calls, the latest first.

    `wherry call list` has more filters. A name means the function and its variants, an id only that one.
    """
    found, method = _function_and_method(function, environment)
    request = request_of(found.environment, since=since, until=until)
    if all_variants or not function.startswith("fu-"):
        request.app, request.function = found.app_id, found.name
    else:
        request.function = found.function_id
    if call_ids:
        listing.keep("call")
    list_records(request, listing, tail or (0 if since or until else _CALLS), method)


def _function_and_method(function: str, environment: str | None) -> tuple[FunctionInfo, str]:
    """Return what has this name, which may have dots; where none has, a class, and the method behind it."""
    owner, method = halves(function)
    if method and not function.startswith("fu-"):
        with contextlib.suppress(NotFoundError):
            found = find_function(function, environment)
            if found.name == split_name(function)[1]:
                return found, ""
    return find_function(owner, environment), method


@autoscaler.command()
def settings(
    function: str = _FUNCTION, environment: str | None = ENVIRONMENT_OPTION, as_json: bool = JSON_OPTION
) -> None:
    """Show how a function scales now."""
    _show_scaling(find_function(function, environment), as_json)


@autoscaler.command()
def update(
    function: str = _FUNCTION,
    max_containers: int | None = typer.Option(None, "--max-containers", help="At most so many containers.", min=1),
    min_containers: int | None = typer.Option(None, "--min-containers", help="At least so many, always.", min=0),
    buffer_containers: int | None = typer.Option(
        None, "--buffer-containers", help="So many more than are needed, while inputs come.", min=0
    ),
    scaledown_window: int | None = typer.Option(
        None, "--scaledown-window", help="Seconds until an idle container is stopped.", min=1
    ),
    environment: str | None = ENVIRONMENT_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Change how a function scales, until it is deployed again."""
    given: dict[str, Any] = {
        "min_containers": min_containers,
        "max_containers": max_containers,
        "buffer_containers": buffer_containers,
        "scaledown_window": scaledown_window,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    if not changes:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise UsageError(f"say what to change: {options}")
    found = find_function(function, environment)
    Function.from_id(found.function_id).update_autoscaler(**changes)
    _show_scaling(found, as_json)


def _show_scaling(found: FunctionInfo, as_json: bool) -> None:
    described = views.function(_status(found), {})["settings"]
    scaling = {name: described[name] for name in _SCALING}
    if as_json:
        show_json(scaling)
        return
    for name, value in scaling.items():
        typer.echo(f"{name}: {'no limit' if value is None else f'{value:g}'}")


def _status(found: FunctionInfo) -> FunctionStatus:
    status = status_of(found)
    if status is None:
        raise InvalidError(f"{found.function_id} is a variant of {found.app_name}/{found.name}: ask for that")
    return status


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {item}" for name, item in value.items() if item is not None) or "no limit"
    if isinstance(value, list):
        return ", ".join(_shown(item) if isinstance(item, dict) else str(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
