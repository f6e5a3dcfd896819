"""What there is, for commands, for ids that are cut, and for completion."""

import contextlib

from wherry._connection.client import default_client
from wherry.exception import NotFoundError
from wherry_proto.messages import (
    AppInfo,
    AppListRequest,
    AppListResponse,
    AppShowRequest,
    AppShowResponse,
    ContainerInfo,
    ContainerListRequest,
    ContainerListResponse,
    FunctionStatus,
    SandboxInfo,
    SandboxListRequest,
    SandboxListResponse,
)


def running_containers(environment: str | None = None, app_id: str = "") -> list[ContainerInfo]:
    """Return the containers of functions, the latest first."""
    client = default_client()
    request = ContainerListRequest(environment=environment or client.environment, app_id=app_id)
    return client.call("Containers.List", request, ContainerListResponse).containers


def list_of_apps(environment: str | None, stopped: bool) -> list[AppInfo]:
    """Return an environment's apps, the latest first."""
    client = default_client()
    request = AppListRequest(environment=environment or client.environment, include_stopped=stopped)
    return client.call("Apps.List", request, AppListResponse).apps


def functions_in(environment: str | None, app_id: str = "") -> list[FunctionStatus]:
    """Return the functions of running apps, or of one of them, and how they do."""
    client = default_client()
    found: list[FunctionStatus] = []
    for one in [app_id] if app_id else [app.app_id for app in list_of_apps(environment, False)]:
        # One may have stopped just now.
        with contextlib.suppress(NotFoundError):
            found += client.call("Apps.Show", AppShowRequest(app_id=one), AppShowResponse).functions
    return found


def list_of_sandboxes(environment: str | None, ended: bool) -> list[SandboxInfo]:
    """Return an environment's sandboxes, the latest first."""
    client = default_client()
    request = SandboxListRequest(environment=environment or client.environment, include_ended=ended)
    return client.call("Sandboxes.List", request, SandboxListResponse).sandboxes
