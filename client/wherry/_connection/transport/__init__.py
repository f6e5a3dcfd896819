"""What carries messages between the SDK and the service."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wherry._connection.settings import Settings
    from wherry._connection.transport.transport import Transport

LOCAL_SOCKET_NAME = "local.sock"


def open_transport(settings: "Settings") -> "Transport":
    """Return the transport to the configured service: frames to one on this machine, gRPC to any other."""
    if settings.remote is not None:
        from wherry._connection.transport.grpc import remote_transport  # noqa: PLC0415 - start-up cost: as below

        return remote_transport(settings.remote)
    if settings.socket.name == LOCAL_SOCKET_NAME:
        from wherry._connection.transport.frames import FramesTransport  # noqa: PLC0415 - start-up cost: the one or the other, never both

        return FramesTransport(str(settings.socket))
    from wherry._connection.transport.grpc import GrpcTransport  # noqa: PLC0415 - start-up cost: gRPC takes ~60 ms to import

    return GrpcTransport(f"unix:{settings.socket}")
