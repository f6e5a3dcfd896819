"""Which images go when they are pruned, and which never do."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes.engine import FakeEngine
from tests.fakes.images import builder_of
from wherry_proto.messages import ImageDefinition, ImageState, ImageStep
from wherry_service.engines.engine import EngineError, EngineImage
from wherry_service.images.builder import ImageBuilder
from wherry_service.images.definition import image_id, prefix
from wherry_service.images.maker import tag_of
from wherry_service.images.prune import Pruner
from wherry_service.store.blobs import BlobStore
from wherry_service.store.database import Database
from wherry_service.store.images import ImageRecord, ImageStore
from wherry_service.store.sources import SourceStore

DAY_MS = 86_400_000


@pytest.fixture
def builder(tmp_path: Path) -> Iterator[ImageBuilder]:
    database = Database(f"sqlite:///{tmp_path / 'wherry.db'}")
    database.begin()
    blobs = BlobStore(tmp_path / "blobs")
    sources = SourceStore(tmp_path / "sources", blobs)
    yield builder_of(FakeEngine({}), tmp_path / "work", ImageStore(database), blobs, sources)
    database.close()


def chain(name: str, *more: ImageStep) -> ImageDefinition:
    return ImageDefinition(steps=[ImageStep(kind="debian_slim"), ImageStep(kind="run_commands", args=[name]), *more])


async def built(
    builder: ImageBuilder, engine: FakeEngine, *wanted: ImageDefinition, days: float, **options: bool
) -> None:
    for definition in wanted:
        record = ImageRecord(image_id(definition), definition, ImageState.BUILT, **options)
        record.used_at_ms = time.time_ns() // 1_000_000 - int(days * DAY_MS)
        await builder.records.put(record)
        engine.images_here[tag_of(record.image_id)] = {}


def in_use(*image_ids: str) -> Callable[[], Awaitable[set[str]]]:
    async def answer() -> set[str]:
        return set(image_ids)

    return answer


def test_images_go_that_nothing_has_used_for_so_many_days(builder: ImageBuilder) -> None:
    engine = FakeEngine({})
    old, used, recent = chain("old"), chain("used"), chain("recent")

    async def main() -> list[str]:
        await built(builder, engine, old, used, days=31)
        await built(builder, engine, recent, days=29)
        pruner = Pruner(engine, builder, in_use(image_id(used)))
        would = await pruner.prune(30, dry_run=True)
        assert tag_of(image_id(old)) in engine.images_here
        went = await pruner.prune(30)
        assert [row.record.image_id for row in would] == [row.record.image_id for row in went]
        assert await pruner.prune(30) == []
        return [row.record.image_id for row in went]

    assert asyncio.run(main()) == [image_id(old)]
    assert sorted(engine.images_here) == sorted(tag_of(image_id(kept)) for kept in (used, recent))


def test_an_image_that_can_not_be_looked_at_keeps_no_other(builder: ImageBuilder) -> None:
    first, second = chain("first"), chain("second")

    class Half(FakeEngine):
        async def image(self, reference: str) -> EngineImage | None:
            if reference == tag_of(image_id(first)):
                raise EngineError("layer does not exist")
            return await super().image(reference)

    engine = Half({})

    async def main() -> None:
        await built(builder, engine, first, second, days=31)
        pruner = Pruner(engine, builder, in_use())
        for dry_run in (True, False):
            rows = {row.record.image_id: row.size_bytes for row in await pruner.prune(30, dry_run)}
            assert set(rows) == {image_id(first), image_id(second)}
            assert rows[image_id(first)] == 0

    asyncio.run(main())
    assert engine.images_here == {}


def test_what_a_kept_image_is_built_by_way_of_is_kept(builder: ImageBuilder) -> None:
    engine = FakeEngine({})
    function = ImageStep(kind="run_function", args=["make"], options={"fingerprint": "1"})
    whole = chain("kept", function, ImageStep(kind="env", options={"A": "1"}))
    gone = chain("gone", function, ImageStep(kind="env", options={"A": "1"}))
    over = ImageDefinition(steps=[ImageStep(kind="from_id", args=[image_id(whole)]), ImageStep(kind="cmd", args=["c"])])

    async def main() -> None:
        await built(builder, engine, over, days=1)
        await built(builder, engine, whole, gone, days=31)
        for definition in (whole, gone):
            await built(builder, engine, prefix(definition, 2), prefix(definition, 3), days=31, internal=True)
        await Pruner(engine, builder, in_use()).prune(30)

    asyncio.run(main())
    kept = [over, whole, prefix(whole, 2), prefix(whole, 3)]
    assert sorted(engine.images_here) == sorted(tag_of(image_id(one)) for one in kept)


def test_snapshots_are_kept_until_they_expire_and_as_long_as_something_needs_them(builder: ImageBuilder) -> None:
    now = time.time_ns() // 1_000_000
    over, later, used, ever, base = (f"im-{letter * 26}" for letter in "abcde")

    async def main() -> None:
        engine = FakeEngine({})
        for wanted, until in (
            (over, now - 1),
            (later, now + 60_000),
            (used, now - 1),
            (ever, "never"),
            (base, now - 1),
        ):
            labels = {"wherry.kind": "image", "wherry.image": wanted, "wherry.expires": f"{wanted} {until}"}
            engine.images_here[tag_of(wanted)] = labels
            await builder.adopt(wanted)
            await builder.records.used([wanted], at_ms=1)
        # What was built on one has its labels, and goes by its own time.
        above = "im-" + "f" * 26
        engine.images_here[tag_of(above)] = {**engine.images_here[tag_of(base)], "wherry.image": above}
        steps = [ImageStep(kind="from_id", args=[base]), ImageStep(kind="run_commands", args=["true"])]
        await builder.records.put(ImageRecord(above, ImageDefinition(steps=steps), ImageState.BUILT, used_at_ms=now))
        pruner = Pruner(engine, builder, in_use(used))
        assert await pruner.expire() == [over]
        assert await pruner.expire() == []
        assert [pruned.record.image_id for pruned in await pruner.prune(1, spares_snapshots=True)] == []
        # Whoever asks for it himself has them removed.
        assert {pruned.record.image_id for pruned in await pruner.prune(1)} == {later, ever}

    asyncio.run(main())
