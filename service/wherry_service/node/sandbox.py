"""What the control plane sees of a host's sandboxes: containers without a runner."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from wherry_service.engines.engine import Gpu
from wherry_service.node.events import ContainerExit
from wherry_service.node.node import BucketOrder, VolumeOrder

EVERYWHERE = "0.0.0.0/0"


@dataclass(frozen=True, slots=True)
class Outbound:
    """What a sandbox may reach, and nothing else: networks, and domains over TLS and HTTP."""

    networks: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()

    @property
    def reaches_all(self) -> bool:
        """Whether any address is on the list."""
        return EVERYWHERE in self.networks

    def has(self, domain: str) -> bool:
        """Whether a domain is on the list, itself or as one below another."""
        name = domain.lower().removesuffix(".")
        if not all(name.split(".")):
            return False
        return any(
            one in ("*", name) or (one.startswith("*.") and name.endswith(one[1:]) and name != one[2:])
            for one in self.domains
        )


# large: what a sandbox is made of, as one flat row.
@dataclass(frozen=True, slots=True)
class SandboxOrder:
    """A sandbox to be made."""

    sandbox_id: str
    app_id: str
    # The image's reference, for the engine.
    image: str
    # Empty: the image's own.
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    # Variables too, which the engine is not told.
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    # Nothing of the image's runs.
    only_waits: bool = False
    # "": the image's.
    workdir: str = ""
    cpu_limit: float | None = None
    cpu_request: float | None = None
    memory_limit_mib: int | None = None
    memory_request_mib: int | None = None
    disk_limit_mib: int | None = None
    gpus: Sequence[Gpu] = ()
    # Those that it was given of them, by id.
    gpu_ids: Sequence[str] = ()
    block_network: bool = False
    outbound: Outbound | None = None
    pty: bool = False
    # The OCI runtime; "": the engine's default.
    runtime: str = ""
    pids_limit: int | None = None
    # Source trees that appear in it: (place, tree, whether it is the tree's only file).
    trees: Sequence[tuple[str, str, bool]] = ()
    # The same, copied into it before it starts.
    copied_trees: Sequence[tuple[str, str, bool]] = ()
    volumes: Sequence[VolumeOrder] = ()
    buckets: Sequence[BucketOrder] = ()
    # MiB of each sandbox's output that is kept at least.
    log_mib: int = 1


@dataclass(frozen=True, slots=True)
class FoundSandbox:
    """A sandbox of an earlier life of the service; `exit` is how it has ended meanwhile, None while it runs."""

    sandbox_id: str
    exit: ContainerExit | None = None
    paused: bool = False
    # The GPUs that it has.
    gpu_ids: tuple[str, ...] = ()


class SandboxNode(Protocol):
    """One host's sandboxes. What asks the engine raises `EngineError`."""

    # Hears of each end, once: (sandbox id, how).
    on_exit: Callable[[str, ContainerExit], None]

    async def start(self, order: SandboxOrder) -> None:
        """Make a sandbox; when this returns its command runs."""

    async def find(self) -> list[FoundSandbox]:
        """List those that the engine has, and follow them from here on."""

    async def kill(self, sandbox_id: str) -> None:
        """End it now; `on_exit` follows, also where the engine says nothing."""

    async def remove(self, sandbox_id: str) -> None:
        """Remove what is left of it, now or when the engine answers again."""

    def output(self, sandbox_id: str, stream: int, follow: bool) -> AsyncIterator[bytes]:
        """Yield what its command has printed on stream 1 or 2; if followed, until it ends."""

    async def write(self, sandbox_id: str, data: bytes, eof: bool) -> None:
        """Write to its command's standard input."""

    async def run(self, sandbox_id: str, command: tuple[str, ...], env: Mapping[str, str]) -> tuple[int | None, bytes]:
        """Run a short command in it; return its exit code, None where it is not known, and what it printed first."""

    def engine_id(self, sandbox_id: str) -> str:
        """Return the engine's id for it."""

    async def address(self, sandbox_id: str) -> str:
        """Return the address at which this host reaches it; "" if there is none."""

    async def set_outbound(self, sandbox_id: str, outbound: Outbound) -> None:
        """Have another list hold for one that was made with one, or of an earlier life."""

    async def pause(self, sandbox_id: str) -> None:
        """Stop its processes where they are."""

    async def resume(self, sandbox_id: str) -> None:
        """Have them go on."""

    async def snapshot(self, sandbox_id: str, image_id: str, path: str, labels: Mapping[str, str]) -> None:
        """Make an image of its file system, or of a directory of it, as if it had been built; with labels besides."""

    async def mount(self, sandbox_id: str, place: str, image: str) -> None:
        """Have the files of an image at a place; what was there is kept aside. Raises `InvalidRequest`."""

    async def unmount(self, sandbox_id: str, place: str) -> None:
        """Have there again what was there before; raise `InvalidRequest` where nothing was mounted."""

    async def close(self) -> None:
        """Release what the node holds; sandboxes are left as they are."""
