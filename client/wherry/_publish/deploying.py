"""Deploys an app: everything is made ready, then the service puts it in the place of the version that serves."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from wherry._connection.client import default_client
from wherry._define.names import check_app_name
from wherry._publish.image_files import resolve
from wherry._publish.opening import opened
from wherry._publish.preparing import prepared
from wherry._publish.published import Published
from wherry._screen.output import Output, waited
from wherry._screen.plain import Cells, Steps
from wherry._screen.unasked import Unasked
from wherry.context import GUARD, check_local, is_local
from wherry.exception import ConnectionError, DeploymentError, InvalidError, NotFoundError
from wherry_proto.messages import (
    AppInfo,
    AppShowRequest,
    AppShowResponse,
    DeploymentCreateRequest,
    DeploymentEvent,
    DeploymentOrigin,
    DeploymentResult,
    DeploymentRollbackRequest,
    DeploymentState,
    DeployStrategy,
    FunctionChange,
    FunctionChangeKind,
    ImageInfo,
    ImageShowRequest,
    ImageState,
)

if TYPE_CHECKING:
    from wherry._connection.client import Client
    from wherry._define.plan import Plan

STRATEGIES = {"rolling": DeployStrategy.ROLLING, "recreate": DeployStrategy.RECREATE}


class Deployed:
    """What came of deploying: of a dry run, what would."""

    def __init__(
        self,
        app_id: str,
        app_name: str,
        result: DeploymentResult,
        unbuilt: list[str] | None = None,
        published: Published | None = None,
    ) -> None:
        # "" where a dry run found no app.
        self.app_id = app_id
        self.app_name = app_name
        self.deployment = result.deployment
        self.changes = result.changes
        self.functions = result.functions
        # Of a dry run: images that would be built.
        self.unbuilt = unbuilt or []
        # What can be called from here; None: nothing that was defined here.
        self.published = published

    @property
    def version(self) -> int:
        """The version that serves; 0: none."""
        return self.deployment.version if self.deployment is not None else 0


def deploy(
    plan: Plan,
    client: Client | None,
    name: str | None,
    environment: str | None,
    tag: str,
    strategy: str,
) -> Deployed:
    """Make the app's functions the next version of the deployed app of its name.

    The commit of the git work tree that the source is in is noted. Raises DeploymentError where the version does not
    start: the one before serves on; InvalidError for an app without a name.
    """
    check_local("deploying an app", GUARD)
    client = client or default_client()
    return _deployed(plan, client, _named(plan, name), environment, tag, strategy)


def looked_up(plan: Plan, client: Client | None, environment: str | None, creates: bool, app_id: str = "") -> AppInfo:
    """Return the deployed app of the plan's name, which is made if it is missing and `creates`; or that of an id.

    In a container none is made: there its own app stands for one that is missing, since sandboxes become its own
    app's in any case. Raises NotFoundError.
    """
    client = client or default_client()
    environment = environment or client.environment
    request = (
        AppShowRequest(app_id=app_id) if app_id else AppShowRequest(app_name=plan.name or "", environment=environment)
    )
    try:
        found = client.call("Apps.Show", request, AppShowResponse).app
    except NotFoundError:
        if app_id:
            raise
        found = None
    # Of a container, in which its own app is found, also while that only runs.
    own_id = os.environ.get("WHERRY_APP_ID", "") if not is_local() else ""
    if found is not None and (app_id or found.version or found.app_id == own_id):
        return found
    if not creates:
        where = f"environment {environment!r}" if environment else "this container's environment"
        raise NotFoundError(f"no app {plan.name!r} is deployed in {where}: deploy it, or pass create_if_missing=True")
    if not is_local():
        return AppInfo(app_id=own_id, name=plan.name or "", environment=environment)
    made = _deployed(plan, client, plan.name or "", environment, "", "rolling")
    return AppInfo(app_id=made.app_id, name=made.app_name, environment=environment, version=made.version)


def _deployed(plan: Plan, client: Client, app_name: str, environment: str | None, tag: str, strategy: str) -> Deployed:
    chosen = strategy_of(strategy)
    environment = environment or client.environment
    with opened(plan, client, environment, app_name, deploys=True) as info:
        ready = prepared(plan, client, info.app_id, environment, name=app_name)
        request = DeploymentCreateRequest(
            app_id=info.app_id, functions=ready.specs, strategy=chosen, origin=_origin(tag, ready.root)
        )
        result = follow(client, "Deployments.Create", request)
    published = Published(client, environment, ready, result.functions)
    published.announce(plan, {change.name for change in result.changes})
    return Deployed(info.app_id, app_name, result, published=published)


def deploy_aloud(
    plan: Plan, client: Client | None, name: str | None, environment: str | None, tag: str, strategy: str
) -> Deployed:
    """Do as `deploy`, and say on stderr what is done and waited for, unless an output is enabled that shows it."""
    client = client or default_client()
    listener = client.listener
    if type(listener.screen) not in (Unasked, Cells):
        return deploy(plan, client, name, environment, tag, strategy)
    before, listener.screen = listener.screen, Steps()
    try:
        return deploy(plan, client, name, environment, tag, strategy)
    finally:
        listener.screen = before


def dry_run(plan: Plan, name: str | None, environment: str | None) -> Deployed:
    """Return what deploying would change. Nothing is built, no container starts, and no volume is made.

    Source is sent, and secrets without a name, as the service compares what would be with what is.
    """
    check_local("deploying an app", GUARD)
    client = default_client()
    app_name = _named(plan, name)
    infos = {
        image: client.call("Images.Show", ImageShowRequest(definition=resolve(image, None).definition), ImageInfo)
        for image in dict.fromkeys(map(plan.image_of, plan.definitions))
    }
    unbuilt = sorted({info.summary or info.image_id for info in infos.values() if info.state != ImageState.BUILT})
    request = AppShowRequest(app_name=app_name, environment=environment or client.environment)
    try:
        shown = client.call("Apps.Show", request, AppShowResponse)
    except NotFoundError:
        shown = None
    if shown is None or shown.app is None or not shown.app.version:
        added = [FunctionChange(name=one.name, kind=FunctionChangeKind.ADDED) for one in plan.definitions]
        return Deployed("", app_name, DeploymentResult(changes=added), unbuilt)
    built = {image: info.image_id for image, info in infos.items()}
    ready = prepared(plan, client, shown.app.app_id, request.environment, built, creates=False, name=app_name)
    create = DeploymentCreateRequest(app_id=shown.app.app_id, functions=ready.specs, dry_run=True)
    return Deployed(shown.app.app_id, app_name, follow(client, "Deployments.Create", create), unbuilt)


def rollback(app: AppInfo, version: int, strategy: str) -> Deployed:
    """Have an earlier version of a deployed app serve again, as a new one; raise DeploymentError if it does not start.

    Version 0 is the one that served before.
    """
    request = DeploymentRollbackRequest(app_id=app.app_id, version=version, strategy=strategy_of(strategy))
    return Deployed(app.app_id, app.name, follow(default_client(), "Deployments.Rollback", request))


def rollover(app: AppInfo, strategy: str) -> Deployed:
    """Replace the containers of a deployed app by new ones of the same version.

    Raises DeploymentError if they don't start: the old ones serve on then.
    """
    request = DeploymentRollbackRequest(app_id=app.app_id, fresh=True, strategy=strategy_of(strategy))
    return Deployed(app.app_id, app.name, follow(default_client(), "Deployments.Rollback", request))


def follow(
    client: Client, method: str, request: DeploymentCreateRequest | DeploymentRollbackRequest
) -> DeploymentResult:
    """Ask for a version, show what is being done, and return what came of it; raise DeploymentError if it failed."""
    screen: Output = client.listener.screen

    def ask() -> DeploymentResult:
        for event in client.stream(method, request):
            assert isinstance(event, DeploymentEvent)
            if event.result is not None:
                return event.result
            screen.step(event.text)
        raise ConnectionError("the service ended before it said what became of this: see `wherry app history`")

    # Asked again after the service has come back, it finds that nothing has changed, or begins anew. To go back by one
    # version twice would be to stay.
    is_repeatable = not isinstance(request, DeploymentRollbackRequest) or request.version > 0
    with waited(screen, "The new version starts, and takes over when its containers are ready"):
        result = client.persist(ask) if is_repeatable else ask()
    if result.deployment is not None and result.deployment.state == DeploymentState.FAILED:
        raise DeploymentError(result.deployment.error)
    return result


def strategy_of(strategy: str) -> int:
    """Return the strategy of that name; raise InvalidError if there is none."""
    if strategy not in STRATEGIES:
        raise InvalidError(f"strategy is {strategy!r}: it is one of {', '.join(STRATEGIES)}")
    return STRATEGIES[strategy]


def _named(plan: Plan, name: str | None) -> str:
    found = plan.name if name is None else name
    if not found:
        raise InvalidError('the app has no name to deploy it under: write wherry.App("its-name"), or use --name')
    check_app_name(found)
    if not plan.definitions:
        raise InvalidError(f"app {found!r} has no function to deploy: decorate one with @app.function()")
    return found


def _origin(tag: str, root: Path | None) -> DeploymentOrigin:
    # In CI there may be a checkout and no git: GitHub's and GitLab's runners say what they have checked out.
    given = os.environ.get("GITHUB_SHA") or os.environ.get("CI_COMMIT_SHA") or ""
    commit = _git(root, "rev-parse", "HEAD") or given
    # Python's byte code beside the source, which importing it may just have written, is no change.
    dirty = bool(_git(root, "status", "--porcelain", "--", ".", ":(exclude,glob)**/__pycache__/**"))
    return DeploymentOrigin(tag=tag, commit=commit, dirty=dirty)


def _git(folder: Path | None, *words: str) -> str:
    """Return what git says in a folder; "" where there is no git, or no work tree."""
    if folder is None:
        return ""
    command = ["git", "-C", str(folder), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
