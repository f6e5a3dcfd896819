"""All objects of the service: made by name, gone with whom they belong to."""

import time
from collections.abc import Callable, Mapping, Sequence

from wherry_service.objects.dicts import Dicts
from wherry_service.objects.keys import Keys
from wherry_service.objects.leftovers import GRACE_S, Leftovers
from wherry_service.objects.queues import Queues
from wherry_service.objects.register import ObjectRegister
from wherry_service.objects.secrets import Secrets
from wherry_service.objects.volumes import Volumes
from wherry_service.store import answers
from wherry_service.store.blobs import BlobStore
from wherry_service.store.database import Database
from wherry_service.store.dicts import DictStore
from wherry_service.store.objects import ObjectStore
from wherry_service.store.queues import QueueStore
from wherry_service.store.secrets import SecretStore
from wherry_service.store.volumes import VolumeStore


class Objects:
    """What programs share beside calls (implements `apps.AppObjects`)."""

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        keys: Keys,
        volumes: VolumeStore,
        now: Callable[[], float] = time.time,
        blob_grace_s: float = GRACE_S,
    ) -> None:
        self._database = database
        self._store = ObjectStore(database)
        self._now = now
        self.leftovers = Leftovers(blobs, blob_grace_s)
        self.register = ObjectRegister(self._store, self.leftovers, now)
        self.secrets = Secrets(SecretStore(database), self._store, keys, now)
        self.dicts = Dicts(DictStore(database), self.register, self.leftovers, now)
        self.volumes = Volumes(volumes, self.register)
        self.queues = Queues(QueueStore(database), self.register, self.leftovers, now)

    # For apps

    async def check_secrets(self, secret_ids: Sequence[str], environment: str) -> None:
        """Raise `NotFound` unless all of these are secrets of that environment."""
        await self.secrets.check(secret_ids, environment)

    async def check_volumes(self, volume_ids: Sequence[str], environment: str) -> None:
        """Raise `NotFound` unless all of these are volumes of that environment."""
        await self.volumes.check(volume_ids, environment)

    async def secret_values(self, secret_ids: Sequence[str]) -> Mapping[str, str]:
        """Return what a container gets of these secrets."""
        return await self.secrets.values(secret_ids)

    async def secret_values_of(self, secret_ids: Sequence[str], environment: str) -> Mapping[str, str]:
        """Return the values of these secrets; raise `NotFound` unless all are of that environment."""
        await self.secrets.check(secret_ids, environment)
        return await self.secrets.values(secret_ids)

    async def app_gone(self, app_id: str) -> None:
        """Delete what an app had as its own."""
        await self.register.app_gone(app_id)

    # For environments

    async def end_environment(self, environment: str) -> None:
        """Delete all objects of an environment."""
        for record in await self._store.all_in(environment):
            await self.register.delete_any(record.object_id)

    def environment_renamed(self, name: str, new_name: str) -> None:
        """Hear that an environment is called otherwise now."""
        self.register.environment_renamed(name, new_name)

    # For the service

    async def blob_ids(self) -> set[str]:
        """Return the blobs that values lie in."""
        return await self._store.blob_ids()

    async def expire(self) -> None:
        """Delete what has expired."""
        await self.dicts.expire()
        await self.queues.expire()
        self.leftovers.drop(await answers.forget(self._database, int(self._now() * 1000)))
