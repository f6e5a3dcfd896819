"""One container on this host: its directory, its socket, and what becomes of it."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

from wherry_service.engines.containment import NO_LIMIT, Containment
from wherry_service.engines.engine import (
    ContainerSpec,
    DeviceMissing,
    Engine,
    EngineError,
    ImageMissing,
    Mount,
    RuntimeMissing,
)
from wherry_service.engines.gpus import gpu_label
from wherry_service.errors import ServiceError
from wherry_service.logs.masks import Masks
from wherry_service.node.buckets import Buckets
from wherry_service.node.container_files import CONTAINMENT_LABEL, LABEL, LAYOUT, ContainerFiles, volume_mounts
from wherry_service.node.conversation import Conversation
from wherry_service.node.deaths import LackOfMemory, death_of
from wherry_service.node.events import ContainerExit, Hearer
from wherry_service.node.node import ContainerOrder, LoadOrder
from wherry_service.node.passing import is_passing
from wherry_service.node.runner_load import RunnerLoad
from wherry_service.node.silence import Silence
from wherry_service.node.value_receiver import ValueReceiver
from wherry_service.store.blobs import BlobStore
from wherry_service.store.sources import SourceStore
from wherry_service.store.trouble import in_words
from wherry_service.store.volumes import VolumeStore

log = logging.getLogger(__name__)

COMMAND = ("python3", "/wherry/runner/wherry_runner/__main__.py")
HELLO_DEADLINE_S = 60.0
RECONNECT_DEADLINE_S = 30.0
_LOG_TAIL_LINES = 20


# Makes the protocol that answers a container's own requests: (container id, app id).
ConnectGuest = Callable[[str, str], asyncio.Protocol]
# Makes what makes the protocol of its requests to web endpoints and tunnels: (container id, app id).
ConnectWeb = Callable[[str, str], Callable[[], asyncio.Protocol]]


class Host(Protocol):
    """What a container needs of its node (see local.py)."""

    engine: Engine
    directory: Path
    blobs: BlobStore
    sources: SourceStore
    volumes: VolumeStore
    buckets: Buckets
    containment: Containment
    receiver: ValueReceiver
    # What must not appear in what containers print.
    masks: Masks
    start_slots: asyncio.Semaphore
    connect_guest: ConnectGuest
    connect_web: ConnectWeb

    @property
    def labels(self) -> dict[str, str]: ...
    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]: ...
    def remove_later(self, container: "LocalContainer") -> None: ...


class LocalContainer:
    """One container's life: its directory, the engine's container, and its end (implements `conversation.Life`)."""

    def __init__(
        self,
        host: Host,
        container_id: str,
        load: LoadOrder,
        hearer: Hearer[Any],
        forget: Callable[["LocalContainer"], None],
    ) -> None:
        self.container_id = container_id
        self.engine_id = ""
        # Whether the engine has started it: until then it is not missed where none runs.
        self.started = False
        self.memory = LackOfMemory(self._tell_oom)
        self.gone = asyncio.Event()
        self.removed = False
        self.is_dying = False
        self.kill_reason = ""
        self._host = host
        self._load = RunnerLoad(load)
        self._forget = forget
        self._files = ContainerFiles(host.directory / container_id, host.blobs, host.sources, host.receiver)
        masker = host.masks.masker(load.app_id, container_id)
        self.conversation = Conversation(container_id, self._load, self, self._files, host.buckets, masker, hearer)
        self._memory_limit = NO_LIMIT
        self._silence = Silence(self.kill)

    @property
    def labels(self) -> dict[str, str]:
        """The labels that tell this container from the service's others."""
        load = self._load.order
        return {
            "wherry.container": self.container_id,
            "wherry.app": load.app_id,
            "wherry.function": load.function_id,
            "wherry.revision": load.revision,
        }

    @property
    def name(self) -> str:
        """The engine's name for it."""
        return f"wherry-{self.container_id}"

    # Beginning

    async def begin(self, order: ContainerOrder) -> None:
        """Make the directory, listen, and have the engine create and start the container."""
        limits = order.memory_limit_mib, order.memory_request_mib
        self._memory_limit = self._host.containment.memory_limit(*limits)
        # Under the app's id too, until it stops: what is told of the app may quote them when the container has ended.
        for owner_id in (self.container_id, order.load.app_id):
            self._host.masks.add(owner_id, order.secrets.values())
        held = ExitStack()
        try:
            self._files.make()
            await self._listen()
            self._load.begin(self._files, order.secrets)
            mounts = await asyncio.to_thread(self._files.write_mounts, order.load.local_mounts)
            mounts += await asyncio.to_thread(volume_mounts, self._host.volumes, order.volumes, held)
            bucket_mounts, bucket_labels = await self._host.buckets.acquire(self.container_id, order.buckets)
            self._host.buckets.watch(self.container_id, self.kill)
            async with self._host.start_slots:
                if self.kill_reason:
                    raise EngineError(self.kill_reason)
                self.engine_id = await self._host.engine.create(
                    self._spec(order, [*mounts, *bucket_mounts], bucket_labels)
                )
                await self._host.engine.start(self.engine_id)
            self.started = True
        except (EngineError, ServiceError, OSError) as error:
            passes = is_passing(error)
            if not passes and not self.kill_reason:
                log.warning("container %s could not start: %s", self.container_id, error)
            await self._finish(
                ContainerExit(
                    reason=in_words(error),
                    not_started=True,
                    permanent=not passes
                    and isinstance(error, ImageMissing | DeviceMissing | RuntimeMissing | ServiceError),
                    host_failed=passes,
                )
            )
            return
        finally:
            held.close()
        if self.kill_reason:
            self.kill(self.kill_reason)
        # On a busy machine the runner may be there before the engine says that it has started it.
        if not self.conversation.callers.was_greeted:
            self.watch(HELLO_DEADLINE_S, f"did not answer within {HELLO_DEADLINE_S:.0f} s of its start")
            self.spawn(self._silence.look_into(self._host.engine, self.engine_id))

    async def adopt(self, engine_id: str) -> None:
        """Listen again for a runner that an earlier life of the service left running."""
        self.engine_id = engine_id
        self.conversation.loaded = self.started = True
        self.conversation.holdings.from_earlier_life = True
        self._host.buckets.adopted(self.container_id)
        self._host.buckets.watch(self.container_id, self.kill)
        try:
            await self._listen()
        except OSError as error:
            log.warning("container %s can't be taken over: %s", self.container_id, error)
            self.kill(f"could not be taken over: {error}")
            return
        self.watch(RECONNECT_DEADLINE_S, f"did not come back within {RECONNECT_DEADLINE_S:.0f} s")

    async def _listen(self) -> None:
        connect, app_id = self._host.connect_guest, self._load.order.app_id
        await self._files.listen(
            self.container_id,
            self.conversation.connect,
            lambda: connect(self.container_id, app_id),
            self._host.connect_web(self.container_id, app_id),
        )

    def _spec(self, order: ContainerOrder, mounts: Sequence[Mount], labels: Mapping[str, str]) -> ContainerSpec:
        return ContainerSpec(
            name=self.name,
            image=order.image,
            command=COMMAND,
            mounts=(self._files.mount, *mounts),
            labels={
                **self._host.labels,
                **self.labels,
                **labels,
                **gpu_label(order.gpu_ids),
                LABEL: LAYOUT,
                CONTAINMENT_LABEL: self._host.containment.mark,
            },
            env=order.env,
            cpu_limit=order.cpu_limit,
            cpu_request=order.cpu_request,
            memory_limit_mib=self._memory_limit.mib,
            memory_request_mib=order.memory_request_mib,
            network="none" if order.block_network else "bridge",
            pids_limit=None,
            disk_limit_mib=order.disk_limit_mib,
            gpu_ids=tuple(order.gpu_ids),
            runtime=self._host.containment.runtime,
            user=self._host.containment.user,
        )

    # conversation.Life

    def kill(self, reason: str) -> None:
        self.kill_reason = self.kill_reason or reason
        if self.engine_id and not self.is_dying:
            self._host.spawn(self._kill())

    async def _kill(self) -> None:
        try:
            await self._host.engine.kill(self.engine_id)
        except EngineError as error:
            log.warning("container %s could not be killed: %s", self.container_id, error)
        # The engine's event tells the exit; where it stays silent (it is restarting, say), look for ourselves.
        try:
            await asyncio.wait_for(self.gone.wait(), 5.0)
        except TimeoutError:
            self.on_died(None)

    def watch(self, seconds: float, reason: str) -> None:
        self._silence.watch(seconds, reason)

    def heard(self) -> None:
        self._silence.heard()

    def fell_silent(self) -> None:
        if not self.is_dying:
            self.watch(RECONNECT_DEADLINE_S, f"lost its connection for {RECONNECT_DEADLINE_S:.0f} s")
            # Usually the container has died: the engine's event is on its way, but it may be missed.
            self._host.spawn(self._check_alive())

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._host.spawn(work)

    async def _check_alive(self) -> None:
        try:
            await asyncio.wait_for(self.gone.wait(), 2.0)
        except TimeoutError:
            try:
                status = await self._host.engine.inspect(self.engine_id)
            except EngineError:
                return
            if status is None or not status.running:
                self.on_died(None)

    # The end

    def _tell_oom(self) -> bool:
        if not self.is_dying:
            text = f"a process in this container was killed: it ran out of memory{self._memory_limit}"
            self.conversation.say(text)
        return not self.is_dying

    def on_died(self, exit_code: int | None) -> None:
        """Hear from the engine that the container has ended."""
        if not self.is_dying:
            self.is_dying = True
            self._host.spawn(self._bury(exit_code))

    async def _bury(self, exit_code: int | None) -> None:
        self.heard()
        await self.conversation.read_out(within_s=2.0)
        engine, tail = self._host.engine, ""
        death = await death_of(
            engine, self.engine_id, exit_code, lambda: self.memory.is_short, is_ours=bool(self.kill_reason)
        )
        try:
            if death.exit_code or self.kill_reason:
                masker = self._host.masks.masker(self._load.order.app_id, self.container_id)
                tail = masker.text(await engine.log_tail(self.engine_id, _LOG_TAIL_LINES))
        except EngineError as error:
            log.warning("container %s ended; the engine has no last words of it: %s", self.container_id, error)
        loaded = self.conversation.loaded
        await self._finish(
            ContainerExit(
                exit_code=death.exit_code,
                oom_killed=death.oom_killed,
                memory_limit=self._memory_limit or self._host.containment.found_limit(death.memory_limit_mib),
                reason=self.kill_reason,
                log_tail=tail,
                not_started=not loaded,
                permanent=self._silence.is_unreached,
                # An engine that was killed meanwhile: it says nothing of what ran.
                host_failed=not loaded
                and (self._load.lacks_disk or (death.exit_code is None and not self.kill_reason)),
            )
        )

    async def _finish(self, exit: ContainerExit) -> None:
        self.is_dying = True
        self.heard()
        self._files.stop_listening()
        await self.conversation.end(exit)
        self._host.masks.forget(self.container_id)
        if self.engine_id:
            await self.remove()
        await self._host.buckets.release(self.container_id)
        await self._load.wait()
        await asyncio.to_thread(self._files.remove)
        self._forget(self)
        self.gone.set()

    async def remove(self) -> None:
        """Remove it from the engine, now or when the engine answers again."""
        try:
            await self._host.engine.remove(self.engine_id)
            self.removed = True
        except EngineError as error:
            log.warning("container %s could not be removed yet: %s", self.container_id, error)
            self._host.remove_later(self)
