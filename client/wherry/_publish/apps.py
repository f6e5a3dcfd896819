"""What can be done to an app that runs, by its id."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from wherry import types
from wherry._objects.infos import time_of
from wherry.context import is_local
from wherry_proto.messages import (
    AppInfo,
    AppSetTagsRequest,
    AppShowRequest,
    AppShowResponse,
    AppState,
    AppStopRequest,
    AppStopResponse,
    DeploymentListRequest,
    DeploymentListResponse,
)

if TYPE_CHECKING:
    from wherry._connection.client import Client

log = logging.getLogger("wherry")
_STATES = {
    AppState.EPHEMERAL: types.AppState.EPHEMERAL,
    AppState.DETACHED: types.AppState.DETACHED,
    AppState.DEPLOYED: types.AppState.DEPLOYED,
    AppState.STOPPED: types.AppState.STOPPED,
}


def stop(client: "Client", app_id: str) -> None:
    """Stop it with its containers and sandboxes."""
    warn_of(client.call("Apps.Stop", AppStopRequest(app_id=app_id), AppStopResponse).left_over)


def set_tags(client: "Client", app_id: str, tags: dict[str, str]) -> None:
    """Give it these tags in the place of those it has."""
    client.call("Apps.SetTags", AppSetTagsRequest(app_id=app_id, tags=tags), AppInfo)


def tags_of(client: "Client", app_id: str) -> dict[str, str]:
    """Return its tags."""
    found = client.call("Apps.Show", AppShowRequest(app_id=app_id), AppShowResponse).app
    return dict(found.tags) if found is not None else {}


def info_of(client: "Client", app_id: str) -> types.AppInfo:
    """Return what there is to know of it."""
    shown = client.call("Apps.Show", AppShowRequest(app_id=app_id), AppShowResponse)
    app = shown.app or AppInfo(app_id=app_id)
    infos = [one.function for one in shown.functions if one.function is not None]
    return types.AppInfo(
        app_id=app_id,
        description=app.name,
        lifecycle=_lifecycle_of(client, app),
        # Of functions nobody is told how they scale.
        functions={info.name: info.function_id for info in infos if info.pool is None},
        servers={info.name: info.function_id for info in infos if info.pool is not None},
    )


def _lifecycle_of(client: "Client", app: AppInfo) -> types.AppLifecycle:
    live = None
    # Code in a container is not told of versions.
    if app.version and is_local():
        request = DeploymentListRequest(app_id=app.app_id)
        versions = client.call("Deployments.List", request, DeploymentListResponse).deployments
        live = next((one for one in versions if one.version == app.version), None)
    return types.AppLifecycle(
        state=_STATES.get(app.state, types.AppState.INITIALIZING),
        version=app.version or None,
        created_at=time_of(app.created_at_ms),
        created_by=None,
        deployed_at=time_of(live.created_at_ms) if live is not None else None,
        deployed_by=(live.origin.token_name or None) if live is not None and live.origin is not None else None,
        stopped_at=time_of(app.stopped_at_ms) if app.stopped_at_ms else None,
        stopped_by=None,
    )


def warn_of(left_over: Sequence[str]) -> None:
    """Name the containers of a stopped app that may still exist."""
    if left_over:
        log.warning(
            "wherry: the engine did not answer, so %s may still be there; removed when it does", ", ".join(left_over)
        )


def tell_of_schedules(names: Sequence[str]) -> None:
    """Say that functions with a schedule do not run by themselves in an app that only runs."""
    log.warning(
        "wherry: %s: the schedule begins when the app is deployed, by `wherry deploy` or app.deploy(); until then, "
        "call the function to try it",
        ", ".join(names),
    )
