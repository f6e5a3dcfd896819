"""The buckets that containers of this host have as directories: each mounted once, for all that have it alike."""

import asyncio
import contextlib
import hashlib
import json
import logging
import secrets
from collections.abc import Callable, Sequence

from wherry_service.engines.engine import EngineError, Mount
from wherry_service.errors import ServiceError
from wherry_service.node.bucket_helper import KIND, BucketHelper, Surroundings
from wherry_service.node.node import BucketOrder
from wherry_service.tasks import Tasks

log = logging.getLogger(__name__)

LABEL = "wherry.buckets"
# Seconds that the store gets to take what was written before it is said that it has not.
FLUSH_WITHIN_S = 30.0
# Seconds between attempts to end a mount whose files the store does not take.
END_EVERY_S = 30.0
# Seconds that the engine gets to say what an earlier life has mounted, before an input ends without that.
LEARN_WITHIN_S = 10.0


class _Mounted:
    """A mount, who has it, and who is told when it breaks."""

    def __init__(self, helper: BucketHelper, read_only: bool = False) -> None:
        self.helper = helper
        self.read_only = read_only
        # Taken over, perhaps before it had mounted the bucket.
        self.is_adopted = False
        self.users: set[str] = set()
        self.ending: asyncio.Task[None] | None = None


class Buckets:
    """Mounts buckets before a container is made, and unmounts them when the last that has one is gone.

    Its containers outlive the service, as those that have the buckets do: `recover` finds both. A user is the id of a
    function's container or of a sandbox.
    """

    def __init__(
        self, host: Surroundings, make_helper: Callable[[Surroundings, str], BucketHelper] = BucketHelper
    ) -> None:
        self._host = host
        self._make_helper = make_helper
        self._mounts: dict[str, _Mounted] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._on_lost: dict[str, Callable[[str], None]] = {}
        # Users whose helper had ended when an earlier life did, and who have not been told.
        self._bereft: set[str] = set()
        # Containers of an earlier life, as long as it is not known which buckets they have.
        self._unsure: set[str] = set()
        self._salt = b""
        self._recovered = False
        self._recovering = asyncio.Lock()
        self._tasks = Tasks("a task of the buckets failed")

    async def acquire(self, user: str, orders: Sequence[BucketOrder]) -> tuple[list[Mount], dict[str, str]]:
        """Have buckets mounted; return where they go, and the label by which a later life knows whose they are.

        Raises `ServiceError` naming the bucket, or `EngineError`; then the user has none of them.
        """
        if not orders:
            return [], {}
        await self.recover()
        ids = [self._id(order) for order in orders]
        try:
            sources = [await self._mount(user, mount_id, order) for mount_id, order in zip(ids, orders, strict=True)]
        except BaseException:
            await asyncio.shield(self.release(user))
            raise
        mounts = [Mount(source, order.path, order.read_only) for source, order in zip(sources, orders, strict=True)]
        return mounts, {LABEL: ",".join(sorted(set(ids)))}

    def watch(self, user: str, on_lost: Callable[[str], None]) -> None:
        """Have it told why when a bucket of the user's can't be used any more."""
        self._on_lost[user] = on_lost
        if user in self._bereft:
            self._tell_lost(user)

    def adopted(self, user: str) -> None:
        """Hear that the user's container was made in an earlier life, perhaps with buckets."""
        if not self._recovered:
            self._unsure.add(user)

    def has(self, user: str) -> bool:
        """Whether the user has a bucket that can be written, or may have one of an earlier life."""
        return user in self._unsure or any(
            user in mounted.users and not mounted.read_only for mounted in self._mounts.values()
        )

    async def flush(self, user: str) -> list[str]:
        """Wait until what was written and closed is in the user's buckets; return what is not, in sentences."""
        if user in self._unsure:
            # It may end an input before this life has looked what is mounted for it.
            await asyncio.wait([self._tasks.spawn(self._learn())], timeout=LEARN_WITHIN_S)
            self._unsure.discard(user)
        mine = [one for one in self._mounts.values() if user in one.users and not one.read_only]
        return [told for told in await asyncio.gather(*map(self._flush, mine)) if told]

    async def release(self, user: str) -> None:
        """Hear that the user's container is gone; those of its buckets that nobody else has are unmounted."""
        self._on_lost.pop(user, None)
        self._unsure.discard(user)
        self._bereft.discard(user)
        mine = [mount_id for mount_id, mounted in self._mounts.items() if user in mounted.users]
        for mount_id in mine:
            self._mounts[mount_id].users.discard(user)
        await asyncio.gather(*(self._end_unused(mount_id) for mount_id in mine))

    async def recover(self) -> None:
        """Find what an earlier life has mounted, once; end what nobody has. Raises `EngineError`."""
        async with self._recovering:
            if not self._recovered:
                self._salt = await asyncio.to_thread(self._kept_salt)
                await self._recover()
                self._recovered = True
                self._unsure.clear()

    def died(self, engine_id: str) -> None:
        """Hear from the engine that a container has ended, perhaps a helper."""
        for mount_id, mounted in self._mounts.items():
            if mounted.helper.engine_id == engine_id:
                self._tasks.spawn(self._lost(mount_id, mounted))

    async def reconcile(self) -> None:
        """Look which helpers still run, when the engine has not told for a while. Raises `EngineError`."""
        await self.recover()
        mounted = {one.helper.engine_id for one in self._mounts.values()}
        running = {status.engine_id for status in await self._host.engine.list(self._labels) if status.running}
        for engine_id in mounted - running - {""}:
            self.died(engine_id)

    async def close(self) -> None:
        """Let go of the mounts that are left: a next life finds them."""
        await self._tasks.close()

    @property
    def _labels(self) -> dict[str, str]:
        return {"wherry.instance": self._host.instance, "wherry.kind": KIND}

    # One mount. Under its lock it comes and goes, one at a time.

    def _lock(self, mount_id: str) -> asyncio.Lock:
        return self._locks.setdefault(mount_id, asyncio.Lock())

    async def _mount(self, user: str, mount_id: str, order: BucketOrder) -> str:
        async with self._lock(mount_id):
            mounted = self._mounts.get(mount_id)
            if mounted is None:
                mounted = _Mounted(self._make_helper(self._host, mount_id), order.read_only)
                await mounted.helper.mount(order)
                self._mounts[mount_id] = mounted
                log.info("mounted %s", order)
            elif mounted.is_adopted:
                await mounted.helper.ensure(order)
                mounted.is_adopted = False
            mounted.users.add(user)
            return mounted.helper.source

    async def _flush(self, mounted: _Mounted) -> str:
        try:
            return await mounted.helper.flush(FLUSH_WITHIN_S)
        except ServiceError as error:
            return str(error)

    async def _end_unused(self, mount_id: str) -> None:
        async with self._lock(mount_id):
            mounted = self._mounts.get(mount_id)
            if mounted is None or mounted.users:
                return
            try:
                told = await mounted.helper.end(FLUSH_WITHIN_S)
            except (ServiceError, EngineError) as error:
                told = str(error)
            if not told:
                del self._mounts[mount_id]
                return
            if not await self._runs(mounted):
                del self._mounts[mount_id]
                await self._discard(mounted.helper)
                return
        log.warning("a bucket is not unmounted yet: %s", told)
        if mounted.ending is None or mounted.ending.done():
            mounted.ending = self._tasks.spawn(self._end_later(mount_id))

    async def _runs(self, mounted: _Mounted) -> bool:
        try:
            return await mounted.helper.runs()
        except EngineError:  # it is looked for when the engine answers again
            return True

    async def _end_later(self, mount_id: str) -> None:
        await asyncio.sleep(END_EVERY_S)
        mounted = self._mounts.get(mount_id)
        if mounted is not None:
            mounted.ending = None
            await self._end_unused(mount_id)

    async def _lost(self, mount_id: str, mounted: _Mounted) -> None:
        async with self._lock(mount_id):
            if self._mounts.get(mount_id) is not mounted:
                return
            del self._mounts[mount_id]
            log.warning("the container that mounted bucket %s has ended by itself", mount_id)
            for user in mounted.users:
                self._tell_lost(user)
            await self._discard(mounted.helper)

    def _tell_lost(self, user: str) -> None:
        if (tell := self._on_lost.get(user)) is not None:
            self._bereft.discard(user)
            tell("lost its bucket: the container that had mounted it has ended")
        else:
            self._bereft.add(user)

    async def _discard(self, helper: BucketHelper) -> None:
        try:
            if told := await helper.discard():
                log.error("%s", told)
        except (ServiceError, EngineError) as error:
            log.warning("what is left of a bucket's mount could not be taken away: %s", error)

    # An earlier life

    async def _learn(self) -> None:
        with contextlib.suppress(EngineError):
            await self.recover()

    async def _recover(self) -> None:
        statuses = await self._host.engine.list({"wherry.instance": self._host.instance})
        running = {s.labels["wherry.bucket"]: s for s in statuses if s.labels.get("wherry.kind") == KIND and s.running}
        for mount_id, status in running.items():
            mounted = self._mounts[mount_id] = _Mounted(self._make_helper(self._host, mount_id))
            mounted.is_adopted = True
            await mounted.helper.adopt(status.engine_id)
        for status in statuses:
            user, wanted = status.labels.get("wherry.container", ""), status.labels.get(LABEL, "")
            for mount_id in wanted.split(",") if wanted and status.running else ():
                if mount_id in self._mounts:
                    self._mounts[mount_id].users.add(user)
                else:
                    self._tell_lost(user)
        for mount_id in list(running):
            self._tasks.spawn(self._end_unused(mount_id))
        prefix = f"wherry-bucket-{self._host.instance}-"
        for name in await self._host.engine.volumes(self._labels):
            if (mount_id := name.removeprefix(prefix)) not in running:
                self._tasks.spawn(self._discard_dead(mount_id))

    async def _discard_dead(self, mount_id: str) -> None:
        async with self._lock(mount_id):
            if mount_id not in self._mounts:
                await self._discard(self._make_helper(self._host, mount_id))

    def _id(self, order: BucketOrder) -> str:
        """Return what is equal for orders that can share a mount, and tells nothing of the credentials."""
        parts = [order.bucket, order.endpoint_url, order.key_prefix, order.read_only, order.requester_pays]
        text = json.dumps([*parts, sorted(order.credentials.items())]).encode()
        return hashlib.blake2b(text, key=self._salt, digest_size=8).hexdigest()

    def _kept_salt(self) -> bytes:
        path = self._host.directory / "salt"
        self._host.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            fresh = path.with_suffix(".new")
            fresh.touch(mode=0o600)
            fresh.write_bytes(secrets.token_bytes(32))
            fresh.replace(path)
        return path.read_bytes()
