"""A node whose sandboxes are entries in a dict (implements `sandbox.SandboxNode`), a store like it, and both in use."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.fakes.host import host_of
from wherry_proto.messages import SandboxCreateRequest, SandboxSpec
from wherry_service.engines.engine import EngineError
from wherry_service.errors import InvalidRequest, NotFound
from wherry_service.ids import new_id
from wherry_service.node.events import ContainerExit
from wherry_service.node.sandbox import FoundSandbox, Outbound, SandboxOrder
from wherry_service.pools.capacity import Capacity
from wherry_service.sandboxes.sandboxes import Sandboxes
from wherry_service.sandboxes.settings import SandboxSettings
from wherry_service.store.sandboxes import SandboxRecord

IMAGE = "im-" + "a" * 26


class FakeSandboxNode:
    """Remembers what it is asked; `exit` ends a sandbox as its own command would."""

    def __init__(self) -> None:
        self.on_exit: Callable[[str, ContainerExit], None] = lambda sandbox_id, exit: None
        self.orders: dict[str, SandboxOrder] = {}
        self.running: set[str] = set()
        self.found: list[FoundSandbox] = []
        self.printed: dict[tuple[str, int], bytes] = {}
        self.typed: list[tuple[bytes, bool]] = []
        self.removed: list[str] = []
        self.paused: set[str] = set()
        self.outbound: dict[str, Outbound] = {}
        self.snapshots: list[tuple[str, str]] = []
        # Of each snapshot: the directory, and the labels.
        self.labels: list[tuple[str, dict[str, str]]] = []
        self.mounted: dict[str, str] = {}
        self.start_error: Exception | None = None
        # What short commands answer, one after the other; then that they failed.
        self.answers: list[tuple[int | None, bytes] | Exception] = []
        self.commands: list[tuple[tuple[str, ...], dict[str, str]]] = []
        self.own_address = "127.0.0.1"
        self.reachable = True
        self.hold = asyncio.Event()
        self.hold.set()

    def exit(self, sandbox_id: str, exit: ContainerExit) -> None:
        self.running.discard(sandbox_id)
        self.on_exit(sandbox_id, exit)

    async def start(self, order: SandboxOrder) -> None:
        await self.hold.wait()
        if self.start_error is not None:
            raise self.start_error
        self.orders[order.sandbox_id] = order
        self.running.add(order.sandbox_id)

    async def find(self) -> list[FoundSandbox]:
        if not self.reachable:
            raise EngineError("the fake was told not to answer")
        self.running |= {item.sandbox_id for item in self.found if item.exit is None}
        return self.found

    async def kill(self, sandbox_id: str) -> None:
        self.exit(sandbox_id, ContainerExit(exit_code=137))

    async def remove(self, sandbox_id: str) -> None:
        self.running.discard(sandbox_id)
        self.removed.append(sandbox_id)

    async def output(self, sandbox_id: str, stream: int, follow: bool) -> AsyncIterator[bytes]:
        if sandbox_id in self.removed:
            raise EngineError("it has no container any more")
        for byte in self.printed.get((sandbox_id, stream), b""):
            yield bytes([byte])

    async def write(self, sandbox_id: str, data: bytes, eof: bool) -> None:
        self.typed.append((data, eof))

    def engine_id(self, sandbox_id: str) -> str:
        return f"engine-{sandbox_id}"

    async def run(self, sandbox_id: str, command: tuple[str, ...], env: Mapping[str, str]) -> tuple[int | None, bytes]:
        self.commands.append((command, dict(env)))
        answer = self.answers.pop(0) if self.answers else (1, b"")
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def set_outbound(self, sandbox_id: str, outbound: Outbound) -> None:
        if self.start_error is not None:
            raise self.start_error
        self.outbound[sandbox_id] = outbound

    async def pause(self, sandbox_id: str) -> None:
        if self.start_error is not None:
            raise self.start_error
        self.paused.add(sandbox_id)

    async def resume(self, sandbox_id: str) -> None:
        self.paused.discard(sandbox_id)

    async def address(self, sandbox_id: str) -> str:
        return self.own_address

    async def snapshot(self, sandbox_id: str, image_id: str, path: str, labels: Mapping[str, str]) -> None:
        self.snapshots.append((sandbox_id, image_id))
        self.labels.append((path, dict(labels)))

    async def mount(self, sandbox_id: str, place: str, image: str) -> None:
        self.mounted[place] = image

    async def unmount(self, sandbox_id: str, place: str) -> None:
        if self.mounted.pop(place, None) is None:
            raise InvalidRequest(f"no image is mounted at {place}")

    async def close(self) -> None:
        """Nothing is held."""


class NoLists:
    """In place of `node.outbound.Outbounds`, where no sandbox has a list."""

    async def leave(self, sandbox_id: str) -> None:
        """It was never there."""

    def close(self) -> None:
        """Nothing is open."""


class FakeSandboxStore:
    """Keeps records in memory (in place of `store.sandboxes.SandboxStore`)."""

    def __init__(self) -> None:
        self.records: dict[str, SandboxRecord] = {}

    async def add(self, record: SandboxRecord) -> None:
        self.records[record.sandbox_id] = record

    async def change(self, record: SandboxRecord) -> None:
        self.records[record.sandbox_id] = record

    async def remove(self, sandbox_id: str) -> None:
        self.records.pop(sandbox_id, None)

    async def get(self, sandbox_id: str) -> SandboxRecord | None:
        return self.records.get(sandbox_id)

    async def running(self) -> list[SandboxRecord]:
        return [record for record in self.records.values() if not record.ended_at_ms]

    async def ended(self, environment: str, limit: int = 100) -> list[SandboxRecord]:
        return [record for record in self.records.values() if record.ended_at_ms]

    async def latest(self, name: str, app_name: str, environment: str) -> SandboxRecord | None:
        found = [r for r in self.records.values() if r.ended_at_ms and (r.name, r.app_name) == (name, app_name)]
        return max(found, key=lambda record: record.ended_at_ms, default=None)

    async def expire(self, before_ms: int) -> list[str]:
        old = [key for key, record in self.records.items() if 0 < record.ended_at_ms < before_ms]
        for key in old:
            del self.records[key]
        return old


class FakeImages:
    """Knows images by their ids alone (implements `beginning.SandboxImages`)."""

    def __init__(self) -> None:
        self.adopted: list[str] = []

    def reference(self, wanted: str) -> str:
        return f"image-{wanted}"

    async def ready(self, wanted: str) -> str:
        return self.reference(wanted)

    async def adopt(self, wanted: str, environment: str = "main") -> None:
        self.adopted.append(wanted)


class House:
    """Sandboxes on a fake node and a store that a second life can share."""

    def __init__(
        self,
        directory: Path,
        store: FakeSandboxStore | None = None,
        capacity: Capacity | None = None,
        settings: SandboxSettings | None = None,
    ) -> None:
        self.node = FakeSandboxNode()
        self.store = store or FakeSandboxStore()
        self.images = FakeImages()
        self.capacity = capacity or host_of(4, 4096)
        self.secrets: dict[str, dict[str, str]] = {}
        self.volumes: set[str] = set()
        self.sandboxes = Sandboxes(
            self.store, self.node, self.capacity, self.images, directory, settings or SandboxSettings(), self
        )

    async def secret_values_of(self, secret_ids: Sequence[str], environment: str) -> dict[str, str]:
        assert environment == "main"
        values: dict[str, str] = {}
        for secret_id in secret_ids:
            if secret_id not in self.secrets:
                raise NotFound(f"secret {secret_id} was deleted")
            values |= self.secrets[secret_id]
        return values

    async def check_volumes(self, volume_ids: Sequence[str], environment: str) -> None:
        assert environment == "main"
        if missing := set(volume_ids) - self.volumes:
            raise NotFound(f"volume {missing.pop()} does not exist: it was deleted, or never was")

    async def create(self, name: str = "", app: str = "", **options: Any) -> str:
        options = {"command": ["true"], "image_id": IMAGE, "timeout_s": 300, **options}
        tags = options.pop("tags", {})
        request = SandboxCreateRequest(
            sandbox_id=new_id("sb"), app_id=app, name=name, tags=tags, spec=SandboxSpec(**options)
        )
        return (await self.sandboxes.create(request, "app" if app else "", "main")).sandbox_id
