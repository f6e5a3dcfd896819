"""What is done to a running container of Docker's that may have been done already."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import docker

_CONFLICT = 409


def kill(client: "docker.APIClient", engine_id: str) -> None:
    """Kill a container, also where it is paused; one that does not run is fine."""
    import docker.errors  # noqa: PLC0415 - start-up cost: 50 ms, loaded by `_connect`

    try:
        client.kill(engine_id)
    except docker.errors.APIError as error:
        # A conflict: it is not running, which is what was wanted.
        if error.response is None or error.response.status_code != _CONFLICT:
            raise
        if "paused" in str(error):
            # Engines of before resume none by themselves.
            set_paused(client, engine_id, False)
            client.kill(engine_id)


def set_paused(client: "docker.APIClient", engine_id: str, paused: bool) -> None:
    """Pause or resume a container, unless it is already."""
    import docker.errors  # noqa: PLC0415 - start-up cost: as above

    try:
        (client.pause if paused else client.unpause)(engine_id)
    except docker.errors.APIError as error:
        if "is already paused" not in str(error) and "is not paused" not in str(error):
            raise
