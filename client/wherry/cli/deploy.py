"""`wherry deploy`, and what is asked of deployed apps: `wherry app history|rollback|info`."""

import sys
import time
from collections.abc import Callable

import typer

from wherry._connection.client import default_client
from wherry._publish.deploying import STRATEGIES, Deployed
from wherry._publish.deploying import deploy as deploy_app
from wherry._publish.deploying import dry_run as ask
from wherry._publish.deploying import rollback as roll_back
from wherry._publish.deploying import rollover as roll_over
from wherry._screen.output import Output, Silent
from wherry._screen.table import Column, Kind
from wherry.cli._common import (
    ENVIRONMENT_OPTION,
    JSON_OPTION,
    MODAL_OPTION,
    MODULE_OPTION,
    TIMESTAMPS_OPTION,
    say,
    show_json,
    time_of,
    use_environment,
    use_modal,
    when,
)
from wherry.cli._find import list_of_apps
from wherry.cli._functions import function_of
from wherry.cli._ids import whole
from wherry.cli._listing import Listed, Listing, show_rows
from wherry.cli._ref import check_module, find_app
from wherry.cli._trace import show_error
from wherry.cli._usage import UsageError
from wherry.cli.logs import Prefix, show_logs
from wherry.exception import NotFoundError
from wherry.output import screen_for_stdout
from wherry_proto import views
from wherry_proto.messages import (
    AppInfo,
    AppShowRequest,
    AppShowResponse,
    Deployment,
    DeploymentListRequest,
    DeploymentListResponse,
    FunctionChangeKind,
    FunctionStatus,
    LogReadRequest,
    ScheduleListRequest,
    ScheduleListResponse,
)

STRATEGY_OPTION = typer.Option(
    "rolling", "--strategy", help="rolling: warm before the switch. recreate: the old containers end first."
)
_KINDS = {
    FunctionChangeKind.ADDED: "added",
    FunctionChangeKind.REPLACED: "replaced",
    FunctionChangeKind.TUNED: "tuned",
    FunctionChangeKind.REMOVED: "removed",
}


def deploy(
    ref: str = typer.Argument(help="The app: file.py, file.py::app, or package.module."),
    is_module: bool = MODULE_OPTION,
    modal: bool = MODAL_OPTION,
    name: str | None = typer.Option(None, "--name", help="Deploy under this name; the app's own."),
    tag: str = typer.Option("", "--tag", help="A name for this version, shown in its history."),
    environment: str | None = ENVIRONMENT_OPTION,
    strategy: str = STRATEGY_OPTION,
    dry_run: bool = typer.Option(False, "--dry-run", help="Only say what would change."),
    as_json: bool = JSON_OPTION,
    quiet: bool = typer.Option(False, "-q", "--quiet", help="Show only the outcome."),
    verbose: bool = typer.Option(False, "-v", "--verbose", help="Show build logs and the source that is sent."),
    stream_logs: bool = typer.Option(False, "--stream-logs", help="Then show what its containers print, until Ctrl-C."),
    timestamps: bool = TIMESTAMPS_OPTION,
) -> None:
    """Deploy an app: its functions become the next version.

    It serves until another version is deployed. If a container of the new version does not start, nothing changes: the
    version before goes on serving, and the exit code is 6.
    """
    if strategy not in STRATEGIES:
        raise UsageError(f"--strategy is {strategy!r}: it is one of {', '.join(STRATEGIES)}")
    if is_module:
        check_module(ref)
    use_environment(environment)
    use_modal(modal)
    if stream_logs and (as_json or dry_run):
        raise UsageError("--stream-logs goes neither with --json nor with --dry-run")
    began, began_at = time.monotonic(), time.time()
    try:
        app = find_app(ref)
    except UsageError:
        raise
    except Exception as error:  # noqa: BLE001 - importing runs the user's code, which may raise anything
        show_error(error)
        raise typer.Exit(1) from None
    client = default_client()
    screen: Output = Silent() if as_json or quiet else screen_for_stdout(quiet=False, verbose=verbose)
    client.listener.screen = screen
    try:
        plan = app.__wherry_owner__.plan()
        deployed = ask(plan, name, environment) if dry_run else deploy_app(plan, None, name, environment, tag, strategy)
    except KeyboardInterrupt:
        typer.echo(
            "Stopped. What served before serves on, unless the new version had taken over already: wherry app history "
            "shows it.",
            err=True,
        )
        raise typer.Exit(130) from None
    finally:
        screen.close()
    _tell(deployed, dry_run, as_json, time.monotonic() - began)
    if stream_logs:
        sys.stdout.flush()
        request = LogReadRequest(app_id=deployed.app_id, follow=True, since_ms=int(began_at * 1000))
        show_logs(request, Prefix(timestamps), as_json=False)


def _code(one: Deployment) -> str:
    if one.origin is None or not one.origin.commit:
        return ""
    return one.origin.commit[:10] + ("+" if one.origin.dirty else "")


def _note(one: Deployment) -> str:
    parts = [one.origin.tag if one.origin is not None else ""]
    parts.append(f"as version {one.rollback_of}" if one.rollback_of else "")
    parts.append(one.error.partition("\n")[0])
    return "; ".join(part for part in parts if part)


_VERSIONS = Listed[Deployment](
    Column("version", lambda one: one.version),
    Column("state", lambda one: views.DEPLOYMENT_STATES.get(one.state), Kind.STATE),
    Column("deployed", lambda one: one.created_at_ms, Kind.TIME),
    Column("by", views.deployed_by, leaves=2),
    Column("commit", _code, leaves=3),
    Column("note", _note, leaves=1, cut=True),
    key=lambda one: str(one.version),
    keys="versions",
    described=views.deployment,
    empty="It was never deployed.",
)


@_VERSIONS.command()
def history(
    app: str = typer.Argument(help="Id or name."),
    environment: str | None = ENVIRONMENT_OPTION,
    *,
    listing: Listing[Deployment],
) -> None:
    """List the versions of an app, the latest first."""
    listing.show(lambda: _versions(app, environment).deployments)


def rollback(
    app: str = typer.Argument(help="Id or name."),
    version: int = typer.Argument(0, help="The version to serve again; the one that served before.", min=0),
    environment: str | None = ENVIRONMENT_OPTION,
    strategy: str = STRATEGY_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Go back to an earlier version of an app.

    Its functions become the next version. To undo this, do it again.
    """
    _again(app, environment, as_json, lambda found: roll_back(found, version, strategy))


def rollover(
    app: str = typer.Argument(help="Id or name."),
    environment: str | None = ENVIRONMENT_OPTION,
    strategy: str = STRATEGY_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Replace an app's containers; its code stays.

    The version that serves is deployed once more, as a new version.
    """
    _again(app, environment, as_json, lambda found: roll_over(found, strategy))


def info(
    app: str = typer.Argument(help="Id or name."),
    environment: str | None = ENVIRONMENT_OPTION,
    no_color: bool = typer.Option(False, "--no-color", help="Accepted for scripts: nothing here has a colour."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Show an app: version, functions, URLs, next runs.

    Of one that has stopped: when it ran.
    """
    try:
        shown = _shown(app, environment)
    except NotFoundError:
        if (stopped := _stopped(app, environment)) is None:
            raise
        _show_stopped(stopped, as_json)
        return
    found = shown.app
    assert found is not None
    client = default_client()
    schedules = client.call("Schedules.List", ScheduleListRequest(app_id=found.app_id), ScheduleListResponse).schedules
    next_runs = {one.function_id: [time_of(ms) for ms in one.next_ms] for one in schedules}
    live = None
    if found.version:
        versions = _versions(found.app_id, environment).deployments
        live = next((one for one in versions if one.version == found.version), None)
    if as_json:
        show_json(
            {
                "app_id": found.app_id,
                "name": found.name,
                "environment": found.environment,
                "deployment": views.deployment(live) if live is not None else None,
                "functions": [views.function(status, next_runs) for status in shown.functions],
            }
        )
        return
    typer.echo(f"{found.name} ({found.app_id}) in environment {found.environment}")
    if live is not None:
        about = ", ".join(text for text in (_code(live), _note(live)) if text)
        tail = f": {about}" if about else ""
        typer.echo(f"version {live.version}, deployed {when(live.created_at_ms)} by {views.deployed_by(live)}{tail}")
    runs = {one.function_id: next(iter(one.next_ms), 0) for one in schedules}
    show_rows(
        Column[FunctionStatus]("function", lambda status: function_of(status).name),
        Column[FunctionStatus]("containers", lambda status: status.num_containers, leaves=2),
        Column[FunctionStatus]("waiting", lambda status: status.backlog, leaves=1),
        Column[FunctionStatus](
            "next run", lambda status: runs.get(function_of(status).function_id, 0), Kind.TIME, leaves=3
        ),
        rows=shown.functions,
    )
    for name, url in (pair for status in shown.functions for pair in views.urls_of(function_of(status))):
        say(f"{name}: {url}")


def _stopped(app: str, environment: str | None) -> AppInfo | None:
    """Return the newest app of that name or id that has stopped, if there is one."""
    app_id = whole(app, environment, prefix="ap")
    found = [one for one in list_of_apps(environment, True) if one.stopped_at_ms and app_id in (one.app_id, one.name)]
    return max(found, key=lambda one: one.created_at_ms, default=None)


def _show_stopped(app: AppInfo, as_json: bool) -> None:
    if as_json:
        show_json(views.app(app))
        return
    say(f"{app.name} ({app.app_id}) in environment {app.environment} has stopped")
    say(f"it ran from {time_of(app.created_at_ms)} to {time_of(app.stopped_at_ms)}")
    say(f"its log: wherry app logs {app.app_id}")


def _again(app: str, environment: str | None, as_json: bool, deploy_again: Callable[[AppInfo], Deployed]) -> None:
    began = time.monotonic()
    found = _shown(app, environment).app
    assert found is not None
    client = default_client()
    screen: Output = Silent() if as_json else screen_for_stdout(quiet=False, verbose=False)
    client.listener.screen = screen
    try:
        deployed = deploy_again(found)
    finally:
        screen.close()
    _tell(deployed, False, as_json, time.monotonic() - began)


def _shown(app: str, environment: str | None) -> AppShowResponse:
    client = default_client()
    request = AppShowRequest(app_name=app, environment=environment or client.environment)
    if app.startswith("ap-"):
        request = AppShowRequest(app_id=whole(app, environment, prefix="ap"))
    return client.call("Apps.Show", request, AppShowResponse)


def _versions(app: str, environment: str | None) -> DeploymentListResponse:
    client = default_client()
    request = DeploymentListRequest(app_name=app, environment=environment or client.environment)
    if app.startswith("ap-"):
        request = DeploymentListRequest(app_id=whole(app, environment, prefix="ap"))
    answer = client.call("Deployments.List", request, DeploymentListResponse)
    if not answer.deployments:
        raise NotFoundError(f"app {app!r} was never deployed: `wherry deploy` does that")
    return answer


def _tell(deployed: Deployed, dry_run: bool, as_json: bool, seconds: float) -> None:
    if as_json:
        show_json(
            {
                "app_id": deployed.app_id or None,
                "name": deployed.app_name,
                "version": deployed.version or None,
                "changed": bool(deployed.changes or deployed.unbuilt),
                "dry_run": dry_run,
                "changes": {change.name: _KINDS.get(change.kind) for change in deployed.changes},
                "images_to_build": deployed.unbuilt,
                "functions": {one.name: one.function_id for one in deployed.functions},
                "urls": {name: url for one in deployed.functions for name, url in views.urls_of(one)},
                "seconds": round(seconds, 2),
            }
        )
        return
    for summary in deployed.unbuilt:
        typer.echo(f"would build an image: {summary}")
    for change in deployed.changes:
        typer.echo(f"{'would be ' if dry_run else ''}{_KINDS.get(change.kind)}: {change.name}")
    if not deployed.changes and not deployed.unbuilt:
        typer.echo(f"{deployed.app_name}: no changes; version {deployed.version} serves on")
    elif dry_run:
        serves = f"; version {deployed.version} serves" if deployed.version else ""
        typer.echo(f"{deployed.app_name}: nothing was done{serves}")
    else:
        typer.echo(f"{deployed.app_name}: version {deployed.version} serves ({seconds:.1f} s)")
