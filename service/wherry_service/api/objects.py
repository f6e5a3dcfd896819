"""Secrets, dicts and queues: what they have in common is being opened, listed and deleted."""

from collections.abc import Awaitable, Callable, Sequence

from wherry_proto.messages import (
    ObjectDeleteRequest,
    ObjectInfo,
    ObjectListRequest,
    ObjectListResponse,
    ObjectOpenRequest,
)
from wherry_service.api.dicts import DictApi
from wherry_service.api.edge import Handler
from wherry_service.api.queues import QueueApi
from wherry_service.api.secrets import SecretApi
from wherry_service.api.volumes import VolumeApi
from wherry_service.apps.register import AppRegister
from wherry_service.calls.client import Clients
from wherry_service.ids import check_id
from wherry_service.objects.objects import Objects
from wherry_service.objects.registry import Registry
from wherry_service.store.objects import ObjectRecord

Counts = Callable[[Sequence[str]], Awaitable[dict[str, int]]]


def object_handlers(objects: Objects, apps: AppRegister, clients: Clients) -> dict[str, Handler]:
    """Return the methods of all objects."""
    secrets = SecretApi(objects.secrets, apps)
    dict_names = ObjectApi("dict", objects.registry, apps, clients, objects.dicts.counts)
    queue_names = ObjectApi("queue", objects.registry, apps, clients, objects.queues.counts)
    dicts, queues = DictApi(objects.dicts), QueueApi(objects.queues)
    volume_handlers: dict[str, Handler] = {}
    if objects.volumes is not None:
        served = VolumeApi(objects.volumes, apps)
        for kind, group in (("volume", "Volumes"), ("nfs", "NetworkFileSystems")):
            names = ObjectApi(kind, objects.registry, apps, clients, _uncounted)
            volume_handlers |= {
                f"{group}.Open": names.open,
                f"{group}.List": names.list,
                f"{group}.Delete": served.deleting(kind, names.delete),
                f"{group}.Rename": served.renaming(kind, info_of),
            }
        volume_handlers |= served.handlers()
    return {
        **volume_handlers,
        "Secrets.Create": secrets.create,
        "Secrets.Lookup": secrets.lookup,
        "Secrets.List": secrets.list,
        "Secrets.Delete": secrets.delete,
        "Secrets.Rotate": secrets.rotate,
        "Dicts.Open": dict_names.open,
        "Dicts.List": dict_names.list,
        "Dicts.Delete": dict_names.delete,
        "Dicts.Get": dicts.get,
        "Dicts.Put": dicts.put,
        "Dicts.Pop": dicts.pop,
        "Dicts.Count": dicts.count,
        "Dicts.Clear": dicts.clear,
        "Dicts.Scan": dicts.scan,
        "Queues.Open": queue_names.open,
        "Queues.List": queue_names.list,
        "Queues.Delete": queue_names.delete,
        "Queues.Put": queues.put,
        "Queues.Get": queues.get,
        "Queues.Acknowledge": queues.acknowledge,
        "Queues.Cancel": queues.cancel,
        "Queues.Count": queues.count,
        "Queues.Clear": queues.clear,
        "Queues.Scan": queues.scan,
    }


class ObjectApi:
    """Serves one kind of objects."""

    def __init__(self, kind: str, registry: Registry, apps: AppRegister, clients: Clients, counts: Counts) -> None:
        self._kind = kind
        self._registry = registry
        self._apps = apps
        self._clients = clients
        self._counts = counts

    async def open(self, request: ObjectOpenRequest) -> ObjectInfo:
        if request.object_id:
            return info_of(await self._registry.get(self._kind, request.object_id))
        environment = request.environment
        if request.app_id:
            environment = self._apps.info(check_id(request.app_id, "ap", "app id")).environment
        if request.client_id:
            self._clients.expect(check_id(request.client_id, "cl", "client id"))
        record = await self._registry.open(
            self._kind, request.name, environment, request.create, request.app_id, request.client_id
        )
        return info_of(record)

    async def list(self, request: ObjectListRequest) -> ObjectListResponse:
        records = await self._registry.list(self._kind, request.environment)
        counts = await self._counts([record.object_id for record in records])
        return ObjectListResponse(objects=[info_of(record, counts.get(record.object_id, 0)) for record in records])

    async def delete(self, request: ObjectDeleteRequest) -> ObjectInfo:
        return info_of(await self._registry.delete(self._kind, request.object_id))


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
