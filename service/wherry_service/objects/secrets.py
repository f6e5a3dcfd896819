"""Secrets: encrypted while they lie here, given out only to containers and builds."""

import asyncio
import json
import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence

from wherry_service.errors import AlreadyExists, InvalidRequest, NotFound
from wherry_service.ids import new_id
from wherry_service.objects.keys import Keys
from wherry_service.objects.names import DEFAULT_ENVIRONMENT, check_name, not_there
from wherry_service.store.away import left_for_later
from wherry_service.store.objects import ObjectRecord, ObjectStore
from wherry_service.store.secrets import SecretRecord, SecretStore
from wherry_service.store.trouble import in_words

log = logging.getLogger(__name__)

KIND = "secret"
# Linux gives a program no variable that is longer than 128 KiB, with its name.
MAX_VALUE = 120 << 10
MAX_BYTES = 1 << 20
MAX_KEYS = 1000
# Seconds that a nameless secret stays unused: time enough to publish the function that it was made for.
KEEP_UNUSED_S = 600.0
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}\Z")


class Secrets:
    """All secrets of the service."""

    def __init__(
        self, store: SecretStore, objects: ObjectStore, keys: Keys, now: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._objects = objects
        self._keys = keys
        self._now = now
        # One at a time: what is encrypted with a key must not come while that key is being replaced.
        self._lock = asyncio.Lock()

    async def create(
        self, name: str, environment: str, values: Mapping[str, str], replace: bool = False
    ) -> SecretRecord:
        """Store a secret and return it; raise `AlreadyExists` for a name that is taken, `InvalidRequest` for nonsense.

        Without a name: return the equal one that is there, if there is. The same values under the same name are no
        error: whoever lost the answer asks again.
        """
        environment = environment or DEFAULT_ENVIRONMENT
        _check_values(values)
        if name:
            check_name(KIND, name)
        async with self._lock:
            first = not await self._store.all()
            text = json.dumps({"environment": environment, "values": dict(sorted(values.items()))}).encode()
            self._keys.encrypt(b"", first)  # makes the very first key
            digest, *earlier = self._keys.digests(text)
            known = await self._known(name, environment, [digest, *earlier])
            if known is not None and known.digest in (digest, *earlier):
                await self._store.replace([self._sealed(known.object, values, digest)])
                return await self.get(known.secret_id)
            if known is not None:
                if not replace:
                    raise AlreadyExists(
                        f"environment {environment!r} has a secret {name!r} already: choose another name, or replace "
                        "its values (on the command line with --force)"
                    )
                await self._store.replace([self._sealed(known.object, values, digest)])
                return await self.get(known.secret_id)
            secret_id = new_id("st")
            record = self._sealed(
                ObjectRecord(secret_id, KIND, environment, name or secret_id, self._now_ms()), values, digest
            )
            await self._store.add(record)
            return record

    async def update(self, name: str, environment: str, values: Mapping[str, str]) -> SecretRecord:
        """Add values to a secret, or replace those of the same names; raise `NotFound` or `InvalidRequest`."""
        _check_values(values)
        async with self._lock:
            known = await self.lookup(name, environment)
            merged = {**self._opened(known), **values}
            _check_values(merged)
            text = json.dumps(
                {"environment": known.object.environment, "values": dict(sorted(merged.items()))}
            ).encode()
            await self._store.replace([self._sealed(known.object, merged, self._keys.digest(text))])
            return await self.get(known.secret_id)

    async def get(self, secret_id: str) -> SecretRecord:
        """Return a secret by id; raise `NotFound`."""
        found = (await self._store.get([secret_id])).get(secret_id)
        if found is None:
            raise NotFound(f"secret {secret_id[:64]} does not exist: it was deleted, or never was")
        return found

    async def lookup(
        self,
        name: str,
        environment: str,
        secret_id: str = "",
        required_keys: Sequence[str] = (),
        *,
        creates: bool = True,
    ) -> SecretRecord:
        """Return a secret by id or name; raise `NotFound` where it, or one of the keys, is missing.

        With `creates` the error says how to create it.
        """
        environment = environment or DEFAULT_ENVIRONMENT
        found = await self.get(secret_id) if secret_id else await self._store.find(environment, name)
        if found is None:
            names = [record.object.name for record in await self._store.named(environment)]
            raise NotFound(not_there(KIND, name, environment, names, creates=creates))
        missing = [key for key in required_keys if key not in found.keys]
        if missing:
            raise NotFound(
                f"secret {found.object.name!r} lacks {', '.join(missing)}; it has {', '.join(found.keys) or 'nothing'}"
            )
        return found

    async def list(self, environment: str) -> list[SecretRecord]:
        """Return the secrets of an environment that have a name, by name."""
        return await self._store.named(environment or DEFAULT_ENVIRONMENT)

    async def delete(self, name: str, environment: str, secret_id: str = "") -> SecretRecord:
        """Delete a secret and return what it was; new containers of functions that use it fail to start."""
        found = await self.lookup(name, environment, secret_id, creates=False)
        await self._objects.delete(found.secret_id)
        log.info("deleted secret %s (%s)", found.object.name, found.secret_id)
        return found

    async def values(self, secret_ids: Sequence[str]) -> dict[str, str]:
        """Return what a container or build gets of these secrets, in their order: of a later one, names win.

        For the service's own use alone: nothing that is asked from outside may answer with it.
        """
        if not secret_ids:
            return {}
        merged: dict[str, str] = {}
        # What was read with one key must not be opened after that has been replaced.
        async with self._lock:
            found = await self._store.get(secret_ids)
            for secret_id in secret_ids:
                if secret_id not in found:
                    raise NotFound(
                        f"secret {secret_id[:64]} was deleted: create it again, then run or deploy what uses it again"
                    )
                merged.update(self._opened(found[secret_id]))
        # A container starts on a full disk too.
        with left_for_later():
            await self._store.used(secret_ids, self._now_ms())
        return merged

    async def check(self, secret_ids: Sequence[str], environment: str) -> None:
        """Raise `NotFound` unless all of these are secrets of that environment."""
        if not secret_ids:
            return
        found = await self._store.get(secret_ids)
        for secret_id in secret_ids:
            if secret_id not in found or found[secret_id].object.environment != environment:
                raise NotFound(f"environment {environment!r} has no secret {secret_id[:64]}")

    async def rotate(self) -> tuple[int, bool]:
        """Encrypt all secrets anew; return how many, and whether with a new key.

        Where the operator gives the keys it is the first of those, and the others can go afterwards.
        """
        async with self._lock:
            records = await self._store.all()
            if not records:
                return 0, False
            opened = [(record, self._opened(record)) for record in records]
            drop = self._keys.add()
            fresh = []
            for record, values in opened:
                environment = record.object.environment
                text = json.dumps({"environment": environment, "values": dict(sorted(values.items()))}).encode()
                fresh.append(self._sealed(record.object, values, self._keys.digest(text), record.updated_at_ms))
            await self._store.replace(fresh)
            try:
                drop()
            except OSError as error:
                log.warning("the earlier key of the secrets stays beside the new one: %s", in_words(error))
        log.info("encrypted %d secrets anew", len(fresh))
        return len(fresh), not self._keys.are_given

    async def sweep(self, in_use: set[str]) -> int:
        """Delete nameless secrets that nothing uses; return how many."""
        before_ms = self._now_ms() - int(KEEP_UNUSED_S * 1000)
        count = 0
        for record in await self._store.nameless():
            latest_ms = max(record.updated_at_ms, record.used_at_ms)
            if record.secret_id not in in_use and latest_ms < before_ms:
                await self._objects.delete(record.secret_id)
                count += 1
        return count

    async def _known(self, name: str, environment: str, digests: Sequence[str]) -> SecretRecord | None:
        if name:
            return await self._store.find(environment, name)
        nameless = await self._store.nameless()
        return next((r for r in nameless if r.digest in digests and r.object.environment == environment), None)

    def _sealed(
        self, record: ObjectRecord, values: Mapping[str, str], digest: str, updated_at_ms: int | None = None
    ) -> SecretRecord:
        # With its id inside: one secret's data moved into another's row would not pass for it.
        text = json.dumps({"secret": record.object_id, "values": dict(values)}).encode()
        at_ms = self._now_ms() if updated_at_ms is None else updated_at_ms
        return SecretRecord(record, tuple(values), self._keys.encrypt(text), digest, at_ms)

    def _opened(self, record: SecretRecord) -> dict[str, str]:
        content = json.loads(self._keys.decrypt(record.data))
        if content["secret"] != record.secret_id:
            raise NotFound(f"secret {record.secret_id} holds the data of another: the database was tampered with")
        values: dict[str, str] = content["values"]
        return values

    def _now_ms(self) -> int:
        return int(self._now() * 1000)


def _check_values(values: Mapping[str, str]) -> None:
    if len(values) > MAX_KEYS:
        raise InvalidRequest(f"a secret has at most {MAX_KEYS} values, got {len(values)}")
    for key, value in values.items():
        if not _KEY.match(key):
            raise InvalidRequest(
                f"{key[:64]!r} can't be the name of an environment variable: letters, digits and '_' can, and it "
                "begins with no digit"
            )
        if "\0" in value:
            raise InvalidRequest(f"the value of {key} contains a NUL character, which no environment variable can")
        if len(value.encode(errors="replace")) > MAX_VALUE:
            raise InvalidRequest(f"the value of {key} is over {MAX_VALUE >> 10} KiB, more than a variable can hold")
    if sum(len(key) + len(value.encode(errors="replace")) for key, value in values.items()) > MAX_BYTES:
        raise InvalidRequest(f"a secret holds at most {MAX_BYTES >> 20} MiB")
