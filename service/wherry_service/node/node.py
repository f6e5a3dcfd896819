"""The `Node` interface: one host's containers as the pools see them, wherever that host is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from wherry_proto.messages import Payload, WebSpec
from wherry_service.engines.engine import Gpu
from wherry_service.node.events import Hearer

C = TypeVar("C")


# large: what a runner is told of its function, as one flat row.
@dataclass(frozen=True, slots=True)
class LoadOrder:
    """What a container runs: the contents of the runner's `load` frame."""

    app_id: str
    function_id: str
    name: str
    module_name: str
    qualname: str
    serialized: bytes
    source_id: str
    is_generator: bool
    is_async: bool
    concurrency: int
    timeout_s: float
    startup_timeout_s: float
    env: Mapping[str, str] = field(default_factory=dict)
    # Of a class: its methods, each (name, is_generator, is_async), and the pickled arguments it is made with.
    methods: tuple[tuple[str, bool, bool], ...] = ()
    parameters: bytes = b""
    # "3.11": whose pickles `serialized` and `parameters` are.
    python: str = ""
    # Inputs that one run takes together; 0: the function is not batched.
    max_batch_size: int = 0
    # Milliseconds for which the first input of a batch waits for others.
    batch_wait_ms: int = 0
    # Files of a client that appear at places of their own: (place, source tree, whether it is the tree's only file).
    local_mounts: tuple[tuple[str, str, bool], ...] = ()
    # Whether environment variables from secrets come with a container's order.
    has_secrets: bool = False
    # What answers requests: its methods by name, "" being the function itself.
    web: Mapping[str, WebSpec] = field(default_factory=dict)
    # Equal for containers that can stand in for each other.
    revision: str = ""
    # The code is only imported, to see whether it can be: such a container takes no inputs.
    import_only: bool = False


@dataclass(frozen=True, slots=True)
class VolumeOrder:
    """A volume, or a directory of it, at a place in a container."""

    volume_id: str
    path: str
    read_only: bool = False
    # Relative to the volume's root; "": all of it.
    sub_path: str = ""


@dataclass(frozen=True, slots=True)
class BucketOrder:
    """A bucket of an S3-compatible store, or a part of it, at a place in a container."""

    bucket: str
    path: str
    # "https://HOST:PORT"; "": Amazon's.
    endpoint_url: str = ""
    # Ends with "/"; "": all of it.
    key_prefix: str = ""
    read_only: bool = False
    requester_pays: bool = False
    # As the AWS_ variables are called; none: the store is asked as by anyone.
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        return f"bucket {self.bucket!r}" + (f" at {self.endpoint_url}" if self.endpoint_url else "")


@dataclass(frozen=True, slots=True)
class ContainerOrder:
    """A container to be made: its image, limits and what it loads."""

    container_id: str
    image: str
    load: LoadOrder
    cpu_limit: float | None
    cpu_request: float | None
    memory_limit_mib: int | None
    memory_request_mib: int | None
    block_network: bool
    # MiB it may write; None: no limit.
    disk_limit_mib: int | None = None
    # Any one of these will do, the first is preferred.
    gpus: Sequence[Gpu] = ()
    # Those that it was given of them, by id.
    gpu_ids: Sequence[str] = ()
    volumes: Sequence[VolumeOrder] = ()
    buckets: Sequence[BucketOrder] = ()
    # What the container's processes have in their environment from the start: who and where they are.
    env: Mapping[str, str] = field(default_factory=dict)
    # Environment variables from secrets. They go over the container's socket: the engine never sees them.
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


class Assignment(Protocol):
    """An input as the node needs it."""

    @property
    def input_id(self) -> str: ...
    @property
    def shown_call_id(self) -> str: ...
    @property
    def payload(self) -> Payload: ...
    @property
    def method(self) -> str: ...
    @property
    def is_waiting(self) -> bool: ...
    @property
    def is_durable(self) -> bool: ...
    @property
    def stream(self) -> "Stream | None": ...


class Stream(Protocol):
    """What goes on with an input while it runs, both ways: the body of a request, of a response, messages."""

    def attach(self, container: "NodeContainer") -> None:
        """Hear that the input was handed to a container, perhaps after another has given it back."""

    def detach(self) -> None:
        """Hear that the container has given the input back unstarted."""

    def feed(self, header: dict[str, Any], part: bytes) -> None:
        """Hear what the container says; raise ValueError for what it may not say."""


class NodeContainer(Protocol):
    """A container on a node. Nothing here waits."""

    def send(self, inputs: Sequence[Assignment]) -> None:
        """Hand over inputs."""

    def cancel(self, input_ids: Sequence[str]) -> None:
        """Interrupt or drop inputs."""

    def recall(self) -> None:
        """Ask for the inputs that have not started."""

    def taken(self, rows: Sequence[tuple[str, int]]) -> None:
        """Say how far the caller has taken a generator's values."""

    def kept(self, input_ids: Sequence[str]) -> None:
        """Say that the answers of durable inputs are on disk, or of no use: it need not say them again."""

    def stream(self, input_id: str, header: dict[str, Any], part: bytes) -> None:
        """Say something on the stream of an input that it holds."""

    def drain(self) -> None:
        """Let it finish what it holds and exit."""

    def pause(self) -> None:
        """Read nothing more from it until `resume` was called as often as this."""

    def resume(self) -> None:
        """Read from it again."""

    def kill(self, reason: str) -> None:
        """End it now; `on_exit` follows with the reason."""

    def is_connected(self) -> bool:
        """Whether the runner's socket is open."""


@dataclass(frozen=True, slots=True)
class FoundContainer:
    """A container that an earlier life of the service left running."""

    container_id: str
    function_id: str
    # As it was ordered.
    revision: str = ""
    # The GPUs that it has.
    gpu_ids: tuple[str, ...] = ()


class Node(Protocol):
    """One host."""

    def start(self, order: ContainerOrder, hearer: Hearer[C]) -> NodeContainer:
        """Begin to make a container; `hearer` is told what becomes of it."""

    async def find(self) -> list[FoundContainer]:
        """List the running containers of an earlier life, and remove what is left of the others."""

    def adopt(self, found: FoundContainer, load: LoadOrder, hearer: Hearer[C]) -> NodeContainer:
        """Take over a found container: listen for its runner again."""

    async def discard(self, container_id: str) -> None:
        """Remove a found container that nobody wants."""

    async def left_over(self, label: str, value: str) -> list[str]:
        """Name the containers with that label which the engine still shows, though it was asked to remove them."""

    def known(self, label: str, value: str) -> list[str]:
        """Name the containers with that label that have not ended, as far as is known without asking the engine."""

    async def close(self) -> None:
        """End all containers and release what the node holds."""
