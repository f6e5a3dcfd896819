"""How a sandbox begins: room on the host, tunnels, its image, and its container."""

import asyncio
import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from wherry_proto.messages import Resources
from wherry_service.engines.engine import EngineError, EngineUnreachable, Gpu, ImageMissing
from wherry_service.errors import Exhausted, InvalidRequest, NotFound, ServiceError, Unready
from wherry_service.node.mounts import bucket_orders
from wherry_service.node.sandbox import FoundSandbox, SandboxNode
from wherry_service.node.tunnel import Tunnel
from wherry_service.pools.capacity import Capacity, Share
from wherry_service.sandboxes.orders import order_of, secrets_of
from wherry_service.sandboxes.register import SandboxRegister
from wherry_service.sandboxes.sandbox import Sandbox
from wherry_service.sandboxes.settings import SandboxSettings
from wherry_service.store.sandboxes import SandboxRecord, SandboxStore
from wherry_service.tasks import Tasks

# Seconds for which a sandbox waits for room on the host, and between looking.
ROOM_WITHIN_S = 60.0
LOOK_EVERY_S = 0.5


class SandboxObjects(Protocol):
    """What sandboxes use by id; raises `NotFound` unless it is of the environment."""

    async def secret_values_of(self, secret_ids: Sequence[str], environment: str) -> Mapping[str, str]:
        """Return the variables of secrets."""

    async def check_volumes(self, volume_ids: Sequence[str], environment: str) -> None:
        """See that these are there."""


class SandboxImages(Protocol):
    """The images that sandboxes are made of, and those that are made of sandboxes."""

    def reference(self, wanted: str) -> str:
        """Return what the engine calls an image; it may not be there."""

    async def ready(self, wanted: str) -> str:
        """Return what the engine calls an image with the SDK in it, made if need be."""

    async def adopt(self, wanted: str, environment: str = "main") -> None:
        """Know an image that was made of a sandbox."""


class Beginning:
    """Begins sandboxes, and keeps count of the room that they take."""

    def __init__(
        self,
        register: SandboxRegister,
        store: SandboxStore,
        node: SandboxNode,
        capacity: Capacity,
        images: SandboxImages,
        objects: SandboxObjects,
        settings: SandboxSettings,
        tasks: Tasks,
    ) -> None:
        self._register = register
        self._store = store
        self._node = node
        self._capacity = capacity
        self._images = images
        self._objects = objects
        self._settings = settings
        self._tasks = tasks
        # After a restart: unset until what an earlier life left on the engine is known, or removed.
        self.looked = asyncio.Event()
        self.looked.set()

    async def begin(self, sandbox: Sandbox) -> None:
        """Start a sandbox's container; raise `ServiceError`, and leave nothing of it, where that can't be."""
        record = sandbox.record
        added = False
        try:
            await self._nothing_is_left()
            await self._take(sandbox, _share(record))
            await self.open_tunnels(sandbox)
            record.created_at_ms = int(time.time() * 1000)
            image = self._images.reference(record.spec.image_id)
            if record.spec.with_sdk:
                image = await self._images.ready(record.spec.image_id)
            secrets = sandbox.secrets = {**await self.secrets_of(record), **(sandbox.secrets or {})}
            if volumes := [mount.volume_id for mount in record.spec.volumes]:
                await self._objects.check_volumes(volumes, record.environment)
            buckets = await bucket_orders(
                "the sandbox",
                record.spec.bucket_mounts,
                lambda ids: self._objects.secret_values_of(ids, record.environment),
            )
            gpu_ids = self._capacity.gpus.ids_of(record.sandbox_id)
            order = order_of(
                record.sandbox_id, record.app_id, record.spec, image, secrets, self._settings, buckets, gpu_ids
            )
            # The two at once: the engine takes longer than the disk.
            started, stored = await asyncio.gather(
                self._node.start(order), self._store.add(record), return_exceptions=True
            )
            added = not isinstance(stored, BaseException)
            for error in (started, stored):
                if isinstance(error, BaseException):
                    raise error
            self.note_begun(record)
        except BaseException as error:
            for tunnel in sandbox.tunnels:
                tunnel.close()
            try:
                # Who asks for it meanwhile waits, and finds nothing of it afterwards.
                if added:
                    await self._store.remove(record.sandbox_id)
                await self._node.remove(record.sandbox_id)
            finally:
                self._register.forget(sandbox)
                self.leave_room(sandbox)
            if isinstance(error, EngineError):
                raise _refusal(error, record) from error
            raise
        sandbox.start_clocks()

    async def secrets_of(self, record: SandboxRecord) -> Mapping[str, str]:
        """Return the variables of a sandbox's secrets; raise `NotFound` where one was deleted."""
        values = await self._objects.secret_values_of(record.spec.secret_ids, record.environment)
        return secrets_of(record.spec, values)

    async def own_secrets(self, sandbox: Sandbox) -> Mapping[str, str]:
        """Return the same of one that runs, as they were when it began, as far as this life of the service knows."""
        return sandbox.secrets if sandbox.secrets is not None else await self.secrets_of(sandbox.record)

    async def more_secrets(self, record: SandboxRecord, secret_ids: Sequence[str]) -> Mapping[str, str]:
        """Return the variables of other secrets of a sandbox's environment; raise `NotFound`."""
        return await self._objects.secret_values_of(secret_ids, record.environment)

    async def _nothing_is_left(self) -> None:
        """Wait until a container of the same name, of an earlier life, is removed."""
        try:
            async with asyncio.timeout(ROOM_WITHIN_S):
                await self.looked.wait()
        except TimeoutError:
            raise Unready("the engine has not answered since the service came back") from None

    async def _take(self, sandbox: Sandbox, share: Share) -> None:
        if not self._capacity.could_ever_fit(share):
            raise InvalidRequest(
                f"a sandbox of {share} does not fit this host, which has {self._capacity} for containers"
            )
        gpus = self._capacity.gpus
        try:
            async with asyncio.timeout(ROOM_WITHIN_S):
                while not self._capacity.take(share, sandbox.sandbox_id):
                    if not gpus.could_ever_fit(share.gpus):
                        raise InvalidRequest(f"the sandbox {gpus.refusal(share.gpus)}")
                    if sandbox.is_ending:
                        raise Unready(f"sandbox {sandbox.sandbox_id} was ended while it waited for room on the host")
                    sandbox.woken.clear()
                    self._capacity.wait(sandbox, sandbox.woken.set)
                    # Nobody tells when the processors have time to spare again.
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(LOOK_EVERY_S):
                            await sandbox.woken.wait()
                sandbox.has_room = True
        except TimeoutError:
            raise Exhausted(
                f"the host has had no room for a sandbox of {share} for {ROOM_WITHIN_S:.0f} s: "
                f"{self._capacity.lack(share) or 'others were first'}; end others (`wherry sandbox list`), "
                "or ask for less"
            ) from None
        finally:
            self._capacity.forget(sandbox)

    def leave_room(self, sandbox: Sandbox) -> None:
        """Say that its container takes no room any more."""
        if sandbox.has_room:
            sandbox.has_room = False
            self._capacity.give_back(_share(sandbox.record), sandbox.sandbox_id)
        # Of one that was found, whether it was counted or not.
        self._capacity.gpus.give_back(sandbox.sandbox_id)

    def take_again(self, sandbox: Sandbox) -> None:
        """Count one of an earlier life, which runs whether there is room for it or not."""
        share = replace(_share(sandbox.record), gpus=())
        sandbox.has_room = self._capacity.take(share, sandbox.sandbox_id, beyond_cpu=True)
        # Nobody is given its GPUs, which its container knows, before that is found.
        self._capacity.gpus.await_sight("sandboxes")

    def take_gpus_again(self, found: Iterable[FoundSandbox]) -> None:
        """Note which GPUs those have that run; whoever waits for some may have the others."""
        for item in found:
            self._capacity.gpus.claim(item.sandbox_id, item.gpu_ids)
        self._capacity.gpus.seen("sandboxes")

    async def open_tunnels(self, sandbox: Sandbox) -> None:
        """Open the ports of this host that lead into it; raise `Unready`."""
        for item in sandbox.record.spec.ports:
            tunnel = Tunnel(
                item.port,
                lambda: self._node.address(sandbox.sandbox_id),
                sandbox.begin_use,
                sandbox.end_use,
                sandbox.admits,
            )
            try:
                await tunnel.open(self._settings.tunnel_host, sandbox.record.tunnels.get(item.port, 0))
            except OSError as error:
                raise Unready(f"no tunnel can be opened at {self._settings.tunnel_host}: {error}") from error
            sandbox.tunnels.append(tunnel)
        sandbox.record.tunnels = {tunnel.port: tunnel.host_port for tunnel in sandbox.tunnels}

    def note_begun(self, record: SandboxRecord) -> None:
        """Write that it runs. Nobody waits for that: after a crash its container says it, too."""
        if not record.begun:
            record.begun = True
            self._tasks.spawn(self._store.change(record))


def _refusal(error: EngineError, record: SandboxRecord) -> ServiceError:
    if isinstance(error, ImageMissing):
        return NotFound(f"image {record.spec.image_id} is not on this host any more")
    if isinstance(error, EngineUnreachable):
        return Unready(str(error))
    return Unready(f"the sandbox could not start: {error}")


def _share(record: SandboxRecord) -> Share:
    resources = record.spec.resources or Resources()
    gpus = [Gpu(gpu.type, gpu.count) for gpu in record.spec.gpus]
    return Capacity.share(resources.cpu_request or None, resources.memory_request_mib or None, gpus)
