"""All sandboxes: made, waited for, ended, kept for a while, and taken up from an earlier life."""

import asyncio
import base64
import contextlib
import logging
import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from wherry_proto.messages import SandboxCreateRequest, SandboxInfo, SandboxState
from wherry_service.engines.engine import EngineError, ImageMissing
from wherry_service.errors import InvalidRequest, NotFound, Unready
from wherry_service.node.events import ContainerExit
from wherry_service.node.image_mounts import checked_mount_place
from wherry_service.node.sandbox import SandboxNode
from wherry_service.node.tunnel import Target
from wherry_service.pools.capacity import Capacity
from wherry_service.sandboxes.beginning import Beginning, SandboxImages, SandboxObjects
from wherry_service.sandboxes.changes import SandboxChanges
from wherry_service.sandboxes.orders import check, check_tags, secrets_of
from wherry_service.sandboxes.output import SavedOutput
from wherry_service.sandboxes.probes import Probes
from wherry_service.sandboxes.register import SandboxRegister
from wherry_service.sandboxes.sandbox import Sandbox, info_of
from wherry_service.sandboxes.settings import KEEP_ENDED_S, SandboxSettings
from wherry_service.sandboxes.streams import SandboxStreams
from wherry_service.store.sandboxes import SandboxRecord, SandboxStore
from wherry_service.tasks import Tasks

log = logging.getLogger(__name__)

# Seconds for which one question lasts whether a sandbox has ended.
MAX_WAIT_S = 60.0
# Seconds that a snapshot may be kept, if not for ever.
MAX_TTL_S = 10 * 366 * 86_400.0
# Seconds between asking an engine again that did not answer.
FIND_EVERY_S = 5.0
# Seconds that a service which ends at once waits for the engine to name the sandboxes of an earlier life.
FOUND_WITHIN_S = 5.0
_IMAGE_ID = re.compile(r"im-[a-z2-7]{26}\Z")


class NeverBegan(NotFound):
    """The service was killed before it had started the sandbox, and told nobody of it."""


# large: what is asked of sandboxes, a method each.
class Sandboxes:
    """All sandboxes of the service; `register` finds them, `streams` reads and writes, `changes` those that run."""

    def __init__(
        self,
        store: SandboxStore,
        node: SandboxNode,
        capacity: Capacity,
        images: SandboxImages,
        directory: Path,
        settings: SandboxSettings,
        objects: SandboxObjects,
    ) -> None:
        self.settings = settings
        self._store = store
        self._node = node
        self._images = images
        self._saved = SavedOutput(directory)
        self.register = SandboxRegister(store)
        self.streams = SandboxStreams(self.register, node, self._saved, self._secrets_of)
        self.changes = SandboxChanges(self.register, store, node)
        self._tasks = Tasks("a task of the sandboxes failed")
        self._beginning = Beginning(self.register, store, node, capacity, images, objects, settings, self._tasks)
        self._probes = Probes(node)
        node.on_exit = self._on_exit

    @property
    def most_from_functions(self) -> int:
        """How many of one app may run when code in a container asks for one more."""
        return self.settings.most_from_functions

    async def _secrets_of(self, sandbox_id: str) -> Iterable[str]:
        """Return the values of a sandbox's secrets, also after its end, as far as they still exist."""
        sandbox = self.register.find(sandbox_id)
        if sandbox is not None:
            return (await self._beginning.own_secrets(sandbox)).values()
        record = await self._store.get(sandbox_id)
        with contextlib.suppress(NotFound):
            return (await self._beginning.secrets_of(record)).values() if record is not None else ()
        return ()

    def has_app(self, app_id: str) -> bool:
        """Whether sandboxes of an app run."""
        return bool(self.register.of_app(app_id))

    # An earlier life

    async def restore(self) -> None:
        """Know those again that ran in an earlier life, before anyone can ask for them."""
        self._beginning.looked.clear()
        for record in await self._store.running():
            sandbox = Sandbox(record, self._end)
            sandbox.restored = True
            # It begins when its container is found.
            sandbox.begun = asyncio.get_running_loop().create_future()
            self._beginning.take_again(sandbox)
            self.register.add(sandbox)

    async def adopt(self) -> None:
        """Take up their containers, when the engine says which there are; remove those that nobody knows."""
        restored = [sandbox for sandbox in self.register if sandbox.restored]
        while True:
            try:
                found = {item.sandbox_id: item for item in await self._node.find()}
                break
            except EngineError as error:
                log.warning("sandboxes of an earlier life cannot be looked for yet: %s", error)
                await asyncio.sleep(FIND_EVERY_S)
        known = {sandbox.sandbox_id for sandbox in restored}
        self._beginning.take_gpus_again(item for item in found.values() if item.sandbox_id in known)
        for sandbox_id in found.keys() - known:
            log.info("removing sandbox %s, which nobody knows", sandbox_id)
            await self._node.remove(sandbox_id)
        self._beginning.looked.set()
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
                self._beginning.note_begun(sandbox.record)
                await self.changes.hold_outbound(sandbox)
                sandbox.note_paused(item.paused)
                await self._beginning.open_tunnels(sandbox)
                sandbox.start_clocks()

    async def _never_began(self, sandbox: Sandbox) -> None:
        """Forget one that has no container yet: whoever asked for it asks again."""
        # Its record first: who asks meanwhile waits, and must not find it there.
        await self._store.remove(sandbox.sandbox_id)
        self.register.forget(sandbox)
        self._beginning.leave_room(sandbox)
        if sandbox.begun is not None and not sandbox.begun.done():
            sandbox.begun.set_exception(NeverBegan(f"sandbox {sandbox.sandbox_id} was never started"))
            # It is no fault if nobody asks.
            sandbox.begun.exception()

    # Asked for

    async def known(self, sandbox_id: str) -> SandboxInfo | None:
        """Return a sandbox that there is or was, once it has begun; raise what kept it from beginning."""
        sandbox = self.register.find(sandbox_id)
        if sandbox is not None:
            # Else it is made now, as if it had never been asked for.
            with contextlib.suppress(NeverBegan):
                return await sandbox.wait_begun()
        record = await self._store.get(sandbox_id)
        return info_of(record) if record is not None else None

    async def create(self, request: SandboxCreateRequest, app_name: str, environment: str) -> SandboxInfo:
        """Make a sandbox; return when its command runs. It goes on if the one who asked does not wait."""
        spec = check(request)
        if not _IMAGE_ID.match(spec.image_id):
            raise InvalidRequest(f"{spec.image_id[:64]!r} is not the id of an image")
        if request.name:
            self.register.refuse_twice(request.name, app_name, environment)
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
        sandbox = Sandbox(record, self._end)
        sandbox.secrets = secrets_of(spec, request.secret_env)
        self.register.add(sandbox)
        sandbox.begun = asyncio.ensure_future(self._beginning.begin(sandbox))
        # It is no fault where nobody waits for it any more.
        sandbox.begun.add_done_callback(lambda begun: begun.cancelled() or begun.exception())
        return await sandbox.wait_begun()

    async def set_tags(self, sandbox_id: str, tags: Mapping[str, str]) -> SandboxInfo:
        """Replace its tags."""
        check_tags(tags)
        sandbox = self.register.alive(sandbox_id)
        sandbox.record.tags = dict(tags)
        await self._store.change(sandbox.record)
        return sandbox.info()

    async def wait(self, sandbox_id: str, timeout_s: float, until_ready: bool = False) -> SandboxInfo:
        """Return it when it has ended, or is ready if that is waited for, or after the given time."""
        sandbox = self.register.find(sandbox_id)
        if sandbox is not None and until_ready:
            await self._probes.wait(sandbox, min(max(0.0, timeout_s), MAX_WAIT_S))
            return sandbox.info()
        if sandbox is not None:
            try:
                async with asyncio.timeout(min(max(0.0, timeout_s), MAX_WAIT_S)):
                    await sandbox.ended.wait()
            except TimeoutError:
                return sandbox.info()
        return await self.register.get(sandbox_id)

    async def terminate(self, sandbox_id: str) -> SandboxInfo:
        """End it, unless it has ended; return it when it has."""
        sandbox = self.register.find(sandbox_id)
        if sandbox is not None:
            self._end(sandbox, SandboxState.TERMINATED, "was terminated")
            await sandbox.ended.wait()
        return await self.register.get(sandbox_id)

    async def snapshot(self, sandbox_id: str, path: str = "", ttl_s: float = 0) -> str:
        """Make an image of its file system, or of a directory of it; return the image's id.

        It is kept for `ttl_s` seconds, used or not; below 0: for ever; 0: as any image.
        """
        sandbox = self.register.alive(sandbox_id)
        if path and (not path.startswith("/") or "\0" in path or len(path) > 4096):
            raise InvalidRequest(f"the directory is {path[:80]!r}: it must be an absolute path")
        if not ttl_s < MAX_TTL_S:
            raise InvalidRequest(f"ttl is {ttl_s:g} s: it must be below {MAX_TTL_S:g}")
        await sandbox.wait_begun()
        image_id = "im-" + base64.b32encode(os.urandom(17)).decode().lower()[:26]
        with sandbox.used():
            try:
                await self._node.snapshot(sandbox_id, image_id, path.rstrip("/"), expiry_labels(image_id, ttl_s))
            except EngineError as error:
                if path and ("not find the file" in str(error) or "not a directory" in str(error)):
                    raise NotFound(f"sandbox {sandbox_id} has no directory {path[:200]!r}") from error
                raise Unready(str(error)) from error
        await self._images.adopt(image_id, sandbox.record.environment)
        log.info("image %s was made of sandbox %s", image_id, sandbox_id)
        return image_id

    async def mount(self, sandbox_id: str, path: str, image_id: str) -> None:
        """Have an image's files at a place of it; without an image, what was there before."""
        sandbox = self.register.alive(sandbox_id)
        spec = sandbox.record.spec
        volumes = [*(mount.path for mount in spec.volumes), *(mount.path for mount in spec.bucket_mounts)]
        place = checked_mount_place(path, volumes)
        if image_id and not _IMAGE_ID.match(image_id):
            raise InvalidRequest(f"{image_id[:64]!r} is not the id of an image")
        await sandbox.wait_begun()
        with sandbox.used():
            async with sandbox.mounting:
                try:
                    if image_id:
                        await self._node.mount(sandbox_id, place, self._images.reference(image_id))
                    else:
                        await self._node.unmount(sandbox_id, place)
                except ImageMissing as error:
                    raise NotFound(f"image {image_id} is not on this host any more") from error
                except EngineError as error:
                    raise Unready(str(error)) from error

    async def engine_id(self, sandbox_id: str) -> str:
        """Return the engine's id of a sandbox that runs; raise `NotFound`, which says how one has ended."""
        sandbox = self.register.find(sandbox_id)
        if sandbox is None or sandbox.ended.is_set():
            info = await self.register.get(sandbox_id)
            raise NotFound(f"sandbox {sandbox_id[:64]} has ended: it {info.reason}")
        await sandbox.wait_begun()
        if sandbox.paused:
            raise Unready(f"sandbox {sandbox_id} is paused: resume it first (sandbox.resume())")
        try:
            return self._node.engine_id(sandbox_id)
        except EngineError as error:
            raise NotFound(str(error)) from error

    async def secret_env(self, sandbox_id: str, secret_ids: Sequence[str]) -> Mapping[str, str]:
        """Return what an exec in it is given beside its own variables: of its secrets, and of others, which win.

        Raises `NotFound`.
        """
        sandbox = self.register.alive(sandbox_id)
        sandbox.secrets = await self._beginning.own_secrets(sandbox)
        if not secret_ids:
            return sandbox.secrets
        return {**sandbox.secrets, **await self._beginning.more_secrets(sandbox.record, secret_ids)}

    def masks_output(self, sandbox_id: str) -> bool:
        """Whether the values of secrets are masked in what the commands of one that runs print."""
        return self.register.alive(sandbox_id).record.spec.masks_output

    def begin_use(self, sandbox_id: str) -> None:
        """Keep its idle timeout from passing, until `end_use`: an exec runs in it."""
        if (sandbox := self.register.find(sandbox_id)) is not None:
            sandbox.begin_use()

    def end_use(self, sandbox_id: str) -> None:
        """Say that what began with `begin_use` is over."""
        if (sandbox := self.register.find(sandbox_id)) is not None:
            sandbox.end_use()

    def target(self, sandbox_id: str, port: int) -> Target | None:
        """Return what answers at a port that has a tunnel, 0: at any; None where there is none."""
        sandbox = self.register.find(sandbox_id)
        if sandbox is None or sandbox.ended.is_set():
            return None
        if port and all(item.port != port for item in sandbox.record.spec.ports):
            return None
        return Target(
            sandbox_id, port, lambda: self._node.address(sandbox_id), sandbox.begin_use, sandbox.end_use, sandbox.admits
        )

    # Their end

    async def end_app(self, app_id: str, why: str) -> int:
        """End the sandboxes of an app that stops; return how many there were when they are gone."""
        return await self._end_all(self.register.of_app(app_id), f"was ended with its app: {why}")

    async def num_in(self, environment: str) -> int:
        """Return how many run in an environment."""
        return self.register.num_in(environment)

    async def end_environment(self, environment: str) -> None:
        """End those of an environment that is deleted."""
        gone = self.register.in_environment(environment)
        await self._end_all(gone, f"was ended with its environment {environment!r}")

    def environment_renamed(self, name: str, new_name: str) -> None:
        """Hear that an environment is called otherwise now."""
        self.register.environment_renamed(name, new_name)

    async def close(self, why: str) -> int:
        """End all; return how many there were when they are gone."""
        sought = [
            sandbox.begun
            for sandbox in self.register
            if sandbox.restored and sandbox.begun is not None and not sandbox.begun.done()
        ]
        if sought:
            # Ended before it has taken up what an earlier life left: without its container nothing can be removed.
            await asyncio.wait(sought, timeout=FOUND_WITHIN_S)
        for begun in sought:
            if not begun.done():
                # The engine does not say where its container is.
                begun.set_result(None)
        self._beginning.looked.set()
        count = await self._end_all(list(self.register), why)
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
        if await sandbox.has_begun():
            await self._node.kill(sandbox.sandbox_id)

    def _on_exit(self, sandbox_id: str, exit: ContainerExit) -> None:
        sandbox = self.register.find(sandbox_id)
        if sandbox is not None and not sandbox.finishing:
            sandbox.finishing = True
            self._tasks.spawn(self._finish(sandbox, exit))

    async def _finish(self, sandbox: Sandbox, exit: ContainerExit) -> None:
        if not await sandbox.has_begun():
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
        self.register.forget(sandbox)
        self._beginning.leave_room(sandbox)


def expiry_labels(image_id: str, ttl_s: float) -> dict[str, str]:
    """Return the labels that say how long an image is kept, for images/prune.py."""
    if not ttl_s:
        return {}
    return {"wherry.expires": f"{image_id} {_now_ms() + int(ttl_s * 1000) if ttl_s > 0 else 'never'}"}


def _now_ms() -> int:
    return int(time.time() * 1000)
