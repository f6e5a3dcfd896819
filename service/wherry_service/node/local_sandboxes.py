"""The sandboxes of this host, through its engine."""

import asyncio
import contextlib
import logging
import shutil
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from wherry_service.engines.containment import NO_LIMIT, Containment, MemoryLimit
from wherry_service.engines.engine import (
    ContainerSpec,
    Engine,
    EngineError,
    EngineEvent,
    EngineUnreachable,
    ExecSpec,
    Mount,
    Stdin,
)
from wherry_service.engines.gpus import gpu_ids_of, gpu_label
from wherry_service.errors import InvalidRequest
from wherry_service.node.buckets import Buckets
from wherry_service.node.deaths import Death, death_of
from wherry_service.node.events import ContainerExit
from wherry_service.node.image_mounts import NOT_MOUNTED, begin_command, end_command
from wherry_service.node.outbound import Outbounds
from wherry_service.node.sandbox import FoundSandbox, Outbound, SandboxOrder
from wherry_service.node.sandbox_secrets import NO_SHELL, archive, lacked_a_shell, with_secrets
from wherry_service.node.tree_archive import Tree, archive_of
from wherry_service.store.sources import SourceStore
from wherry_service.store.volumes import VolumeStore
from wherry_service.tasks import Tasks

log = logging.getLogger(__name__)

# Of the engine's default set, code that is not trusted gets only what installing packages and changing users needs.
DROPPED_CAPABILITIES = ("SYS_CHROOT", "SETPCAP")
# What runs where there is nothing to run: it outlives every timeout.
WAITING = ("sleep", "1000000")
# The CMD of most base images: it would do nothing but read an input that nobody writes to.
_INTERACTIVE = frozenset(("sh", "bash", "ash", "dash", "zsh", "python", "python3", "node", "irb"))
# As a shell has it.
_NOT_FOUND = 127
# Of one that files are copied into between being created and being started.
FILLED_LABEL = "wherry.filled"
# Bytes of what a short command prints that are kept.
MOST_TOLD = 1 << 20
# Seconds after a kill for which the engine's event is waited for.
EVENT_WITHIN_S = 5.0
# Seconds that the engine gets to begin to tell what happens.
FOLLOW_WITHIN_S = 10.0


class _Held:
    """A sandbox's container, as this node holds it."""

    def __init__(self, engine_id: str, memory_limit: MemoryLimit = NO_LIMIT) -> None:
        self.engine_id = engine_id
        self.memory_limit = memory_limit
        self.started = False
        # Whether it runs only what waits.
        self.waits = False
        # Whether a shell gives its command secrets.
        self.by_shell = False
        self.oom_seen = False
        # Whether it was killed by the service.
        self.was_killed = False
        self.stdin: Stdin | None = None
        self.stdin_lock = asyncio.Lock()
        self.dead = asyncio.Event()


# large: what `SandboxNode` has, and following the engine.
class LocalSandboxes:
    """Implements `sandbox.SandboxNode`. `start_slots` bounds the starts at once, with those of other containers."""

    def __init__(
        self,
        engine: Engine,
        instance: str,
        start_slots: asyncio.Semaphore,
        directory: Path,
        sources: SourceStore,
        volumes: VolumeStore,
        buckets: Buckets,
        containment: Containment,
        outbounds: Outbounds,
    ) -> None:
        self._outbounds = outbounds
        self._containment = containment
        self._directory = directory
        self._sources = sources
        self._volumes = volumes
        self._buckets = buckets
        self.on_exit: Callable[[str, ContainerExit], None] = lambda sandbox_id, exit: None
        self._engine = engine
        self._labels = {"wherry.instance": instance, "wherry.kind": "sandbox"}
        self._start_slots = start_slots
        self._held: dict[str, _Held] = {}
        # Ended, and not removed since the engine did not answer.
        self._unremoved: dict[str, str] = {}
        self._follows = False
        self._following = asyncio.Event()
        self._tasks = Tasks("a task of the sandboxes' containers failed")

    async def start(self, order: SandboxOrder) -> None:
        with ExitStack() as shown:
            await self._start(order, shown)

    async def _start(self, order: SandboxOrder, shown: ExitStack) -> None:
        mounts = await asyncio.to_thread(self._mounts, order, shown) if order.trees or order.volumes else []
        copied = await asyncio.to_thread(self._copied, order) if order.copied_trees else []
        bucket_mounts, bucket_labels = await self._buckets.acquire(order.sandbox_id, order.buckets)
        async with self._start_slots:
            command = await self._command(order)
            waits = command == WAITING
            # What only waits needs none: its execs are given them.
            by_shell = bool(order.secrets) and not waits
            runs = with_secrets(command) if by_shell else command
            if copied or by_shell:
                bucket_labels = {**bucket_labels, FILLED_LABEL: "1"}
            spec = self._spec(order, runs, [*mounts, *bucket_mounts], bucket_labels)
            spec = await self._listed(order, spec)
            try:
                engine_id = await self._engine.create(spec)
            except BaseException:
                await self._outbounds.leave(order.sandbox_id)
                raise
            held = self._held[order.sandbox_id] = _Held(engine_id, self._memory_limit(order))
            held.waits, held.by_shell = waits, by_shell
            try:
                if copied:
                    await self._engine.copy_in(engine_id, "/", archive_of(copied))
                if by_shell:
                    await self._engine.copy_in(engine_id, "/", archive(order.secrets))
                # Followed first, lest the end of a short command be missed.
                await self._follow()
                await self._engine.start(engine_id)
            except BaseException:
                self._held.pop(order.sandbox_id, None)
                await self._remove(order.sandbox_id, held.engine_id)
                raise
            held.started = True

    async def _listed(self, order: SandboxOrder, spec: ContainerSpec) -> ContainerSpec:
        """Return it in the network of those with lists, where it has one, which then holds before it starts."""
        if order.outbound is None:
            return spec
        admitted = await self._outbounds.admit(order.sandbox_id, order.outbound)
        return replace(spec, network=admitted.network, address=admitted.address, name_servers=(admitted.name_server,))

    async def set_outbound(self, sandbox_id: str, outbound: Outbound) -> None:
        address = await self.address(sandbox_id)
        if not address:
            raise EngineError(f"sandbox {sandbox_id} has no address any more")
        await self._outbounds.change(sandbox_id, outbound, address)

    async def _command(self, order: SandboxOrder) -> tuple[str, ...]:
        """Return what runs in it: what it was asked to, begun by its image's ENTRYPOINT; else the image's own."""
        image = None if order.only_waits else await self._engine.image(order.image)
        if image is None:
            return order.command or WAITING
        whole = (*image.entrypoint, *(order.command or image.command))
        is_interactive = len(whole) == 1 and whole[0].rpartition("/")[2] in _INTERACTIVE
        return WAITING if not whole or (is_interactive and not order.command) else whole

    async def find(self) -> list[FoundSandbox]:
        found: list[FoundSandbox] = []
        statuses = await self._engine.list(self._labels)
        if statuses:
            await self._follow()
        for status in statuses:
            sandbox_id = status.labels.get("wherry.container", "")
            if sandbox_id in self._held:
                continue
            if not status.begun and FILLED_LABEL in status.labels:
                # Perhaps it lacks what it was to have: it is made anew for the one who asks again.
                await self._engine.remove(status.engine_id)
                continue
            held = self._held[sandbox_id] = _Held(status.engine_id)
            if status.running or (not status.begun and await self._begin(sandbox_id, held)):
                held.started = True
                found.append(FoundSandbox(sandbox_id, paused=status.paused, gpu_ids=gpu_ids_of(status.labels)))
            else:
                held.dead.set()
                found.append(FoundSandbox(sandbox_id, await self._exit(held, None)))
        return found

    async def _begin(self, sandbox_id: str, held: _Held) -> bool:
        """Start one that a service made and was killed before it started it: who asked for it still waits."""
        try:
            await self._engine.start(held.engine_id)
        except EngineError as error:
            log.warning("sandbox %s was made and can't be started: %s", sandbox_id, error)
            return False
        log.info("sandbox %s was made in an earlier life, and is started in this one", sandbox_id)
        return True

    async def kill(self, sandbox_id: str) -> None:
        held = self._held.get(sandbox_id)
        if held is None:
            # Not found since the engine does not answer; it is removed when a service finds it.
            self.on_exit(sandbox_id, ContainerExit())
            return
        if held.dead.is_set():
            return
        held.was_killed = True
        try:
            await self._engine.kill(held.engine_id)
            async with asyncio.timeout(EVENT_WITHIN_S):
                await held.dead.wait()
        except EngineError as error:
            # It goes on, as far as anyone knows; for those who wait it has ended.
            log.warning("sandbox %s could not be killed: %s", sandbox_id, error)
            self._died(sandbox_id, held, None)
        except TimeoutError:
            self._died(sandbox_id, held, None)

    async def remove(self, sandbox_id: str) -> None:
        for told in await self._buckets.flush(sandbox_id):
            log.warning("sandbox %s: %s", sandbox_id, told)
        held = self._held.pop(sandbox_id, None)
        if held is not None:
            if held.stdin is not None:
                held.stdin.abandon()
            await self._remove(sandbox_id, held.engine_id)
        await self._buckets.release(sandbox_id)

    def output(self, sandbox_id: str, stream: int, follow: bool) -> AsyncIterator[bytes]:
        return self._engine.output(self._get(sandbox_id).engine_id, stream, follow)

    async def write(self, sandbox_id: str, data: bytes, eof: bool) -> None:
        held = self._get(sandbox_id)
        async with held.stdin_lock:
            if held.stdin is None:
                held.stdin = await self._engine.open_stdin(held.engine_id)
            if data:
                await held.stdin.write(data)
            if eof:
                await held.stdin.close()

    async def run(self, sandbox_id: str, command: tuple[str, ...], env: Mapping[str, str]) -> tuple[int | None, bytes]:
        return await self._told(sandbox_id, ExecSpec(command, env), 1)

    async def _told(self, sandbox_id: str, spec: ExecSpec, stream: int) -> tuple[int | None, bytes]:
        exec = await self._engine.exec(self._get(sandbox_id).engine_id, spec)
        told = b""
        try:
            await exec.close_stdin()
            while (found := await exec.read()) is not None:
                if found[0] == stream and len(told) < MOST_TOLD:
                    told += found[1]
            return await exec.exit_code(), told
        finally:
            exec.close()

    async def address(self, sandbox_id: str) -> str:
        status = await self._engine.inspect(self._get(sandbox_id).engine_id)
        return status.address if status is not None else ""

    async def pause(self, sandbox_id: str) -> None:
        await self._engine.pause(self._get(sandbox_id).engine_id)

    async def resume(self, sandbox_id: str) -> None:
        await self._engine.resume(self._get(sandbox_id).engine_id)

    async def mount(self, sandbox_id: str, place: str, image: str) -> None:
        code, told = await self._run_as_root(sandbox_id, begin_command(place))
        if code != 0:
            raise InvalidRequest(f"{place} can't be made a place for an image: {told}")
        labels = {name: value for name, value in self._labels.items() if name != "wherry.kind"}
        await self._engine.copy_image(image, self._get(sandbox_id).engine_id, place, {**labels, "wherry.kind": "copy"})

    async def unmount(self, sandbox_id: str, place: str) -> None:
        code, told = await self._run_as_root(sandbox_id, end_command(place))
        if code == NOT_MOUNTED:
            raise InvalidRequest(f"no image is mounted at {place}")
        if code != 0:
            raise InvalidRequest(f"the image at {place} can't be removed: {told}")

    async def _run_as_root(self, sandbox_id: str, command: tuple[str, ...]) -> tuple[int | None, str]:
        code, told = await self._told(sandbox_id, ExecSpec(command, user="0"), 2)
        return code, told.decode(errors="replace").strip()[-500:]

    async def snapshot(self, sandbox_id: str, image_id: str, path: str, labels: Mapping[str, str]) -> None:
        # Named and labelled as images/builder.py does.
        reference = f"wherry/image:{image_id.removeprefix('im-')}"
        labels = {"wherry.kind": "image", "wherry.image": image_id, **labels}
        engine_id = self._get(sandbox_id).engine_id
        if path:
            await self._engine.save_directory(engine_id, path, reference, labels)
        else:
            await self._engine.commit(engine_id, reference, labels)

    async def close(self) -> None:
        self._outbounds.close()
        await self._tasks.close()
        for held in self._held.values():
            if held.stdin is not None:
                held.stdin.abandon()

    def engine_id(self, sandbox_id: str) -> str:
        """Return the engine's id of a sandbox that is there; raise `EngineError`."""
        return self._get(sandbox_id).engine_id

    # Following the engine

    async def _follow(self) -> None:
        if not self._follows:
            self._follows = True
            self._tasks.spawn(self._follow_events())
        try:
            async with asyncio.timeout(FOLLOW_WITHIN_S):
                await self._following.wait()
        except TimeoutError:
            raise EngineUnreachable("the engine does not tell what happens to its containers") from None

    async def _follow_events(self) -> None:
        async for event in self._engine.events(self._labels):
            if event.kind == "reconnected":
                self._following.set()
                if self._held or self._unremoved:
                    self._tasks.spawn(self._reconcile())
                continue
            held = self._held.get(event.labels.get("wherry.container", ""))
            # As in local.py: a label may be an image's.
            if held is None or held.engine_id != event.engine_id:
                continue
            if event.kind == "oom":
                held.oom_seen = True
            else:
                self._heard(event, held)

    def _heard(self, event: EngineEvent, held: _Held) -> None:
        self._died(event.labels["wherry.container"], held, event.exit_code)

    async def _reconcile(self) -> None:
        try:
            running = {s.engine_id for s in await self._engine.list(self._labels) if s.running}
        except EngineError as error:
            log.warning("the engine went away again: %s", error)
            return
        for sandbox_id in list(self._unremoved):
            self._tasks.spawn(self._remove(sandbox_id, self._unremoved.pop(sandbox_id)))
        for sandbox_id, held in list(self._held.items()):
            if held.started and held.engine_id not in running:
                self._died(sandbox_id, held, None)

    def _died(self, sandbox_id: str, held: _Held, exit_code: int | None) -> None:
        if not held.dead.is_set():
            held.dead.set()
            self._tasks.spawn(self._tell(sandbox_id, held, exit_code))

    async def _tell(self, sandbox_id: str, held: _Held, exit_code: int | None) -> None:
        self.on_exit(sandbox_id, await self._exit(held, exit_code))

    async def _exit(self, held: _Held, exit_code: int | None) -> ContainerExit:
        death = Death(exit_code, held.oom_seen)
        if exit_code != 0:
            is_ours = held.was_killed
            death = await death_of(self._engine, held.engine_id, exit_code, lambda: held.oom_seen, is_ours)
        reason = ""
        if held.waits and death.exit_code == _NOT_FOUND:
            reason = f"has nothing to run: there is no command, and its image has no {WAITING[0]} to wait with"
        if held.by_shell and death.exit_code == _NOT_FOUND:
            with contextlib.suppress(EngineError):  # then it is just the exit code
                if lacked_a_shell(await self._engine.log_tail(held.engine_id, 5)):
                    reason = NO_SHELL
        limit = held.memory_limit or self._containment.found_limit(death.memory_limit_mib)
        return ContainerExit(death.exit_code, death.oom_killed, limit, reason)

    # The rest

    def _memory_limit(self, order: SandboxOrder) -> MemoryLimit:
        return self._containment.memory_limit(order.memory_limit_mib, order.memory_request_mib)

    def _mounts(self, order: SandboxOrder, shown: ExitStack) -> list[Mount]:
        found = [
            Mount(self._volumes.mount_source(one.volume_id, one.sub_path, shown), one.path, one.read_only)
            for one in order.volumes
        ]
        found += [
            Mount(str(self._sources.laid_out(source_id, is_file)), place, read_only=True)
            for place, source_id, is_file in order.trees
        ]
        return found

    def _copied(self, order: SandboxOrder) -> list[Tree]:
        return [
            (place, self._sources.laid_out(source_id, is_file), is_file)
            for place, source_id, is_file in order.copied_trees
        ]

    def _spec(
        self, order: SandboxOrder, command: tuple[str, ...], mounts: Sequence[Mount], labels: Mapping[str, str]
    ) -> ContainerSpec:
        return ContainerSpec(
            name=f"wherry-{order.sandbox_id}",
            image=order.image,
            command=command,
            mounts=tuple(mounts),
            labels={
                **self._labels,
                "wherry.container": order.sandbox_id,
                "wherry.app": order.app_id,
                **labels,
                **gpu_label(order.gpu_ids),
            },
            env=order.env,
            cpu_limit=order.cpu_limit,
            cpu_request=order.cpu_request,
            memory_limit_mib=self._memory_limit(order).mib,
            memory_request_mib=order.memory_request_mib,
            network="none" if order.block_network else "bridge",
            pids_limit=order.pids_limit,
            disk_limit_mib=order.disk_limit_mib,
            gpu_ids=tuple(order.gpu_ids),
            runtime=order.runtime,
            user=self._containment.user,
            workdir=order.workdir,
            dropped_capabilities=DROPPED_CAPABILITIES,
            stdin=True,
            tty=order.pty,
            log_mib=order.log_mib,
        )

    def _get(self, sandbox_id: str) -> _Held:
        held = self._held.get(sandbox_id)
        if held is None:
            raise EngineError(f"sandbox {sandbox_id} has no container any more")
        return held

    async def _remove(self, sandbox_id: str, engine_id: str) -> None:
        try:
            await self._engine.remove(engine_id)
            # Files of one that an earlier version made.
            await asyncio.to_thread(shutil.rmtree, self._directory / sandbox_id, ignore_errors=True)
        except EngineError as error:
            log.warning("sandbox %s could not be removed yet: %s", sandbox_id, error)
            self._unremoved[sandbox_id] = engine_id
            return
        await self._outbounds.leave(sandbox_id)
