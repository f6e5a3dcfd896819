"""The `Engine` interface: what Wherry needs of whatever runs containers. Nothing above it knows which one it is."""

import socket
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol


class EngineError(Exception):
    """The engine refused or failed; the message says what and why."""


class EngineUnreachable(EngineError):
    """The engine does not answer; the message says what to do."""


def is_unreachable(error: BaseException) -> bool:
    """Whether an error, or what it came of, is an engine's that does not answer."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, EngineUnreachable):
        found = found.__cause__
    return found is not None


class ImageMissing(EngineError):
    """The engine does not have the image."""


class ContainerMissing(EngineError):
    """The engine does not have the container."""


class DeviceMissing(EngineError):
    """The engine can't give containers the devices that were asked for; the message says what to install."""


class RuntimeMissing(EngineError):
    """The engine does not have the OCI runtime that was asked for; the message says which, and what to do."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A directory of the host, or a volume by its name, inside a container."""

    source: str
    target: str
    read_only: bool = False
    # Whether what the container mounts below it appears on the host, too.
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Gpu:
    """GPUs of one type; "any" is whatever there is."""

    type: str
    count: int


# large: what a container is made of, as one flat row of words that each engine translates.
@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """A container to be made. `network` is "bridge", "none", "host", "container:ID" or a network's name."""

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
    # In a network with a subnet that was asked for; "": the engine chooses.
    address: str = ""
    # Whom it asks for names; (): whom the engine says.
    name_servers: tuple[str, ...] = ()
    # None: the engine adapter's default.
    pids_limit: int | None = None
    # MiB that the container's own files may grow to; not held where the engine's storage can't limit it.
    disk_limit_mib: int | None = None
    # The host's GPUs that it has, by number or UUID.
    gpu_ids: tuple[str, ...] = ()
    # The OCI runtime, as the engine's configuration names it; "": the engine's default.
    runtime: str = ""
    # "": the image's.
    workdir: str = ""
    # "UID:GID", with an empty home of its own; "": the image's user.
    user: str = ""
    # Capabilities taken away beside those that no container has.
    dropped_capabilities: tuple[str, ...] = ()
    # Of the host, by path; and what no other container has.
    devices: tuple[str, ...] = ()
    added_capabilities: tuple[str, ...] = ()
    # Without the host's AppArmor and SELinux policies for containers.
    unconfined: bool = False
    # Whether the command's standard input is open, until the one who has it closes it.
    stdin: bool = False
    # Whether the command gets a terminal.
    tty: bool = False
    # MiB of what it prints that the engine keeps at least; the oldest goes first.
    log_mib: int = 1


@dataclass(frozen=True, slots=True)
class ContainerStatus:
    """A container as the engine knows it."""

    engine_id: str
    name: str
    running: bool
    exit_code: int | None
    oom_killed: bool
    labels: Mapping[str, str]
    # On the engine's own network; "" if it has none.
    address: str = ""
    # Whether it is paused; then it runs.
    paused: bool = False
    # Whether it was ever started.
    begun: bool = True
    # What it may use of memory; None: no limit, or it was not looked at.
    memory_limit_mib: int | None = None


class ContainerUsage(NamedTuple):
    """What a container uses: nanoseconds of processor time since it began, and bytes of memory charged to it now.

    Page cache that can be had back is not counted.
    """

    cpu_ns: int
    memory_bytes: int


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
    # Where it is, as DOCKER_HOST has it, and who says so.
    address: str = ""
    origin: str = ""
    cpus: int = 0
    memory_mib: int = 0
    # Where it keeps everything, as its host calls it.
    directory: str = ""
    # OCI runtimes by name, and the one that containers have which ask for none; (), "" where it does not say.
    runtimes: tuple[str, ...] = ()
    default_runtime: str = ""
    # Whether root in a container is nobody in particular on the host: `userns-remap`, or an engine without root.
    user_namespaces: bool = False
    # Who root in a container is on the host, (uid, gid); None: root, or it is not known.
    root: tuple[int, int] | None = None

    @property
    def as_elsewhere(self) -> str:
        """What is said, and to be done, where containers turned out not to see this service's files."""
        where = f" {self.address} ({self.origin})" if self.address else ""
        return (
            f"does not see this service's files or sockets: the engine{where} is on another machine, or in a virtual "
            "machine. Run the service where the engine is, and point WHERRY_SERVER_URL at it, or choose an engine of "
            "this machine (docs/server.md, Which engine)"
        )


@dataclass(frozen=True, slots=True)
class EngineImage:
    """An image as the engine knows it; where several are listed, `user` and what follows it are not filled in."""

    tags: tuple[str, ...]
    labels: Mapping[str, str]
    size_bytes: int = 0
    user: str = ""
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    # Instructions that its ONBUILD lines hold for the next build.
    on_build: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EngineDisk:
    """What takes room in an engine."""

    # Where it keeps everything, as its host calls it; "" if it does not say.
    directory: str = ""
    # Images with a name of Wherry's, whichever service made them.
    num_images: int = 0
    images_bytes: int = 0
    # The build cache, whoever made it; and what of it no build and no other cache needs.
    cache_bytes: int = 0
    cache_unused_bytes: int = 0


class Stdin(Protocol):
    """A container's standard input. Its methods raise `EngineError` when the container no longer reads."""

    async def write(self, data: bytes) -> None:
        """Hand over data; waits while the container does not read."""

    async def close(self) -> None:
        """Say that nothing follows."""

    def abandon(self) -> None:
        """Let go of it; a write that waits ends."""


@dataclass(frozen=True, slots=True)
class ExecSpec:
    """A command to run inside a running container."""

    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    # "": the container's.
    workdir: str = ""
    user: str = ""
    # Whether it gets a terminal; then stream 1 has all output.
    tty: bool = False


class Exec(Protocol):
    """A command that runs inside a container. Its methods raise `EngineError`."""

    async def read(self) -> tuple[int, bytes] | None:
        """Return what it printed next, with its stream, 1 or 2; None when both have ended."""

    async def write(self, data: bytes) -> None:
        """Write to its standard input; waits while it does not read."""

    async def close_stdin(self) -> None:
        """Say that nothing follows."""

    async def resize(self, rows: int, columns: int) -> None:
        """Say how large its terminal is."""

    def hand_over(self) -> socket.socket | None:
        """Return the socket that has the rest of its streams, or None if there is none.

        A `read` that waits ends as if they had; nothing may be written afterwards. It is closed by `close`, which other
        processes' descriptors of it outlive. Only with a terminal.
        """

    async def pid(self) -> int:
        """Return its process id, as the engine's host counts; 0 if it has ended."""

    async def exit_code(self) -> int | None:
        """Return its exit code, after its streams have ended; None if the engine does not know."""

    def close(self) -> None:
        """Let go of it; it is not ended."""


# large: all that is asked of an engine, each once.
class Engine(Protocol):
    """All methods raise `EngineUnreachable` when there is no answer, other `EngineError`s as they say."""

    async def status(self) -> EngineStatus:
        """Return whether the engine answers; raises nothing."""

    async def network(self) -> str:
        """Return the network that containers on "bridge" join, its name or its id; it is made if it is missing."""

    async def create(self, spec: ContainerSpec) -> str:
        """Create a container and return the engine's id for it; raises `ImageMissing`, `RuntimeMissing`."""

    async def start(self, engine_id: str) -> None:
        """Start it; raises `ContainerMissing`, `DeviceMissing`."""

    async def kill(self, engine_id: str) -> None:
        """Kill it, also where it is paused; one that does not run or exist is fine."""

    async def pause(self, engine_id: str) -> None:
        """Stop its processes where they are; one that is paused is fine. Raises `ContainerMissing`."""

    async def resume(self, engine_id: str) -> None:
        """Have its processes go on; one that is not paused is fine. Raises `ContainerMissing`."""

    async def remove(self, engine_id: str) -> None:
        """Kill and remove it with its anonymous volumes; a missing one is fine."""

    async def inspect(self, engine_id: str) -> ContainerStatus | None:
        """Return its state, or None if there is no such container."""

    async def list(self, labels: Mapping[str, str]) -> list[ContainerStatus]:
        """Return the containers with all these labels, running or not."""

    async def log_tail(self, engine_id: str, lines: int) -> str:
        """Return the last lines that it printed outside the runner's reach; "" if there are none."""

    def output(self, engine_id: str, stream: int, follow: bool) -> AsyncIterator[bytes]:
        """Yield what its command has printed on stream 1 or 2; if followed, also what it will, until it ends.

        With a terminal, stream 1 has it all.
        """

    async def open_stdin(self, engine_id: str) -> Stdin:
        """Attach to the standard input of a container that was made with `stdin`."""

    async def exec(self, engine_id: str, spec: ExecSpec) -> Exec:
        """Start a command inside a running container; raises `ContainerMissing`."""

    async def copy_in(self, engine_id: str, path: str, archive: bytes | Iterable[bytes]) -> None:
        """Unpack a tar archive in a directory of a container, which need not have been started; raises
        `ContainerMissing`.
        """

    async def save_directory(self, engine_id: str, path: str, reference: str, labels: Mapping[str, str]) -> None:
        """Make an image that has one directory of a container, and nothing else; raises `ContainerMissing`.

        Where it is in the image is known to `copy_image`.
        """

    async def copy_image(self, reference: str, engine_id: str, path: str, labels: Mapping[str, str]) -> None:
        """Copy the files of an image, or of the directory that it was made of, into a directory of a container.

        `labels` are those of what is made on the way. Raises `ImageMissing`, `ContainerMissing`.
        """

    async def runtime_with_init(self, engine_id: str) -> str | None:
        """Return the OCI runtime of a container whose first process is the engine's own init, "" where the engine
        does not say; None: its first process is another. Raises `ContainerMissing`.
        """

    async def commit(self, engine_id: str, reference: str, labels: Mapping[str, str]) -> None:
        """Make an image of its file system, with its image's settings and no label but these.

        What the container's environment adds to its image's is set to nothing there, since it may be secret.
        """

    async def usage(self, engine_id: str) -> ContainerUsage:
        """Return the processor time and the memory that it uses; raises `ContainerMissing`."""

    async def image(self, reference: str) -> "EngineImage | None":
        """Return what is known of an image, or None if it is not here."""

    async def image_labels(self, reference: str) -> Mapping[str, str] | None:
        """Return the labels of an image, or None if it is not here."""

    async def images(self, labels: Mapping[str, str]) -> "Sequence[EngineImage]":
        """Return the images with all these labels."""

    async def remove_image(self, tag: str) -> bool:
        """Take a tag away, and the image with its last one; False if a container uses it. A missing one is fine."""

    async def disk(self) -> EngineDisk:
        """Return what takes room; it may take seconds."""

    async def prune_cache(self) -> int:
        """Remove what nothing uses of the build cache; return how many bytes that was."""

    async def create_volume(self, name: str, labels: Mapping[str, str]) -> str:
        """Create a volume unless it is there; return its directory as the engine's host calls it.

        That lies on a mount which shares with the host what containers mount there, whatever the host's others do.
        """

    async def volumes(self, labels: Mapping[str, str]) -> "Sequence[str]":
        """Return the names of the volumes with all these labels."""

    async def remove_volume(self, name: str) -> None:
        """Remove a volume with what is in it; a missing one is fine."""

    def events(self, labels: Mapping[str, str]) -> AsyncIterator[EngineEvent]:
        """Yield what happens to containers with these labels, for ever; reconnects by itself."""

    async def close(self) -> None:
        """Release connections and threads."""
