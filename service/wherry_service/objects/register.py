"""Which dicts and queues there are, and whose they are."""

import asyncio
import dataclasses
import time
from collections.abc import Callable

from wherry_service.errors import AlreadyExists, InvalidRequest, NotFound
from wherry_service.ids import check_id, new_id
from wherry_service.objects.leftovers import Leftovers
from wherry_service.objects.names import DEFAULT_ENVIRONMENT, check_name, not_there
from wherry_service.store.objects import ObjectRecord, ObjectStore

PREFIXES = {"dict": "di", "queue": "qu", "volume": "vo", "nfs": "sv"}


class ObjectRegister:
    """Finds, makes and deletes objects. Those in use are kept in memory."""

    def __init__(self, store: ObjectStore, leftovers: Leftovers, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._leftovers = leftovers
        self._now = now
        self._known: dict[str, ObjectRecord] = {}
        # Who hears that an object is gone.
        self.on_gone: list[Callable[[str], None]] = []

    async def open(
        self, kind: str, name: str, environment: str, create: bool, app_id: str = "", client_id: str = ""
    ) -> ObjectRecord:
        """Return the object of that name; made where `create` asks for it, else raise `NotFound`.

        Without a name: a new one, which goes with the app or client.
        """
        environment = environment or DEFAULT_ENVIRONMENT
        if not name:
            if not (app_id or client_id):
                raise InvalidRequest(f"a {kind} without a name belongs to an app or a client")
            return await self._add(kind, environment, "", app_id, client_id)
        check_name(kind, name)
        found = await self._store.find(kind, environment, name, app_id)
        if found is None:
            if not create:
                names = [record.name for record in await self._store.named(kind, environment)]
                raise NotFound(not_there(kind, name, environment, names))
            found = await self._add(kind, environment, name, app_id, client_id)
        self._known[found.object_id] = found
        return found

    async def get(self, kind: str, object_id: str) -> ObjectRecord:
        """Return an object by id; raise `NotFound`."""
        record = self._known.get(object_id)
        if record is None:
            check_id(object_id, PREFIXES[kind], f"{kind} id")
            record = await self._store.get(object_id)
            if record is None:
                raise NotFound(f"{kind} {object_id} does not exist: it was deleted, or never was")
            self._known[object_id] = record
        if record.kind != kind:
            raise NotFound(f"{object_id} is no {kind}")
        return record

    async def name_of(self, object_id: str) -> str:
        """Return the name of an object of any kind, a secret too; "" where it has none, or is gone."""
        record = self._known.get(object_id) or await self._store.get(object_id)
        return record.name if record is not None and record.is_named else ""

    async def exists(self, object_id: str) -> bool:
        """Whether there is an object of that id."""
        return object_id in self._known or await self._store.get(object_id) is not None

    async def list(self, kind: str, environment: str) -> list[ObjectRecord]:
        """Return those of an environment that have a name, by name."""
        return await self._store.named(kind, environment or DEFAULT_ENVIRONMENT)

    async def rename(self, kind: str, object_id: str, name: str) -> ObjectRecord:
        """Give an object that has a name another; raise `AlreadyExists` where another is called so."""
        record = await self.get(kind, object_id)
        if not record.is_named:
            raise InvalidRequest(f"{kind} {object_id} has no name, and goes with whom it belongs to")
        if not await self._store.rename(record, check_name(kind, name)):
            raise AlreadyExists(f"environment {record.environment!r} has a {kind} {name!r} already")
        renamed = dataclasses.replace(record, name=name)
        if object_id in self._known:
            self._known[object_id] = renamed
        return renamed

    async def delete(self, kind: str, object_id: str) -> ObjectRecord:
        """Delete an object with all it holds; raise `NotFound`."""
        record = await self.get(kind, object_id)
        # Not to be interrupted by a client that goes: it would be gone on disk and known here.
        await asyncio.shield(asyncio.ensure_future(self._delete(object_id)))
        return record

    async def restore(self, app_ids: set[str]) -> set[str]:
        """Delete what belonged to apps that are gone; return the clients that others belong to."""
        clients: set[str] = set()
        for record in await self._store.owned():
            if record.app_id and record.app_id not in app_ids:
                await self._delete(record.object_id)
            elif record.client_id:
                clients.add(record.client_id)
        return clients

    async def app_gone(self, app_id: str) -> None:
        """Delete what an app had as its own."""
        for record in await self._store.owned():
            if record.app_id == app_id:
                await self._delete(record.object_id)

    async def client_gone(self, client_id: str) -> None:
        """Delete what belonged to a client."""
        for record in await self._store.owned():
            if record.client_id == client_id:
                await self._delete(record.object_id)

    async def delete_any(self, object_id: str) -> None:
        """Delete an object of any kind, also a secret, unless it is gone."""
        await self._delete(object_id)

    def environment_renamed(self, name: str, new_name: str) -> None:
        """Hear that an environment is called otherwise now, on disk already."""
        for object_id, record in self._known.items():
            if record.environment == name:
                self._known[object_id] = dataclasses.replace(record, environment=new_name)

    async def _add(self, kind: str, environment: str, name: str, app_id: str, client_id: str) -> ObjectRecord:
        object_id = new_id(PREFIXES[kind])
        made = ObjectRecord(object_id, kind, environment, name or object_id, int(self._now() * 1000), app_id, client_id)
        record = await self._store.add(made)
        self._known[record.object_id] = record
        return record

    async def _delete(self, object_id: str) -> None:
        self._known.pop(object_id, None)
        _, blobs = await self._store.delete(object_id)
        self._known.pop(object_id, None)
        for tell in self.on_gone:
            tell(object_id)
        self._leftovers.add(blobs)
