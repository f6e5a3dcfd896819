"""Apps with what they need of the rest of the service: nothing beside them, unless a test says so."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from wherry_proto.messages import FunctionSpec
from wherry_service.apps.app import Beside, FunctionHost
from wherry_service.apps.apps import Apps
from wherry_service.apps.endpoints import Endpoints, Site
from wherry_service.node.node import Node
from wherry_service.pools.pools import Pools
from wherry_service.store.apps import AppStore


class NoObjects:
    """Any secret and volume is there, and empty (implements `apps.AppObjects`)."""

    async def check_volumes(self, volume_ids: Sequence[str], environment: str) -> None: ...
    async def check_secrets(self, secret_ids: Sequence[str], environment: str) -> None: ...
    async def app_gone(self, app_id: str) -> None: ...

    async def secret_values(self, secret_ids: Sequence[str]) -> Mapping[str, str]:
        return {}


class NoSandboxes:
    """No app has one (implements `apps.AppSandboxes`)."""

    def has_app(self, app_id: str) -> bool:
        return False

    async def end_app(self, app_id: str, why: str) -> int:
        return 0


class NoSchedules:
    """Nothing runs by the clock (implements `apps.AppSchedules`)."""

    async def app_started(self, app_id: str, functions: Iterable[tuple[str, FunctionSpec]]) -> None: ...
    async def app_stopped(self, app_id: str) -> None: ...


async def one_image(image_id: str) -> str:
    """Return what the engine calls an image: there is one."""
    return "image"


async def no_secrets(secret_ids: Sequence[str]) -> Mapping[str, str]:
    """Return what secrets hold: nothing."""
    return {}


def apps_of(store: AppStore, host: FunctionHost, pools: Pools, node: Node, **others: Any) -> Apps:
    """Return apps of these; `others` are fields of `Beside`."""
    return Apps(Beside(store, host, pools, node, **{**_others(), **others}))


def _others() -> dict[str, Any]:
    async def listens() -> None: ...

    return {
        "ready_image": one_image,
        "objects": NoObjects(),
        "sandboxes": NoSandboxes(),
        "schedules": NoSchedules(),
        "endpoints": Endpoints(Site()),
        "web_ready": listens,
        "on_stopped": lambda app_id: None,
        "mask": lambda app_id, values: None,
    }
