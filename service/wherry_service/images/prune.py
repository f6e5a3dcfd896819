"""Removes images that nothing uses any more."""

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from wherry_proto.messages import ImageDefinition, ImageState
from wherry_service.engines.engine import Engine, EngineError
from wherry_service.images.builder import ImageBuilder
from wherry_service.images.maker import tag_of
from wherry_service.images.steps import stage_ids
from wherry_service.store.images import ImageRecord

log = logging.getLogger(__name__)

_DAY_MS = 86_400_000
# A snapshot's label: its id, and when it expires in milliseconds, or "never".
EXPIRES = "wherry.expires"


@dataclass(frozen=True, slots=True)
class Pruned:
    """An image that went, or would."""

    record: ImageRecord
    size_bytes: int


def _made_of(definition: ImageDefinition) -> list[str]:
    """Return the images that one begins with, or that it is built by way of: its next build begins there."""
    first = definition.steps[0]
    return [*stage_ids(definition), *(first.args if first.kind == "from_id" else ())]


class Pruner:
    """Knows which images are in use: those of apps, and those that other images begin with."""

    def __init__(self, engine: Engine, builder: ImageBuilder, in_use: Callable[[], Awaitable[set[str]]]) -> None:
        self._engine = engine
        self._builder = builder
        self._in_use = in_use

    async def prune(
        self, older_than_days: float, dry_run: bool = False, *, spares_snapshots: bool = False
    ) -> list[Pruned]:
        """Remove images not used for that many days; never one that an app, a container or another image needs.

        `spares_snapshots`: nor one that was to be kept for longer.
        """
        limit = time.time_ns() // 1_000_000 - int(older_than_days * _DAY_MS)
        records = await self._builder.records.list()
        in_use = await self._in_use()
        if spares_snapshots:
            now = time.time_ns() // 1_000_000
            in_use |= {image_id for image_id, expires in (await self._expiries()).items() if expires > now}
        kept = self._kept(records, limit, in_use)
        found: list[Pruned] = []
        for record in records:
            if record.state != ImageState.BUILT or record.image_id in kept:
                continue
            size_bytes = await self._size(record)
            if not dry_run and not await self._remove(record):
                continue
            found.append(Pruned(record, size_bytes))
        return found

    async def _size(self, record: ImageRecord) -> int:
        """Return an image's size in bytes, 0 where the engine can't say it: layers may go as it looks."""
        try:
            image = await self._engine.image(tag_of(record.image_id))
        except EngineError as error:
            log.info("the size of image %s is not known: %s", record.image_id, error)
            return 0
        return image.size_bytes if image is not None else 0

    async def expire(self) -> list[str]:
        """Remove snapshots that were to be kept until now, and that nothing needs; return their ids."""
        now = time.time_ns() // 1_000_000
        over = {image_id for image_id, expires in (await self._expiries()).items() if expires <= now}
        if not over:
            return []
        records = await self._builder.records.list()
        others = [record for record in records if record.image_id not in over and record.state == ImageState.BUILT]
        kept = self._kept(others, -1, await self._in_use())
        gone = [record for record in records if record.image_id in over - kept and record.state == ImageState.BUILT]
        return [record.image_id for record in gone if await self._remove(record)]

    async def _expiries(self) -> dict[str, float]:
        """Return until when snapshots are kept, in milliseconds; of those that have a time."""
        found: dict[str, float] = {}
        for image in await self._engine.images({"wherry.kind": "image"}):
            of_image, _, until = image.labels.get(EXPIRES, "").partition(" ")
            # What is built on one has its labels too.
            if of_image and of_image == image.labels.get("wherry.image"):
                found[of_image] = float("inf") if until == "never" else float(until)
        return found

    async def tidy(self) -> None:
        """Remove the images that an older runner is part of."""
        current = await self._builder.layer_hash()
        for image in await self._engine.images({"wherry.kind": "ready"}):
            for tag in image.tags:
                if tag.startswith("wherry/ready:") and not tag.endswith(f"-{current}"):
                    await self._engine.remove_image(tag)

    def _kept(self, records: list[ImageRecord], limit: int, in_use: set[str]) -> set[str]:
        kept = in_use | {record.image_id for record in records if record.used_at_ms > limit and not record.internal}
        # What an image that is kept begins with is kept, and so on.
        grown = True
        while grown:
            bases = {base for record in records if record.image_id in kept for base in _made_of(record.definition)}
            grown = not bases <= kept
            kept |= bases
        return kept

    async def _remove(self, record: ImageRecord) -> bool:
        wanted = record.image_id
        self._builder.forget(wanted)
        try:
            for image in await self._engine.images({"wherry.kind": "ready", "wherry.image": wanted}):
                for tag in image.tags:
                    if tag.startswith("wherry/ready:") and not await self._engine.remove_image(tag):
                        return False
            if not await self._engine.remove_image(tag_of(wanted)):
                return False
        except EngineError as error:
            log.warning("image %s could not be removed: %s", wanted, error)
            return False
        self._builder.logs.remove(wanted)
        await self._builder.records.set_state(wanted, ImageState.PRUNED)
        return True
