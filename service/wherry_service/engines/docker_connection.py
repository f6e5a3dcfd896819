"""Connections to Docker Engine, and what its errors are to us."""

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from wherry_service.engines.endpoint import Endpoint, find, path_of
from wherry_service.engines.engine import (
    ContainerMissing,
    DeviceMissing,
    EngineError,
    EngineUnreachable,
    ImageMissing,
    RuntimeMissing,
)
from wherry_service.errors import Unready

if TYPE_CHECKING:
    import docker

TIMEOUT_S = 60
# How engines say that their configuration does not have a runtime.
_NO_RUNTIME = ("unknown runtime specified", "invalid runtime name")
# How engine and toolkit say that there is no such GPU.
_NO_GPU = ("could not select device driver", "nvidia-container-cli", "nvidia-container-runtime")

# How the system says that nothing listens there.
_ABSENT = (
    "Connection refused", "No such file", "Name or service not known", "No route to host", "Network is unreachable",
    "Temporary failure in name resolution",
)  # fmt: skip


class DockerConnection:
    """Opens clients of the engine that is meant; `endpoint` is asked each time, and raises `Unready`."""

    def __init__(self, endpoint: Callable[[], Endpoint] = find) -> None:
        self._endpoint = endpoint

    def endpoint(self) -> Endpoint:
        """Return where the engine is; raise `EngineUnreachable` where Docker's configuration makes no sense."""
        try:
            return self._endpoint()
        except Unready as error:
            raise EngineUnreachable(str(error)) from error

    def open(self, timeout: int | None = TIMEOUT_S) -> "docker.APIClient":
        """Return a client; raise `EngineUnreachable`, OSError, or what the SDK raises (see `translated`)."""
        import docker  # noqa: PLC0415 - start-up cost: 150 ms: loaded when the first container or image is asked for
        import docker.utils as docker_utils  # noqa: PLC0415 - start-up cost: as above

        found = self.endpoint()
        if found.address.startswith("ssh://"):
            raise EngineUnreachable(
                f"the engine {found} is on another machine: run the service there, and point WHERRY_SERVER_URL at it"
            )
        if path := path_of(found.address):
            # Where nobody listens the SDK leaves its socket open.
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(path)
        variables = docker_utils.kwargs_from_env(environment=_environment(found))
        # The SDK takes None for "no limit", which its stubs do not know.
        return docker.APIClient(timeout=timeout, **variables)  # type: ignore[arg-type]

    @contextlib.contextmanager
    def translated(self, what: str) -> Iterator[None]:
        """Raise the SDK's errors as ours; `what` is the end of "could not …"."""
        import docker.errors  # noqa: PLC0415 - start-up cost: 50 ms, loaded by `open`
        import requests  # noqa: PLC0415 - start-up cost: as above

        try:
            yield
        except docker.errors.NotFound as error:
            kind = ImageMissing if "image" in str(error.explanation).lower() else ContainerMissing
            raise kind(f"could not {what}: {error.explanation}") from error
        except docker.errors.APIError as error:
            raise _of_answer(what, str(error.explanation or error)) from error
        except (docker.errors.DockerException, requests.exceptions.RequestException, OSError) as error:
            raise EngineUnreachable(self._unreachable(error)) from error

    def _unreachable(self, error: Exception) -> str:
        text, where = str(error), self.endpoint()
        if "Permission denied" in text:
            return (
                f"Docker refuses this user at {where}: add it to the group `docker` (and log in again), or run as root"
            )
        if "timed out" in text.lower():
            return (
                f"Docker does not answer within {TIMEOUT_S} s at {where}: look at its log (`journalctl -u docker`), or "
                "restart it (`systemctl restart docker`): calls go on by themselves"
            )
        if not any(sign in text for sign in _ABSENT):
            # One that is there, or a fault of our own: a lack of descriptors looks like this, too.
            return f"Docker broke off at {where}: {text[-300:]}"
        if where.is_named:
            return f"Docker does not answer at {where}: start that engine, or choose another: {_CHOICE}"
        return (
            f"Docker does not answer at {where}: start it (`systemctl start docker`, or `dockerd`), or set DOCKER_HOST"
        )


_CHOICE = "DOCKER_HOST, DOCKER_CONTEXT and `docker context use` say which"


def _environment(found: Endpoint) -> dict[str, str] | None:
    # Of DOCKER_HOST the other DOCKER_ variables count, too.
    return None if found.origin == "DOCKER_HOST" else found.variables()


def _of_answer(what: str, text: str) -> EngineError:
    if "device information" in text:
        return DeviceMissing(f"this host lacks a device: {text}")
    if any(sign in text for sign in _NO_GPU):
        return DeviceMissing(_without_gpu(text))
    if any(sign in text.lower() for sign in _NO_RUNTIME):
        return RuntimeMissing(
            f"could not {what}: {text}; add the runtime to the engine's configuration, or change "
            "containers.runtime and sandbox.runtime (docs/security.md, gVisor)"
        )
    return EngineError(f"could not {what}: {text}")


def _without_gpu(text: str) -> str:
    if _NO_GPU[0] in text:
        return (
            "asks for a GPU, and Docker on this host has no driver for them: install nvidia-container-toolkit, run "
            f"`nvidia-ctk runtime configure --runtime=docker` and restart Docker ({text})"
        )
    return f"asks for a GPU that this host can't give: compare `nvidia-smi -L` with what was asked for ({text})"
