"""Containers that run, for commands and for the completion of their ids."""

from wherry._connection.client import default_client
from wherry.exception import Error
from wherry_proto.messages import (
    ContainerInfo,
    ContainerListRequest,
    ContainerListResponse,
    SandboxListRequest,
    SandboxListResponse,
)


def running_containers(environment: str | None = None, app_id: str = "") -> list[ContainerInfo]:
    """Return the containers of functions, the latest first."""
    client = default_client()
    request = ContainerListRequest(environment=environment or client.environment, app_id=app_id)
    return client.call("Containers.List", request, ContainerListResponse).containers


def complete_container(incomplete: str) -> list[tuple[str, str]]:
    """Return the ids that begin so, of functions' containers and of sandboxes, with what they are."""
    try:
        client = default_client()
        sandboxes = client.call(
            "Sandboxes.List", SandboxListRequest(environment=client.environment), SandboxListResponse
        ).sandboxes
        found = [(info.container_id, f"{info.app_name}: {info.function_name}") for info in running_containers()]
    except Error:
        # No service, no ids: completion is no place for an error.
        return []
    found += [(info.sandbox_id, info.name or "sandbox") for info in sandboxes]
    return [pair for pair in found if pair[0].startswith(incomplete)]
