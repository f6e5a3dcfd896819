"""Secrets, dicts and queues: what they have in common is being opened, listed and deleted."""

from collections.abc import Awaitable, Callable, Sequence

from wherry_proto.messages import (
    ObjectDeleteRequest,
    ObjectInfo,
    ObjectListRequest,
    ObjectListResponse,
    ObjectOpenRequest,
    VolumeRenameRequest,
)
from wherry_service.api.dicts import DictApi
from wherry_service.api.queues import QueueApi
from wherry_service.api.rpc import Handler, handlers_of, rpc
from wherry_service.api.rules import ANY, FIELD, INVOKE, OPEN, Inside
from wherry_service.api.secrets import SecretApi
from wherry_service.api.volumes import VolumeApi
from wherry_service.apps.register import AppRegister
from wherry_service.calls.client import Clients
from wherry_service.errors import InvalidRequest
from wherry_service.ids import check_id
from wherry_service.objects.objects import Objects
from wherry_service.objects.register import ObjectRegister
from wherry_service.store.objects import ObjectRecord

Counts = Callable[[Sequence[str]], Awaitable[dict[str, int]]]


def object_handlers(objects: Objects, apps: AppRegister, clients: Clients) -> dict[str, Handler]:
    """Return the methods of all objects."""
    register, volumes = objects.register, objects.volumes
    return {
        **handlers_of(SecretApi(objects.secrets, apps)),
        **handlers_of(DictApi(objects.dicts)),
        **handlers_of(QueueApi(objects.queues)),
        **handlers_of(VolumeApi(volumes)),
        **handlers_of(ObjectApi("dict", register, apps, clients, objects.dicts.counts), "Dicts"),
        **handlers_of(ObjectApi("queue", register, apps, clients, objects.queues.counts), "Queues"),
        **handlers_of(VolumeNames("volume", register, apps, clients, _uncounted), "Volumes"),
        **handlers_of(VolumeNames("nfs", register, apps, clients, _uncounted), "NetworkFileSystems"),
    }


class ObjectApi:
    """Serves one kind of objects by name: what they have in common."""

    def __init__(
        self, kind: str, register: ObjectRegister, apps: AppRegister, clients: Clients, counts: Counts
    ) -> None:
        self._kind = kind
        self._register = register
        self._apps = apps
        self._clients = clients
        self._counts = counts

    # By whom functions are published, too: they name what they use.
    @rpc("*.Open", ANY, OPEN, inside=Inside.ENVIRONMENT)
    async def open(self, request: ObjectOpenRequest) -> ObjectInfo:
        if request.object_id:
            return info_of(await self._register.get(self._kind, request.object_id))
        environment = request.environment
        if request.app_id:
            environment = self._apps.info(check_id(request.app_id, "ap", "app id")).environment
        if request.client_id:
            self._clients.expect(check_id(request.client_id, "cl", "client id"))
        record = await self._register.open(
            self._kind, request.name, environment, request.create, request.app_id, request.client_id
        )
        return info_of(record)

    @rpc("*.List", ANY, FIELD, inside=Inside.ENVIRONMENT)
    async def list(self, request: ObjectListRequest) -> ObjectListResponse:
        records = await self._register.list(self._kind, request.environment)
        counts = await self._counts([record.object_id for record in records])
        return ObjectListResponse(objects=[info_of(record, counts.get(record.object_id, 0)) for record in records])

    @rpc("*.Delete", INVOKE, ("object_id",), audited=True, inside=Inside.ENVIRONMENT)
    async def delete(self, request: ObjectDeleteRequest) -> ObjectInfo:
        return info_of(await self._register.delete(self._kind, request.object_id))


class VolumeNames(ObjectApi):
    """Serves volumes, or network file systems, but for their files."""

    async def delete(self, request: ObjectDeleteRequest) -> ObjectInfo:
        """Delete one, unless a running app has it in its containers."""
        record = await self._register.get(self._kind, request.object_id)
        users = self._apps.users_of_volume(request.object_id) if record.is_named and not request.force else []
        if users:
            raise InvalidRequest(
                f"{self._kind} {record.name!r} is in the containers of {', '.join(users)}: stop that first, or "
                f"delete it with `wherry {self._kind} delete --force`"
            )
        return await super().delete(request)

    @rpc("*.Rename", INVOKE, ("volume_id",), audited=True, inside=Inside.ENVIRONMENT)
    async def rename(self, request: VolumeRenameRequest) -> ObjectInfo:
        return info_of(await self._register.rename(self._kind, request.volume_id, request.name))


async def _uncounted(object_ids: Sequence[str]) -> dict[str, int]:
    return {}


def info_of(record: ObjectRecord, num_items: int = 0) -> ObjectInfo:
    return ObjectInfo(
        object_id=record.object_id,
        name=record.name if record.is_named else "",
        environment=record.environment,
        created_at_ms=record.created_at_ms,
        num_items=num_items,
    )
