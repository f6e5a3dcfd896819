"""Which dicts and queues code inside a container reaches: those of its own environment."""

from collections.abc import AsyncIterator
from typing import Any

from wherry_proto import services
from wherry_proto.messages import ObjectListRequest, ObjectOpenRequest
from wherry_service.api.local import Handler
from wherry_service.apps.apps import Apps
from wherry_service.errors import InvalidRequest, NotFound
from wherry_service.objects.registry import Registry

OF_OBJECTS = tuple(
    name for name in services.METHODS if name.startswith(("Dicts.", "Queues.", "Volumes.", "NetworkFileSystems."))
)


class GuestObjects:
    """Restricts the methods of objects for the containers of one app."""

    def __init__(self, registry: Registry, apps: Apps, app_id: str) -> None:
        self._registry = registry
        self._apps = apps
        self._app_id = app_id

    def restricted(self, name: str, handler: Handler) -> Handler:
        """Return the method as a container may call it."""
        group, _, verb = name.partition(".")
        kind = {"NetworkFileSystems": "nfs"}.get(group) or group.lower().removesuffix("s")
        call: Any = handler

        async def open_one(request: ObjectOpenRequest) -> object:
            if request.object_id:
                await self._check(kind, request.object_id)
                return await call(request)
            request.environment = self._environment(request.environment)
            if request.app_id or not request.name:
                # Its app's own, whatever it says; one without a name goes with the app too.
                request.app_id, request.client_id = self._app_id, ""
            return await call(request)

        async def list_own(request: ObjectListRequest) -> object:
            request.environment = self._environment(request.environment)
            return await call(request)

        async def of_object(request: Any) -> object:
            await self._check(kind, _id_in(request, kind))
            return await call(request)

        async def stream_of_object(request: Any) -> AsyncIterator[object]:
            await self._check(kind, _id_in(request, kind))
            async for message in call(request):
                yield message

        async def upload_to_object(requests: AsyncIterator[Any]) -> object:
            async def checked() -> AsyncIterator[Any]:
                known: set[str] = set()
                async for request in requests:
                    object_id = _id_in(request, kind)
                    if object_id not in known:
                        await self._check(kind, object_id)
                        known.add(object_id)
                    yield request

            return await call(checked())

        if verb == "Open":
            return open_one
        if verb == "List":
            return list_own
        if services.METHODS[name].client_stream:
            return upload_to_object
        return stream_of_object if services.METHODS[name].server_stream else of_object

    def _environment(self, asked: str) -> str:
        own = self._apps.info(self._app_id).environment
        if asked and asked != own:
            raise InvalidRequest(f"this container belongs to environment {own!r} and can't reach {asked!r}")
        return own

    async def _check(self, kind: str, object_id: str) -> None:
        if kind == "volume" and object_id.startswith("sv-"):
            kind = "nfs"  # their files are reached by the same methods
        record = await self._registry.get(kind, object_id)
        if record.environment != self._apps.info(self._app_id).environment:
            # As one that is not there.
            raise NotFound(f"{kind} {object_id} does not exist: it was deleted, or never was")


def _id_in(request: Any, kind: str) -> str:
    found: str = (
        getattr(request, "object_id", "") or getattr(request, f"{kind}_id", "") or getattr(request, "volume_id", "")
    )
    return found
