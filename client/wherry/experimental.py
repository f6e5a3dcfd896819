"""Names of the reference's `experimental` module; most can be imported and refuse to be used."""

from wherry._base.elsewhere import refused
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
    "http_server",
    "list_cluster_reservations",
    "server_forward",
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
http_server = refused("modal.experimental.http_server")
IdempotencyConflict = refused("modal.experimental.IdempotencyConflict")
list_cluster_reservations = refused("modal.experimental.list_cluster_reservations")
OutboundPolicy = refused("modal.experimental.OutboundPolicy")
server_forward = refused("modal.experimental.server_forward")
ServerManager = refused("modal.experimental.ServerManager")
Stream = refused("modal.experimental.Stream")
StreamInfo = refused("modal.experimental.StreamInfo")
StreamToken = refused("modal.experimental.StreamToken")
StreamWriter = refused("modal.experimental.StreamWriter")
