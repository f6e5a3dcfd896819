"""A running app, and what apps ask of the rest of the service."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from wherry_proto.messages import Deployment, FunctionSpec
from wherry_service.apps.endpoints import Endpoints
from wherry_service.apps.plans import ReadyImage, server_of
from wherry_service.calls.call import Input
from wherry_service.calls.retry import RetryPolicy
from wherry_service.node.node import FoundContainer, Node
from wherry_service.pools.events import PoolEvents
from wherry_service.pools.plan import PoolPlan
from wherry_service.pools.pool import Pool
from wherry_service.pools.pools import Pools
from wherry_service.store.apps import AppRecord, AppStore, FunctionRecord

# Seconds that containers of a stopping app get to finish; its inputs were cancelled already.
STOP_GRACE_S = 5.0
# The same where exit hooks may run.
EXIT_HOOKS_GRACE_S = 30.0


class FunctionHost(Protocol):
    """Who serves functions: the dispatcher."""

    def open_function(
        self, plan: PoolPlan, retry: RetryPolicy, app_id: str, client_id: str, found: Sequence[FoundContainer] = ()
    ) -> None: ...
    def prepare_function(self, plan: PoolPlan, watcher: PoolEvents[Input], standing: int) -> Pool[Input]: ...
    def switch_function(
        self, pool: Pool[Input], retry: RetryPolicy, app_id: str, client_id: str, grace_s: float
    ) -> None: ...
    def replace_function(
        self, plan: PoolPlan, retry: RetryPolicy, app_id: str, client_id: str, grace_s: float
    ) -> None: ...
    def tune_function(self, plan: PoolPlan, retry: RetryPolicy) -> None: ...
    async def close_function(self, function_id: str, grace_s: float, why: str) -> int: ...
    def is_working(self, function_id: str) -> bool: ...


class AppObjects(Protocol):
    """What apps have beside functions (see objects/)."""

    async def check_volumes(self, volume_ids: Sequence[str], environment: str) -> None: ...
    async def check_secrets(self, secret_ids: Sequence[str], environment: str) -> None: ...
    async def secret_values(self, secret_ids: Sequence[str]) -> Mapping[str, str]: ...
    async def app_gone(self, app_id: str) -> None: ...


class AppSandboxes(Protocol):
    """The sandboxes that belong to apps."""

    def has_app(self, app_id: str) -> bool: ...
    async def end_app(self, app_id: str, why: str) -> int: ...


class AppSchedules(Protocol):
    """What runs functions by the clock."""

    async def app_started(self, app_id: str, functions: Iterable[tuple[str, FunctionSpec]]) -> None: ...
    async def app_stopped(self, app_id: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Beside:
    """What apps are given of the rest of the service."""

    store: AppStore
    host: FunctionHost
    pools: Pools[Input]
    node: Node
    ready_image: ReadyImage
    objects: AppObjects
    sandboxes: AppSandboxes
    schedules: AppSchedules
    endpoints: Endpoints
    # Begins to listen for requests.
    web_ready: Callable[[], Awaitable[None]]
    # Hears the id of an app whose containers are gone.
    on_stopped: Callable[[str], None]
    # Hears what must not appear in an app's log.
    mask: Callable[[str, Iterable[str]], None]


class App:
    """A running app."""

    def __init__(self, record: AppRecord) -> None:
        self.record = record
        self.functions: dict[str, FunctionRecord] = {}
        # The version that serves, once it is deployed.
        self.deployment: Deployment | None = None
        # Functions that the version that serves does not have, while they finish what they were asked.
        self.leaving: set[str] = set()
        # Whether it is detached and its client is gone: it ends with its last call.
        self.orphaned = False
        # In which version which revision of a function served last: containers of an earlier one finish what they run.
        self.served: dict[tuple[str, str], int] = {}
        self.lock = asyncio.Lock()
        # Set once it is being stopped.
        self.stopping: asyncio.Task[tuple[int, list[str]]] | None = None

    @property
    def bases(self) -> list[FunctionRecord]:
        """Its functions, without their variants."""
        return [record for record in self.functions.values() if not record.base_id]

    def stop_ended(self, task: asyncio.Task[tuple[int, list[str]]]) -> None:
        """Let it be tried again where it failed."""
        if task.cancelled() or task.exception() is not None:
            self.stopping = None

    def __str__(self) -> str:
        return f"app {self.record.name!r} ({self.record.app_id})"


def grace_of(record: FunctionRecord) -> float:
    """Return the seconds that a function's containers get to end when what they run is not wanted any more."""
    server = server_of(record.spec)
    if server is not None:
        return EXIT_HOOKS_GRACE_S + max(STOP_GRACE_S, server.exit_grace_s)
    return EXIT_HOOKS_GRACE_S if record.spec.methods else STOP_GRACE_S
