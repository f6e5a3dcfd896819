"""The node agent of this host: makes containers through the engine and serves their runners' sockets."""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from wherry_service.engines.containment import Containment
from wherry_service.engines.engine import ContainerStatus, Engine, EngineError, EngineEvent
from wherry_service.engines.gpus import gpu_ids_of
from wherry_service.ids import instance_of
from wherry_service.logs.masks import Masks
from wherry_service.node.buckets import Buckets
from wherry_service.node.container_files import CONTAINMENT_LABEL, LABEL, LAYOUT, remove_directory
from wherry_service.node.events import Hearer
from wherry_service.node.local_container import ConnectGuest, ConnectWeb, LocalContainer
from wherry_service.node.node import (
    ContainerOrder,
    FoundContainer,
    LoadOrder,
    NodeContainer,
)
from wherry_service.node.value_receiver import ValueReceiver
from wherry_service.store.blobs import BlobStore
from wherry_service.store.sources import SourceStore
from wherry_service.store.volumes import VolumeStore
from wherry_service.tasks import Tasks

log = logging.getLogger(__name__)
C = TypeVar("C")

# Seconds after its end for which a container may still be on its way out.
LEFT_OVER_AFTER_S = 10.0
REMOVE_EVERY_S = 0.2


# large: six of its attributes are what containers find here (`local_container.Host`), each given once
class LocalNode:
    """One host's containers, through its engine (implements `node.Node`).

    `directory` holds one subdirectory per container (see container_files.py). At most `starts_at_once`
    containers are being started at any time: the engine only gets slower with more.
    """

    def __init__(
        self,
        engine: Engine,
        directory: Path,
        blobs: BlobStore,
        sources: SourceStore,
        volumes: VolumeStore,
        buckets: Buckets,
        masks: Masks,
        containment: Containment,
        starts_at_once: int,
        connect_guest: ConnectGuest,
        connect_web: ConnectWeb,
    ) -> None:
        self.containment = containment
        self.engine = engine
        self.directory = directory
        self.blobs = blobs
        self.sources = sources
        self.volumes = volumes
        self.buckets = buckets
        self.masks = masks
        self.receiver = ValueReceiver()
        self.start_slots = asyncio.Semaphore(starts_at_once)
        self.connect_guest = connect_guest
        self.connect_web = connect_web
        self.instance = instance_of(directory)
        self._containers: dict[str, LocalContainer] = {}
        self._found: dict[str, str] = {}
        # Ended, and not removed since the engine did not answer.
        self._unremoved: dict[str, LocalContainer] = {}
        self._tasks = Tasks("a task of the node agent failed")
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    @property
    def labels(self) -> dict[str, str]:
        """The labels that mark what this service made."""
        return {"wherry.instance": self.instance, "wherry.kind": "container"}

    def begin(self) -> None:
        """Start to follow the engine's events."""
        self.spawn(self._follow_events())

    # node.Node

    def start(self, order: ContainerOrder, hearer: Hearer[C]) -> NodeContainer:
        container = LocalContainer(self, order.container_id, order.load, hearer, self._forget)
        self._containers[order.container_id] = container
        self.spawn(container.begin(order))
        return container.conversation

    async def find(self) -> list[FoundContainer]:
        found: list[FoundContainer] = []
        for status in await self.engine.list(self.labels):
            container_id = status.labels.get("wherry.container", "")
            if container_id in self._containers:
                continue
            if status.running and self._is_as_ordered_now(status) and (self.directory / container_id).is_dir():
                self._found[container_id] = status.engine_id
                labels = status.labels
                function_id, revision = labels.get("wherry.function", ""), labels.get("wherry.revision", "")
                found.append(FoundContainer(container_id, function_id, revision, gpu_ids_of(labels)))
            else:
                log.info("removing container %s, left behind by an earlier life", container_id)
                await self.engine.remove(status.engine_id)
        known = {item.container_id for item in found}
        for directory in self.directory.iterdir():
            if directory.name not in known and directory.name not in self._containers:
                await asyncio.to_thread(remove_directory, directory)
        return found

    def _is_as_ordered_now(self, status: ContainerStatus) -> bool:
        """Whether a container of an earlier life is contained as those of this one."""
        labels = status.labels
        return labels.get(LABEL) == LAYOUT and labels.get(CONTAINMENT_LABEL, "") == self.containment.mark

    def adopt(self, found: FoundContainer, load: LoadOrder, hearer: Hearer[C]) -> NodeContainer:
        container = LocalContainer(self, found.container_id, load, hearer, self._forget)
        self._containers[found.container_id] = container
        self.spawn(container.adopt(self._found.pop(found.container_id)))
        return container.conversation

    async def discard(self, container_id: str) -> None:
        engine_id = self._found.pop(container_id, None)
        if engine_id is not None:
            log.info("removing container %s, whose function is gone", container_id)
            await self.engine.remove(engine_id)
            await asyncio.to_thread(remove_directory, self.directory / container_id)
            await self.buckets.release(container_id)

    async def left_over(self, label: str, value: str) -> list[str]:
        # Those that have ended are still being removed; only what stays is left over.
        of_label = [c for c in self._containers.values() if c.labels.get(label) == value]
        ending = [c.gone.wait() for c in of_label]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEFT_OVER_AFTER_S):
                await asyncio.gather(*ending)
        try:
            async with asyncio.timeout(LEFT_OVER_AFTER_S):
                return await self._remove_all({**self.labels, label: value})
        except (EngineError, TimeoutError) as error:
            log.warning("the engine can't say what is left over: %s", error or "it is slow")
            of_label += [c for c in self._unremoved.values() if c.labels.get(label) == value]
            return sorted({c.name for c in of_label if c.engine_id and not c.removed})

    async def _remove_all(self, labels: dict[str, str]) -> list[str]:
        """Have the engine remove what it shows with these labels; name what it can't."""
        failed: set[str] = set()
        while statuses := [s for s in await self.engine.list(labels) if s.name not in failed]:
            for status in statuses:
                log.warning("removing container %s, which should have ended with its app", status.name)
                try:
                    await self.engine.remove(status.engine_id)
                except EngineError as error:
                    log.warning("container %s could not be removed: %s", status.name, error)
                    failed.add(status.name)
            await asyncio.sleep(REMOVE_EVERY_S)
        return sorted(failed)

    def known(self, label: str, value: str) -> list[str]:
        of_label = [c for c in (*self._containers.values(), *self._unremoved.values()) if c.labels.get(label) == value]
        return sorted({c.name for c in of_label if not c.removed})

    def engine_id(self, container_id: str) -> str:
        """Return the engine's id of a container that runs; "" if there is none."""
        container = self._containers.get(container_id)
        return container.engine_id if container is not None else ""

    async def close(self) -> None:
        containers = list(self._containers.values())
        for container in containers:
            container.kill("was ended with the service")
        await asyncio.gather(*(container.gone.wait() for container in containers))
        await self._tasks.close()
        await self.buckets.close()
        await asyncio.to_thread(self.receiver.close)

    # For the containers

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine beside everything else; an error in it is logged, never lost."""
        return self._tasks.spawn(work)

    def remove_later(self, container: LocalContainer) -> None:
        """Remove a container as soon as the engine answers again."""
        self._unremoved[container.container_id] = container

    def _forget(self, container: LocalContainer) -> None:
        self._containers.pop(container.container_id, None)

    # Following the engine

    async def _follow_events(self) -> None:
        async for event in self.engine.events({"wherry.instance": self.instance}):
            if event.kind == "reconnected":
                # Also what an earlier life has mounted: this is the first that is told.
                self.spawn(self._look_for_buckets())
                if self._containers or self._unremoved:
                    log.warning("following the engine's events anew; looking what became of the containers")
                    self.spawn(self._reconcile())
            elif event.kind in ("die", "oom"):
                self._heard(event)

    async def _look_for_buckets(self) -> None:
        try:
            await self.buckets.reconcile()
        except EngineError as error:
            log.warning("mounts of buckets can't be looked for until the engine answers: %s", error)

    def _heard(self, event: EngineEvent) -> None:
        if event.kind == "die":
            self.buckets.died(event.engine_id)
        container = self._containers.get(event.labels.get("wherry.container", ""))
        # An image has labels too, which the containers that are made of it have as if they were their own.
        if container is None or container.engine_id != event.engine_id:
            return
        if event.kind == "oom":
            container.memory.hear()
        else:
            container.on_died(event.exit_code)

    async def _reconcile(self) -> None:
        try:
            running = {
                status.labels.get("wherry.container", "")
                for status in await self.engine.list(self.labels)
                if status.running
            }
        except EngineError as error:
            log.warning("the engine went away again: %s", error)
            return
        for container_id in list(self._unremoved):
            self.spawn(self._unremoved.pop(container_id).remove())
        for container in list(self._containers.values()):
            if container.started and container.container_id not in running:
                container.on_died(None)
