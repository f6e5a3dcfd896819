"""Names of the reference's `experimental` module; most can be imported and refuse to be used."""

from typing import Any

from wherry._base.elsewhere import meet, refused
from wherry.context import is_local
from wherry.exception import InvalidError

__all__ = [
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
    "get_cluster_info",
    "get_fabric_peers",
    "get_local_input_concurrency",
    "http_server",
    "list_cluster_reservations",
    "server_forward",
    "set_local_input_concurrency",
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
