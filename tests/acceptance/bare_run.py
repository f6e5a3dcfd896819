"""What a command prints in an image that the engine runs without a service."""

from typing import Any

import docker


def printed_by(engine: docker.DockerClient, image: str, command: list[str] | None = None, **options: Any) -> str:
    """Run a command to its end, and return its stdout; one that fails fails the test with what it printed.

    The engine's own way (`run` without `detach`) follows the log of the running container, and now and then
    shows nothing of one that ends at once. Here the container has ended before its log is read.
    """
    container = engine.containers.run(image, command, detach=True, **options)
    try:
        ended = container.wait(timeout=60)["StatusCode"]
        printed = container.logs(stderr=False).decode()
        assert ended == 0, container.logs().decode()
        return str(printed)
    finally:
        container.remove(force=True)
