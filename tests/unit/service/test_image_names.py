"""Names of images."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests.databases import Disk
from wherry_proto.messages import (
    ImageDefinition,
    ImageNameRequest,
    ImageNamesRequest,
    ImagePublishRequest,
    ImageState,
    ImageStep,
)
from wherry_service.api.image_names import ImageNameApi
from wherry_service.errors import Exhausted, InvalidRequest, NotFound
from wherry_service.store import image_names as limits
from wherry_service.store.environment_records import EnvironmentRecords
from wherry_service.store.environments import EnvironmentStore
from wherry_service.store.image_names import ImageNames
from wherry_service.store.images import ImageRecord, ImageStore

Scenario = Callable[["World"], Coroutine[Any, Any, None]]


class World:
    def __init__(self, database: Any) -> None:
        self.images = ImageStore(database)
        self.names = ImageNames(database)
        self.environments = EnvironmentStore(database)
        self.environment_records = EnvironmentRecords(database)
        self.api = ImageNameApi(self.names, SimpleNamespace(records=self.images))  # type: ignore[arg-type]

    async def built(self, image_id: str, state: int = ImageState.BUILT) -> None:
        definition = ImageDefinition(steps=[ImageStep(kind="from_registry", args=[image_id])])
        await self.images.put(ImageRecord(image_id, definition, state), "main")

    async def publish(self, name: str, image_id: str, environment: str = "main") -> str:
        request = ImagePublishRequest(name=name, environment=environment, image_id=image_id)
        return (await self.api.publish(request)).name

    async def named(self, name: str, environment: str = "main") -> str:
        return (await self.api.named(ImageNameRequest(name=name, environment=environment))).image_id

    async def listed(self, **asked: str) -> list[tuple[str, str]]:
        asked.setdefault("environment", "main")
        return [(one.name, one.image_id) for one in (await self.api.names(ImageNamesRequest(**asked))).names]


@pytest.fixture
def run(disk: Disk) -> Iterator[Callable[[Scenario], None]]:
    database = disk.database()

    async def live(scenario: Scenario) -> None:
        world = World(database)
        for image_id in ("im-1", "im-2"):
            await world.built(image_id)
        await scenario(world)

    yield lambda scenario: asyncio.run(live(scenario))
    database.close()


def test_a_name_means_the_image_that_was_published_last(run: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        assert await world.publish("base", "im-1") == "base:latest"
        assert await world.publish("base:v1", "im-1") == "base:v1"
        assert await world.publish("base:latest", "im-2") == "base:latest"
        assert (await world.named("base"), await world.named("base:v1")) == ("im-2", "im-1")
        assert await world.listed() == [("base:latest", "im-2"), ("base:v1", "im-1")]
        assert await world.listed(prefix="base:v") == [("base:v1", "im-1")]
        assert await world.listed(prefix="b%") == []
        assert await world.listed(name="base") == [("base:latest", "im-2"), ("base:latest", "im-1")]
        # What no name means any more may be pruned.
        await world.publish("base:v1", "im-2")
        assert await world.names.image_ids() == {"im-2"}
        await world.api.unpublish(ImageNameRequest(name="base"))
        with pytest.raises(NotFound, match="no image is named 'base:latest' in environment 'main'"):
            await world.named("base")
        with pytest.raises(NotFound):
            await world.listed(name="base")

    run(scenario)


def test_names_belong_to_environments(run: Callable[[Scenario], None]) -> None:
    async def scenario(world: World) -> None:
        await world.publish("base", "im-1")
        await world.publish("base", "im-2", "dev")
        assert (await world.named("base"), await world.named("base", "dev")) == ("im-1", "im-2")
        # Who may see the environment may use the image.
        assert await world.environments.of_image("im-2") == {"main", "dev"}
        await world.environment_records.rename("dev", "test")
        assert await world.named("base", "test") == "im-2"
        await world.environment_records.delete("test", "gone-1")
        with pytest.raises(NotFound):
            await world.named("base", "test")
        assert await world.names.image_ids() == {"im-1"}

    run(scenario)


@pytest.mark.parametrize("name", ["", "a b", "a:b:c", "../x", "a/b", ":v1", "a:", "-a", "a" * 129, "a\n"])
def test_what_is_no_name_is_refused(run: Callable[[Scenario], None], name: str) -> None:
    async def scenario(world: World) -> None:
        with pytest.raises(InvalidRequest, match="can't be the name of an image"):
            await world.publish(name, "im-1")

    run(scenario)


def test_only_what_is_built_has_a_name_and_there_are_only_so_many(
    run: Callable[[Scenario], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "KEPT", 3)
    monkeypatch.setattr(limits, "MOST_NAMES", 2)

    async def scenario(world: World) -> None:
        await world.built("im-3", ImageState.FAILED)
        for image_id in ("im-3", "im-4"):
            with pytest.raises(NotFound, match="that is built"):
                await world.publish("base", image_id)
        for _ in range(5):
            await world.publish("base", "im-1")
        assert len(await world.listed(name="base")) == 3
        await world.publish("other", "im-1")
        with pytest.raises(Exhausted, match="names of images already"):
            await world.publish("third", "im-1")
        await world.publish("other", "im-2")
        await world.publish("third", "im-1", "dev")

    run(scenario)
