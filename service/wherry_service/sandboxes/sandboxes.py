"""All sandboxes: made, found by id or name, waited for, ended, and kept for a while."""

import asyncio
import base64
import contextlib
import logging
import os
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from wherry_proto.messages import Resources, SandboxCreateRequest, SandboxInfo, SandboxSpec, SandboxState
from wherry_service.engines.engine import EngineError, EngineUnreachable, ImageMissing
from wherry_service.errors import AlreadyExists, Exhausted, InvalidRequest, NotFound, ServiceError, Unready
from wherry_service.node.events import ContainerExit
from wherry_service.node.mounts import bucket_orders
from wherry_service.node.sandbox import SandboxNode
from wherry_service.node.tunnel import Tunnel
from wherry_service.pools.capacity import Capacity, Share
from wherry_service.sandboxes.orders import check, check_tags, order_of
from wherry_service.sandboxes.output import STREAMS, SavedOutput
from wherry_service.sandboxes.sandbox import Sandbox, info_of
from wherry_service.sandboxes.settings import KEEP_ENDED_S, SandboxSettings
from wherry_service.store.sandboxes import SandboxRecord, SandboxStore
from wherry_service.store.secrets import secrets_named
from wherry_service.tasks import Tasks

log = logging.getLogger(__name__)

# Seconds for which a sandbox waits for room on the host.
LOOK_EVERY_S = 0.5
ROOM_WITHIN_S = 60.0
MAX_WAIT_S = 60.0
# Seconds between asking an engine again that did not answer.
FIND_EVERY_S = 5.0
# Seconds that a service which ends at once waits for the engine to name the sandboxes of an earlier life.
FOUND_WITHIN_S = 5.0
_IMAGE_ID = re.compile(r"im-[a-z2-7]{26}\Z")


class Objects(Protocol):
    """What sandboxes use by id; raises `NotFound` unless it is of the environment."""

    async def secret_values_of(self, secret_ids: Sequence[str], environment: str) -> Mapping[str, str]:
        """Return the variables of secrets."""

    async def check_volumes(self, volume_ids: Sequence[str], environment: str) -> None:
        """See that these are there."""


class Images(Protocol):
    """The images that sandboxes are made of, and those that are made of sandboxes."""

    def reference(self, wanted: str) -> str:
        """Return what the engine calls an image; it may not be there."""

    async def ready(self, wanted: str) -> str:
        """Return what the engine calls an image with the SDK in it, made if need be."""

    async def adopt(self, wanted: str, environment: str = "main") -> None:
        """Know an image that was made of a sandbox."""


class NeverBegan(NotFound):
    """The service was killed before it had started the sandbox, and told nobody of it."""


class Sandboxes:
    """All sandboxes of the service."""

    def __init__(
        self,
        store: SandboxStore,
        node: SandboxNode,
        capacity: Capacity,
        images: Images,
        directory: Path,
        settings: SandboxSettings,
        objects: Objects,
    ) -> None:
        self._store = store
        self._node = node
        self._capacity = capacity
        self._images = images
        self._saved = SavedOutput(directory)
        self.settings = settings
        self._objects = objects
        self._running: dict[str, Sandbox] = {}
        self._tasks = Tasks("a task of the sandboxes failed")
        # After a restart: unset until what an earlier life left on the engine is known, or removed.
        self._looked = asyncio.Event()
        self._looked.set()
        node.on_exit = self._on_exit

    def __len__(self) -> int:
        return len(self._running)

    # An earlier life

    async def restore(self) -> None:
        """Know those again that ran in an earlier life, before anyone can ask for them."""
        self._looked.clear()
        for record in await self._store.running():
            sandbox = self._running[record.sandbox_id] = Sandbox(record, self._end)
            sandbox.restored = True
            # It begins when its container is found.
            sandbox.begun = asyncio.get_running_loop().create_future()
            sandbox.has_room = self._capacity.take(_share(record), beyond_cpu=True)

    async def adopt(self) -> None:
        """Take up their containers, when the engine says which there are; remove those that nobody knows."""
        restored = [sandbox for sandbox in self._running.values() if sandbox.restored]
        while True:
            try:
                found = {item.sandbox_id: item for item in await self._node.find()}
                break
            except EngineError as error:
                log.warning("sandboxes of an earlier life cannot be looked for yet: %s", error)
                await asyncio.sleep(FIND_EVERY_S)
        for sandbox_id in found.keys() - {sandbox.sandbox_id for sandbox in restored}:
            log.info("removing sandbox %s, which nobody knows", sandbox_id)
            await self._node.remove(sandbox_id)
        self._looked.set()
        for sandbox in restored:
            item = found.get(sandbox.sandbox_id)
            if item is None and not sandbox.record.begun:
                await self._never_began(sandbox)
                continue
            if sandbox.begun is not None and not sandbox.begun.done():
                sandbox.begun.set_result(None)
            if item is None:
                self._on_exit(sandbox.sandbox_id, ContainerExit(reason="was gone when the service came back"))
            elif item.exit is not None:
                self._on_exit(sandbox.sandbox_id, item.exit)
            else:
                self._note_begun(sandbox.record)
                await self._open_tunnels(sandbox)
                sandbox.start_clocks()

    async def _never_began(self, sandbox: Sandbox) -> None:
        """Forget one that has no container yet: whoever asked for it asks again."""
        # Its record first: who asks meanwhile waits, and must not find it there.
        await self._store.remove(sandbox.sandbox_id)
        self._forget(sandbox)
        self._leave_room(sandbox)
        if sandbox.begun is not None and not sandbox.begun.done():
            sandbox.begun.set_exception(NeverBegan(f"sandbox {sandbox.sandbox_id} was never started"))
            # It is no fault if nobody asks.
            sandbox.begun.exception()

    def _note_begun(self, record: SandboxRecord) -> None:
        """Write that it runs. Nobody waits for that: after a crash its container says it, too."""
        if not record.begun:
            record.begun = True
            self._tasks.spawn(self._store.change(record))

    # Asked for

    async def known(self, sandbox_id: str) -> SandboxInfo | None:
        """Return a sandbox that there is or was, once it has begun; raise what kept it from beginning."""
        sandbox = self._running.get(sandbox_id)
        if sandbox is not None:
            # Else it is made now, as if it had never been asked for.
            with contextlib.suppress(NeverBegan):
                return await self._begun(sandbox)
        record = await self._store.get(sandbox_id)
        return info_of(record) if record is not None else None

    async def create(self, request: SandboxCreateRequest, app_name: str, environment: str) -> SandboxInfo:
        """Make a sandbox; return when its command runs. It goes on if the one who asked does not wait."""
        spec = check(request)
        if not _IMAGE_ID.match(spec.image_id):
            raise InvalidRequest(f"{spec.image_id[:64]!r} is not the id of an image")
        if request.name:
            self._refuse_twice(request.name, app_name, environment)
        record = SandboxRecord(
            sandbox_id=request.sandbox_id,
            app_id=request.app_id,
            app_name=app_name,
            environment=environment,
            name=request.name,
            tags=dict(request.tags),
            spec=spec,
            created_at_ms=_now_ms(),
            begun=False,
        )
        # Known from here on, without waiting in between: an app that stops finds it.
        sandbox = self._running[record.sandbox_id] = Sandbox(record, self._end)
        sandbox.begun = asyncio.ensure_future(self._begin(sandbox))
        # It is no fault where nobody waits for it any more.
        sandbox.begun.add_done_callback(lambda begun: begun.cancelled() or begun.exception())
        return await self._begun(sandbox)

    async def get(self, sandbox_id: str) -> SandboxInfo:
        """Return one by id, also after its end; raise `NotFound`."""
        sandbox = self._running.get(sandbox_id)
        if sandbox is not None:
            return sandbox.info()
        record = await self._store.get(sandbox_id)
        if record is None:
            raise NotFound(f"sandbox {sandbox_id[:64]} does not exist, or ended over 7 days ago")
        return info_of(record)

    def by_name(self, name: str, app_name: str, environment: str) -> SandboxInfo:
        """Return a running one by its name; raise `NotFound` naming those that there are."""
        names = []
        for sandbox in self._running.values():
            record = sandbox.record
            if (record.app_name, record.environment) == (app_name, environment) and not sandbox.ended.is_set():
                if record.name == name:
                    return sandbox.info()
                if record.name:
                    names.append(record.name)
        of_app = f" of app {app_name!r}" if app_name else " that belongs to no app"
        shown = f"; running are: {', '.join(sorted(names)[:5])}" if names else ""
        raise NotFound(f"no sandbox{of_app} runs under the name {name[:64]!r}{shown}")

    async def list(
        self, environment: str, app_id: str, tags: Mapping[str, str], include_ended: bool
    ) -> list[SandboxInfo]:
        """List an environment's sandboxes, the latest first."""
        running = [s.info() for s in self._running.values() if not s.ended.is_set()]
        running.sort(key=lambda info: info.created_at_ms, reverse=True)
        ended = [info_of(record) for record in await self._store.ended(environment)] if include_ended else []
        return [
            info
            for info in [*running, *ended]
            if info.environment == environment and app_id in ("", info.app_id) and tags.items() <= info.tags.items()
        ]

    async def set_tags(self, sandbox_id: str, tags: Mapping[str, str]) -> SandboxInfo:
        """Replace its tags."""
        check_tags(tags)
        sandbox = self._alive(sandbox_id)
        sandbox.record.tags = dict(tags)
        await self._store.change(sandbox.record)
        return sandbox.info()

    async def wait(self, sandbox_id: str, timeout_s: float) -> SandboxInfo:
        """Return it when it has ended, or after the given time."""
        sandbox = self._running.get(sandbox_id)
        if sandbox is not None:
            try:
                async with asyncio.timeout(min(max(0.0, timeout_s), MAX_WAIT_S)):
                    await sandbox.ended.wait()
            except TimeoutError:
                return sandbox.info()
        return await self.get(sandbox_id)

    async def terminate(self, sandbox_id: str) -> SandboxInfo:
        """End it, unless it has ended; return it when it has."""
        sandbox = self._running.get(sandbox_id)
        if sandbox is not None:
            self._end(sandbox, SandboxState.TERMINATED, "was terminated")
            await sandbox.ended.wait()
        return await self.get(sandbox_id)

    # Streams

    async def output(self, sandbox_id: str, stream: int, offset: int, follow: bool) -> AsyncIterator[bytes]:
        """Yield what its command has printed on a stream, from an offset on; if followed, until it ends."""
        if stream not in STREAMS:
            raise InvalidRequest("a sandbox's output is read from stream 1 (stdout) or 2 (stderr)")
        sandbox = self._running.get(sandbox_id)
        if sandbox is None:
            await self.get(sandbox_id)
        elif not sandbox.saved.is_set():
            await self._begun(sandbox)
            position = 0
            try:
                async for data in self._node.output(sandbox_id, stream, follow):
                    position += len(data)
                    if position > offset:
                        yield data[offset - position :]
                        offset = position
            except EngineError as error:
                # Its container went while it was read: the rest has been kept.
                if not sandbox.ended.is_set() and not sandbox.is_ending:
                    raise Unready(str(error)) from error
            if not (follow or sandbox.ended.is_set()):
                return
            await sandbox.saved.wait()
        async for data in self._saved.read(sandbox_id, stream, offset):
            yield data

    async def write(self, sandbox_id: str, writer_id: str, offset: int, data: bytes, eof: bool) -> None:
        """Write to its command's input what this writer has not written yet."""
        sandbox = self._alive(sandbox_id)
        await self._begun(sandbox)
        with sandbox.used():
            async with sandbox.input_lock:
                if offset > sandbox.written.get(writer_id, 0):
                    raise Unready(f"the input of sandbox {sandbox_id} was closed when the service was started again")
                data = data[sandbox.written.get(writer_id, 0) - offset :]
                try:
                    await self._node.write(sandbox_id, data, eof)
                except EngineError as error:
                    raise Unready(f"sandbox {sandbox_id} does not read its input: {error}") from error
                sandbox.written[writer_id] = sandbox.written.get(writer_id, 0) + len(data)

    async def snapshot(self, sandbox_id: str) -> str:
        """Make an image of its file system; return the image's id."""
        sandbox = self._alive(sandbox_id)
        await self._begun(sandbox)
        image_id = "im-" + base64.b32encode(os.urandom(17)).decode().lower()[:26]
        with sandbox.used():
            try:
                await self._node.snapshot(sandbox_id, image_id)
            except EngineError as error:
                raise Unready(str(error)) from error
        await self._images.adopt(image_id, sandbox.record.environment)
        log.info("image %s was made of sandbox %s", image_id, sandbox_id)
        return image_id

    async def engine_id(self, sandbox_id: str) -> str:
        """Return the engine's id of a sandbox that runs; raise `NotFound`, which says how one has ended."""
        sandbox = self._running.get(sandbox_id)
        if sandbox is None or sandbox.ended.is_set():
            info = await self.get(sandbox_id)
            raise NotFound(f"sandbox {sandbox_id[:64]} has ended: it {info.reason}")
        await self._begun(sandbox)
        try:
            return self._node.engine_id(sandbox_id)
        except EngineError as error:
            raise NotFound(str(error)) from error

    def begin_use(self, sandbox_id: str) -> None:
        """Keep its idle timeout from passing, until `end_use`: an exec runs in it."""
        if (sandbox := self._running.get(sandbox_id)) is not None:
            sandbox.begin_use()

    def end_use(self, sandbox_id: str) -> None:
        """Say that what began with `begin_use` is over."""
        if (sandbox := self._running.get(sandbox_id)) is not None:
            sandbox.end_use()

    # Their end

    def has_app(self, app_id: str) -> bool:
        """Whether sandboxes of an app run."""
        return any(s.record.app_id == app_id for s in self._running.values())

    def app_ids(self) -> set[str]:
        """Return the apps whose sandboxes run."""
        return {s.record.app_id for s in self._running.values() if s.record.app_id}

    def image_ids(self) -> set[str]:
        """Return the images of those that run."""
        return {s.record.spec.image_id for s in self._running.values()}

    def specs(self) -> Sequence[SandboxSpec]:
        """Return what those that run were made of."""
        return [s.record.spec for s in self._running.values()]

    def secret_ids(self) -> set[str]:
        """Return the secrets of those that run."""
        return {secret_id for s in self._running.values() for secret_id in secrets_named(s.record.spec)}

    async def end_app(self, app_id: str, why: str) -> int:
        """End the sandboxes of an app that stops; return how many there were when they are gone."""
        return await self._end_all(
            [s for s in self._running.values() if s.record.app_id == app_id], f"was ended with its app: {why}"
        )

    async def num_in(self, environment: str) -> int:
        """Return how many run in an environment."""
        return sum(1 for s in self._running.values() if s.record.environment == environment and not s.ended.is_set())

    async def end_environment(self, environment: str) -> None:
        """End those of an environment that is deleted."""
        gone = [s for s in self._running.values() if s.record.environment == environment]
        await self._end_all(gone, f"was ended with its environment {environment!r}")

    def environment_renamed(self, name: str, new_name: str) -> None:
        """Hear that an environment is called otherwise now."""
        for sandbox in self._running.values():
            if sandbox.record.environment == name:
                sandbox.record.environment = new_name

    async def close(self, why: str) -> int:
        """End all; return how many there were when they are gone."""
        sought = [
            sandbox.begun
            for sandbox in self._running.values()
            if sandbox.restored and sandbox.begun is not None and not sandbox.begun.done()
        ]
        if sought:
            # Ended before it has taken up what an earlier life left: without its container nothing can be removed.
            await asyncio.wait(sought, timeout=FOUND_WITHIN_S)
        for begun in sought:
            if not begun.done():
                # The engine does not say where its container is.
                begun.set_result(None)
        self._looked.set()
        count = await self._end_all(list(self._running.values()), why)
        await self._tasks.close()
        return count

    async def expire(self) -> None:
        """Forget those that ended long ago."""
        for sandbox_id in await self._store.expire(_now_ms() - int(KEEP_ENDED_S * 1000)):
            await asyncio.to_thread(self._saved.forget, sandbox_id)

    async def _end_all(self, sandboxes: Sequence[Sandbox], why: str) -> int:
        for sandbox in sandboxes:
            self._end(sandbox, SandboxState.TERMINATED, why)
        await asyncio.gather(*(sandbox.gone.wait() for sandbox in sandboxes))
        return len(sandboxes)

    def _end(self, sandbox: Sandbox, state: int, reason: str) -> None:
        if not sandbox.is_ending and not sandbox.ended.is_set():
            sandbox.decide(state, reason)
            sandbox.woken.set()
            self._tasks.spawn(self._kill(sandbox))

    async def _kill(self, sandbox: Sandbox) -> None:
        if await self._has_begun(sandbox):
            await self._node.kill(sandbox.sandbox_id)

    def _on_exit(self, sandbox_id: str, exit: ContainerExit) -> None:
        sandbox = self._running.get(sandbox_id)
        if sandbox is not None and not sandbox.finishing:
            sandbox.finishing = True
            self._tasks.spawn(self._finish(sandbox, exit))

    async def _finish(self, sandbox: Sandbox, exit: ContainerExit) -> None:
        if not await self._has_begun(sandbox):
            return
        sandbox.stop_clocks()
        sandbox.conclude(exit)
        await self._store.change(sandbox.record)
        sandbox.ended.set()
        log.info("sandbox %s %s", sandbox.sandbox_id, sandbox.record.reason)
        for tunnel in sandbox.tunnels:
            tunnel.close()
        await self._saved.save(self._node, sandbox.sandbox_id)
        sandbox.saved.set()
        await self._node.remove(sandbox.sandbox_id)
        self._forget(sandbox)
        self._leave_room(sandbox)

    # Their beginning

    async def _begin(self, sandbox: Sandbox) -> None:
        record = sandbox.record
        added = False
        try:
            await self._nothing_is_left()
            await self._take(sandbox, _share(record))
            await self._open_tunnels(sandbox)
            record.created_at_ms = _now_ms()
            image = self._images.reference(record.spec.image_id)
            if record.spec.with_sdk:
                image = await self._images.ready(record.spec.image_id)
            secrets = await self._objects.secret_values_of(record.spec.secret_ids, record.environment)
            if volumes := [mount.volume_id for mount in record.spec.volumes]:
                await self._objects.check_volumes(volumes, record.environment)
            buckets = await bucket_orders(
                "the sandbox",
                record.spec.bucket_mounts,
                lambda ids: self._objects.secret_values_of(ids, record.environment),
            )
            order = order_of(record.sandbox_id, record.app_id, record.spec, image, secrets, self.settings, buckets)
            # The two at once: the engine takes longer than the disk.
            started, stored = await asyncio.gather(
                self._node.start(order), self._store.add(record), return_exceptions=True
            )
            added = not isinstance(stored, BaseException)
            for error in (started, stored):
                if isinstance(error, BaseException):
                    raise error
            self._note_begun(record)
        except BaseException as error:
            for tunnel in sandbox.tunnels:
                tunnel.close()
            try:
                # Who asks for it meanwhile waits, and finds nothing of it afterwards.
                if added:
                    await self._store.remove(record.sandbox_id)
                await self._node.remove(record.sandbox_id)
            finally:
                self._forget(sandbox)
                self._leave_room(sandbox)
            if isinstance(error, EngineError):
                raise self._refusal(error, record) from error
            raise
        sandbox.start_clocks()

    async def _nothing_is_left(self) -> None:
        """Wait until a container of the same name, of an earlier life, is removed."""
        try:
            async with asyncio.timeout(ROOM_WITHIN_S):
                await self._looked.wait()
        except TimeoutError:
            raise Unready("the engine has not answered since the service came back") from None

    async def _take(self, sandbox: Sandbox, share: Share) -> None:
        if not self._capacity.could_ever_fit(share):
            raise InvalidRequest(
                f"a sandbox of {share} does not fit this host, which has {self._capacity} for containers"
            )
        try:
            async with asyncio.timeout(ROOM_WITHIN_S):
                while not self._capacity.take(share):
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

    def _leave_room(self, sandbox: Sandbox) -> None:
        if sandbox.has_room:
            sandbox.has_room = False
            self._capacity.give_back(_share(sandbox.record))

    async def _open_tunnels(self, sandbox: Sandbox) -> None:
        for item in sandbox.record.spec.ports:
            tunnel = Tunnel(
                item.port, lambda: self._node.address(sandbox.sandbox_id), sandbox.begin_use, sandbox.end_use
            )
            try:
                await tunnel.open(self.settings.tunnel_host, sandbox.record.tunnels.get(item.port, 0))
            except OSError as error:
                raise Unready(f"no tunnel can be opened at {self.settings.tunnel_host}: {error}") from error
            sandbox.tunnels.append(tunnel)
        sandbox.record.tunnels = {tunnel.port: tunnel.host_port for tunnel in sandbox.tunnels}

    def _refusal(self, error: EngineError, record: SandboxRecord) -> ServiceError:
        if isinstance(error, ImageMissing):
            return NotFound(f"image {record.spec.image_id} is not on this host any more")
        if isinstance(error, EngineUnreachable):
            return Unready(str(error))
        return Unready(f"the sandbox could not start: {error}")

    def _refuse_twice(self, name: str, app_name: str, environment: str) -> None:
        try:
            known = self.by_name(name, app_name, environment)
        except NotFound:
            return
        raise AlreadyExists(f"sandbox {known.sandbox_id} runs under the name {name!r}: end it, or take another name")

    async def _begun(self, sandbox: Sandbox) -> SandboxInfo:
        if sandbox.begun is not None:
            # It begins also when the one who asked has gone.
            await asyncio.shield(sandbox.begun)
        return sandbox.info()

    @staticmethod
    async def _has_begun(sandbox: Sandbox) -> bool:
        if sandbox.begun is None:
            return True
        await asyncio.wait([sandbox.begun])
        return sandbox.begun.exception() is None

    def _alive(self, sandbox_id: str) -> Sandbox:
        sandbox = self._running.get(sandbox_id)
        if sandbox is None or sandbox.ended.is_set():
            raise NotFound(f"sandbox {sandbox_id[:64]} has ended, or does not exist")
        return sandbox

    def _forget(self, sandbox: Sandbox) -> None:
        self._running.pop(sandbox.sandbox_id, None)
        for event in (sandbox.ended, sandbox.saved, sandbox.gone):
            event.set()


def _share(record: SandboxRecord) -> Share:
    resources = record.spec.resources or Resources()
    return Capacity.share(resources.cpu_request or None, resources.memory_request_mib or None)


def _now_ms() -> int:
    return int(time.time() * 1000)
