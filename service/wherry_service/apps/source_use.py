"""Which source files are in use: of running apps, of versions that can be rolled back to, of sandboxes and images."""

import asyncio
import logging
from collections.abc import Iterable

from wherry_proto.messages import FunctionSpec, ImageState, SandboxSpec
from wherry_service.apps.register import AppRegister
from wherry_service.calls.call import Input
from wherry_service.errors import ServiceError
from wherry_service.pools.pools import Pools
from wherry_service.sandboxes.sandboxes import Sandboxes
from wherry_service.store.deployments import DeploymentStore
from wherry_service.store.images import ImageRecord, ImageStore
from wherry_service.store.sources import SourceStore

log = logging.getLogger(__name__)

DAY_S = 86_400.0
_STANDING = (ImageState.BUILT, ImageState.BUILDING)


class SourceUse:
    """Collects the source files that nothing uses."""

    def __init__(
        self,
        sources: SourceStore,
        apps: AppRegister,
        pools: Pools[Input],
        sandboxes: Sandboxes,
        deployments: DeploymentStore,
        images: ImageStore,
    ) -> None:
        self._sources = sources
        self._apps = apps
        self._pools = pools
        self._sandboxes = sandboxes
        self._deployments = deployments
        self._images = images

    async def sweep(self, keep_days: float) -> None:
        """Delete what nothing uses and nobody sent or asked for in that time; 0: never."""
        if not keep_days:
            return
        trees, contents = await self.in_use()
        try:
            removed = await asyncio.to_thread(self._sources.sweep, trees, contents, keep_days * DAY_S)
        except ServiceError as error:
            log.warning("source files that nothing uses stay until the next sweep: %s", error)
            return
        if removed:
            log.info("removed %d source files and lists of them, which nothing used", removed)

    async def in_use(self) -> tuple[set[str], set[str]]:
        """Return the ids of the trees in use, and of contents that are in use without one."""
        sandboxes = self._sandboxes.register.specs()
        specs: list[FunctionSpec | SandboxSpec] = [
            *self._apps.specs(), *await self._deployments.specs(), *sandboxes
        ]  # fmt: skip
        trees = trees_of(specs)
        for pool in self._pools:
            trees |= {pool.plan.load.source_id, *(mount[1] for mount in pool.plan.load.local_mounts)}
        image_trees, contents = files_of_images(await self._images.list(), {spec.image_id for spec in specs})
        return (trees | image_trees) - {""}, contents


def trees_of(specs: Iterable[FunctionSpec | SandboxSpec]) -> set[str]:
    """Return the trees that functions and sandboxes find in their containers."""
    return {one for spec in specs for one in (spec.source_id, *(mount.source_id for mount in spec.local_mounts))}


def files_of_images(records: Iterable[ImageRecord], used: set[str]) -> tuple[set[str], set[str]]:
    """Return the trees and the contents that the definitions of images name which are there, or which are used.

    One that is used may have been pruned: it is built again when it is needed, and what it begins with.
    """
    known = {record.image_id: record for record in records}
    wanted = used | {record.image_id for record in known.values() if record.state in _STANDING}
    trees: set[str] = set()
    contents: set[str] = set()
    seen: set[str] = set()
    while wanted:
        image_id = wanted.pop()
        seen.add(image_id)
        record = known.get(image_id)
        for step in record.definition.steps if record is not None else ():
            contents |= {file.blob_id for file in step.files if file.blob_id}
            if step.function is not None:
                trees |= trees_of([step.function])
            if step.kind == "from_id":
                wanted |= set(step.args) - seen
    return trees, contents
