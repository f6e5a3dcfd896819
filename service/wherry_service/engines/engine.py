"""The `Engine` interface: what Wherry needs of whatever runs containers. Nothing above it knows which one it is."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol


class EngineError(Exception):
    """The engine refused or failed; the message says what and why."""


class EngineUnreachable(EngineError):
    """The engine does not answer; the message says what to do."""


class ImageMissing(EngineError):
    """The engine does not have the image."""


class ContainerMissing(EngineError):
    """The engine does not have the container."""


class DeviceMissing(EngineError):
    """The engine can't give containers the devices that were asked for; the message says what to install."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A directory of the host inside a container."""

    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Gpu:
    """GPUs of one type; "any" is whatever there is."""

    type: str
    count: int


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """A container to be made. `network` is "bridge", "none", "host" or "container:ID"."""

    name: str
    image: str
    command: tuple[str, ...]
    mounts: tuple[Mount, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    # Cores; the request is a weight where containers compete, the limit holds always.
    cpu_limit: float | None = None
    cpu_request: float | None = None
    memory_limit_mib: int | None = None
    memory_request_mib: int | None = None
    network: str = "bridge"
    # None: the engine adapter's default.
    pids_limit: int | None = None
    # MiB that the container's own files may grow to; not held where the engine's storage can't limit it.
    disk_limit_mib: int | None = None
    # Any one of these will do, the first is preferred.
    gpus: tuple[Gpu, ...] = ()


@dataclass(frozen=True, slots=True)
class ContainerStatus:
    """A container as the engine knows it."""

    engine_id: str
    name: str
    running: bool
    exit_code: int | None
    oom_killed: bool
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class EngineEvent:
    """Something that happened to a container; "reconnected" means that others may have been missed."""

    kind: Literal["die", "oom", "reconnected"]
    engine_id: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """Whether the engine answers, and if not, why and what to do."""

    reachable: bool
    version: str = ""
    error: str = ""
    cpus: int = 0
    memory_mib: int = 0


@dataclass(frozen=True, slots=True)
class EngineImage:
    """An image as the engine knows it; where several are listed, `user` and the two after it are not filled in."""

    tags: tuple[str, ...]
    labels: Mapping[str, str]
    size_bytes: int = 0
    user: str = ""
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()


class Engine(Protocol):
    """All methods raise `EngineUnreachable` when there is no answer, other `EngineError`s as they say."""

    async def status(self) -> EngineStatus:
        """Return whether the engine answers; raises nothing."""

    async def create(self, spec: ContainerSpec) -> str:
        """Create a container and return the engine's id for it; raises `ImageMissing`, `DeviceMissing`."""

    async def start(self, engine_id: str) -> None:
        """Start it; raises `ContainerMissing`, `DeviceMissing`."""

    async def kill(self, engine_id: str) -> None:
        """Kill it; one that does not run or exist is fine."""

    async def remove(self, engine_id: str) -> None:
        """Kill and remove it with its anonymous volumes; a missing one is fine."""

    async def inspect(self, engine_id: str) -> ContainerStatus | None:
        """Return its state, or None if there is no such container."""

    async def list(self, labels: Mapping[str, str]) -> list[ContainerStatus]:
        """Return the containers with all these labels, running or not."""

    async def log_tail(self, engine_id: str, lines: int) -> str:
        """Return the last lines that it printed outside the runner's reach; "" if there are none."""

    async def memory_bytes(self, engine_id: str) -> int:
        """Return the memory charged to it now, in bytes, without reclaimable page cache."""

    async def image(self, reference: str) -> "EngineImage | None":
        """Return what is known of an image, or None if it is not here."""

    async def image_labels(self, reference: str) -> Mapping[str, str] | None:
        """Return the labels of an image, or None if it is not here."""

    async def images(self, labels: Mapping[str, str]) -> "Sequence[EngineImage]":
        """Return the images with all these labels."""

    async def remove_image(self, tag: str) -> bool:
        """Take a tag away, and the image with its last one; False if a container uses it. A missing one is fine."""

    def events(self, labels: Mapping[str, str]) -> AsyncIterator[EngineEvent]:
        """Yield what happens to containers with these labels, for ever; reconnects by itself."""

    async def close(self) -> None:
        """Release connections and threads."""
