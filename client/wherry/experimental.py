"""Names of the reference's `experimental` module; most can be imported and refuse to be used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wherry._base.blocking import Bound
from wherry._base.elsewhere import meet, refused
from wherry.context import is_local
from wherry.exception import InvalidError

if TYPE_CHECKING:
    from datetime import datetime

    from wherry._connection.client import Client
    from wherry.image import Image

__all__ = [
    "AppInfo",
    "AppLifecycle",
    "AppendResult",
    "ClusterInfo",
    "ClusterReservation",
    "ClusterReservationTask",
    "DockerfileSpec",
    "Entry",
    "IdempotencyConflict",
    "InvalidError",
    "OutboundPolicy",
    "ServerManager",
    "Stream",
    "StreamInfo",
    "StreamToken",
    "StreamWriter",
    "clustered",
    "flash_forward",
    "flash_get_containers",
    "get_app_lifecycle",
    "get_app_objects",
    "get_cluster_info",
    "get_fabric_peers",
    "get_local_input_concurrency",
    "http_server",
    "image_delete",
    "list_cluster_reservations",
    "list_deployed_apps",
    "raw_dockerfile_image",
    "raw_registry_image",
    "server_forward",
    "set_local_input_concurrency",
    "stop_app",
    "stop_fetching_inputs",
]

AppendResult = refused("modal.experimental.AppendResult")
clustered = refused("modal.experimental.clustered")
ClusterInfo = refused("modal.experimental.ClusterInfo")
ClusterReservation = refused("modal.experimental.ClusterReservation")
ClusterReservationTask = refused("modal.experimental.ClusterReservationTask")
DockerfileSpec = refused("modal.experimental.DockerfileSpec")
Entry = refused("modal.experimental.Entry")
flash_forward = refused("modal.experimental.flash_forward")
flash_get_containers = refused("modal.experimental.flash_get_containers")
get_cluster_info = refused("modal.experimental.get_cluster_info")
get_fabric_peers = refused("modal.experimental.get_fabric_peers")
IdempotencyConflict = refused("modal.experimental.IdempotencyConflict")
list_cluster_reservations = refused("modal.experimental.list_cluster_reservations")
OutboundPolicy = refused("modal.experimental.OutboundPolicy")
server_forward = refused("modal.experimental.server_forward")
ServerManager = refused("modal.experimental.ServerManager")
Stream = refused("modal.experimental.Stream")
StreamInfo = refused("modal.experimental.StreamInfo")
StreamToken = refused("modal.experimental.StreamToken")
StreamWriter = refused("modal.experimental.StreamWriter")
stop_fetching_inputs = refused("modal.experimental.stop_fetching_inputs")
get_local_input_concurrency = refused("modal.experimental.get_local_input_concurrency")
set_local_input_concurrency = refused("modal.experimental.set_local_input_concurrency")


def raw_registry_image(
    tag: str, registry_secret: Any = None, credential_type: Any = None, force_build: bool = False
) -> Image:
    """As `Image.from_registry(tag, registry_secret)`, an experiment of 2025. (reference: raw_registry_image)"""
    from wherry.image import Image  # noqa: PLC0415 - start-up cost: only for those who use it

    return Image.from_registry(tag, registry_secret, force_build=force_build)


def raw_dockerfile_image(path: str, force_build: bool = False) -> Image:
    """As `Image.from_dockerfile(path)`, an experiment of 2025. (reference: raw_dockerfile_image)"""
    from wherry.image import Image  # noqa: PLC0415 - start-up cost: as above

    return Image.from_dockerfile(path, force_build=force_build)


def http_server(
    port: int | None = None,
    *,
    proxy_regions: Any = (),
    startup_timeout: float = 30,
    exit_grace_period: float | None = None,
    h2_enabled: bool = False,
) -> Any:
    """Make the class with `@app.cls()` above a server, whose requests need no token: the older form of `@app.server()`.

    The parameters are those of `App.server`. Raises InvalidError for a port that is missing.
    (reference: experimental.http_server)
    """
    if port is None or isinstance(port, type):
        raise InvalidError("the port is missing: write @wherry.experimental.http_server(8000) below @app.cls()")
    if proxy_regions and is_local():
        meet("routing_region", 2)
    if h2_enabled and is_local():
        meet("h2_enabled", 2)
    given = {"port": port, "startup_timeout": startup_timeout, "exit_grace_period": exit_grace_period or 0}

    def decorate(user_class: Any) -> Any:
        if not isinstance(user_class, type):
            raise InvalidError(
                f"@wherry.experimental.http_server() got {user_class!r}: it goes on a class, below @app.cls()"
            )
        user_class.__wherry_http_server__ = given  # type: ignore[attr-defined]
        return user_class

    return decorate


@dataclass(frozen=True)
class AppInfo:
    """A deployed app, and how many containers it has. (reference: experimental.AppInfo)"""

    app_id: str
    name: str
    containers: int


@dataclass(frozen=True)
class AppLifecycle:
    """When an app was created, deployed and stopped, in UTC. `created_by` and `stopped_by` are None: nobody notes them.

    (reference: experimental.AppLifecycle)
    """

    version: int
    created_at: datetime
    created_by: str | None
    deployed_at: datetime | None
    deployed_by: str | None
    stopped_at: datetime | None
    stopped_by: str | None


def _list_deployed_apps(environment_name: str = "", client: Client | None = None) -> list[AppInfo]:
    """Return the deployed apps of an environment, the latest first. (reference: list_deployed_apps)"""
    from wherry._connection.client import default_client  # noqa: PLC0415 - start-up cost: loads the session
    from wherry_proto.messages import AppListRequest, AppListResponse, AppState  # noqa: PLC0415 - start-up cost: as above

    client = client or default_client()
    request = AppListRequest(environment=environment_name or client.environment)
    found = client.call("Apps.List", request, AppListResponse).apps
    return [AppInfo(one.app_id, one.name, one.num_containers) for one in found if one.state == AppState.DEPLOYED]


def _stop_app(name: str, *, environment_name: str | None = None, client: Client | None = None) -> None:
    """Stop the deployed app of that name, as `App.lookup(name).stop()`. (reference: stop_app)

    Raises NotFoundError where there is none.
    """
    from wherry.app import App  # noqa: PLC0415 - start-up cost: loaded with wherry

    App.lookup(name, client, environment_name).stop(client)


def _get_app_objects(
    app_name: str, *, environment_name: str | None = None, client: Client | None = None
) -> dict[str, Any]:
    """Return the functions and classes of a deployed app, by name. (reference: get_app_objects)

    Raises NotFoundError where there is no such app.
    """
    from wherry._connection.client import default_client  # noqa: PLC0415 - start-up cost: loads the session
    from wherry.cls import Cls  # noqa: PLC0415 - start-up cost: only where there are classes
    from wherry.function import Function  # noqa: PLC0415 - start-up cost: loaded with wherry
    from wherry_proto.messages import AppShowRequest, AppShowResponse  # noqa: PLC0415 - start-up cost: as above

    client = client or default_client()
    environment = environment_name or client.environment
    request = AppShowRequest(app_name=app_name, environment=environment)
    shown = client.call("Apps.Show", request, AppShowResponse)
    infos = [one.function for one in shown.functions if one.function is not None]
    return {
        info.name: (Cls if info.methods else Function).from_name(
            app_name, info.name, environment_name=environment, client=client
        )
        for info in infos
    }


def _get_app_lifecycle(app_id: str, *, client: Client | None = None) -> AppLifecycle:
    """Return when an app was created, deployed and stopped. (reference: get_app_lifecycle)

    Raises NotFoundError where there is no app of that id ("ap-…").
    """
    from wherry._connection.client import default_client  # noqa: PLC0415 - start-up cost: loads the session
    from wherry._publish.apps import info_of  # noqa: PLC0415 - start-up cost: as above

    found = info_of(client or default_client(), app_id).lifecycle
    return AppLifecycle(
        version=found.version or 0,
        created_at=found.created_at,
        created_by=found.created_by,
        deployed_at=found.deployed_at,
        deployed_by=found.deployed_by,
        stopped_at=found.stopped_at,
        stopped_by=found.stopped_by,
    )


list_deployed_apps: Bound[..., list[AppInfo]] = Bound((), _list_deployed_apps, None)
stop_app: Bound[..., None] = Bound((), _stop_app, None)
get_app_objects: Bound[..., dict[str, Any]] = Bound((), _get_app_objects, None)
get_app_lifecycle: Bound[..., AppLifecycle] = Bound((), _get_app_lifecycle, None)
image_delete = refused("modal.experimental.image_delete")
