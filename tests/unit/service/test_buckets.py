"""Mounts of buckets: shared by those who have them alike, gone with the last, taken over by a later life."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.fakes.engine import FakeEngine
from wherry_proto.messages import BucketMount, VolumeMount
from wherry_service.engines.engine import ContainerSpec, EngineUnreachable, Mount
from wherry_service.errors import InvalidRequest
from wherry_service.node import buckets as buckets_module
from wherry_service.node.bucket_helper import BucketError, BucketHelper, Surroundings, nowhere
from wherry_service.node.buckets import Buckets
from wherry_service.node.mounts import bucket_orders, volume_orders
from wherry_service.node.node import BucketOrder

KEY = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "kept-from-sight"}


class Helper(BucketHelper):
    """A helper whose container does nothing; what is asked of it is written down."""

    said: list[str]
    refuses = ""
    unwritten = ""

    async def mount(self, order: BucketOrder) -> None:
        self.said.append(f"mount {order.bucket}")
        await asyncio.sleep(0)
        if self.refuses:
            raise BucketError(self.refuses)
        spec = ContainerSpec(name=self._name, image="helper", command=("sleep", "60"), labels=self.labels)
        self.engine_id = await self._host.engine.create(spec)
        await self._host.engine.start(self.engine_id)
        self.source = f"/volumes/{order.bucket}/files"
        await self._host.engine.create_volume(self._name, self.labels)

    async def ensure(self, order: BucketOrder) -> None:
        self.said.append("ensure")

    async def flush(self, within_s: float) -> str:
        self.said.append("flush")
        return self.unwritten

    async def end(self, within_s: float) -> str:
        self.said.append("end")
        if not self.unwritten:
            await self._remove()
        return self.unwritten

    async def discard(self) -> str:
        self.said.append("discard")
        await self._remove()
        return ""


class House:
    """An engine and the buckets of a node, which can begin another life."""

    def __init__(self, folder: Path) -> None:
        self.engine = FakeEngine({"helper": {}, "user": {}})
        self.host = Surroundings(self.engine, "instance", folder / "buckets", nowhere, {}, lambda: "")  # type: ignore[arg-type]
        self.said: list[str] = []
        self.helpers: list[Helper] = []
        self.refuses = ""
        self.buckets = self.begin()

    def begin(self) -> Buckets:
        self.buckets = Buckets(self.host, self._make)
        return self.buckets

    def _make(self, host: Surroundings, mount_id: str) -> Helper:
        helper = Helper(host, mount_id)
        helper.said, helper.refuses = self.said, self.refuses
        self.helpers.append(helper)
        return helper

    async def user(self, name: str, *orders: BucketOrder) -> list[Mount]:
        """Make a container with these buckets, as the node does."""
        mounts, labels = await self.buckets.acquire(name, orders)
        labels = {"wherry.instance": "instance", "wherry.container": name, **labels}
        engine_id = await self.engine.create(
            ContainerSpec(name=name, image="user", command=("sleep", "60"), labels=labels)
        )
        await self.engine.start(engine_id)
        return mounts

    async def end(self, name: str) -> None:
        for status in await self.engine.list({"wherry.container": name}):
            await self.engine.remove(status.engine_id)
        await self.buckets.release(name)

    async def close(self) -> None:
        await self.buckets.close()
        await self.engine.close()


def run(folder: Path, story: Callable[[House], Awaitable[None]]) -> None:
    async def whole() -> None:
        house = House(folder)
        try:
            await story(house)
        finally:
            await house.close()

    asyncio.run(whole())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def order(bucket: str = "abc", read_only: bool = False, **credentials: str) -> BucketOrder:
    return BucketOrder(bucket, "/b", read_only=read_only, credentials=credentials or KEY)


def test_those_who_have_a_bucket_alike_share_a_mount_which_goes_with_the_last(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        first, second = await asyncio.gather(house.user("co-1", order()), house.user("co-2", order()))
        assert first == second == [Mount("/volumes/abc/files", "/b")]
        assert house.said == ["mount abc"]

        await house.end("co-1")
        assert house.said == ["mount abc"]
        await house.end("co-2")
        assert house.said == ["mount abc", "end"]
        assert house.engine.volumes_here == {}

        await house.user("co-3", order())
        assert house.said[2:] == ["mount abc"]

    run(tmp_path, story)


@pytest.mark.parametrize(
    "other",
    [
        order("def"),
        order(read_only=True),
        order(AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="new"),
        BucketOrder("abc", "/b", key_prefix="part/", credentials=KEY),
        BucketOrder("abc", "/b", endpoint_url="https://host", credentials=KEY),
        BucketOrder("abc", "/b", requester_pays=True, credentials=KEY),
    ],
)
def test_whoever_wants_another_thing_has_another_mount(tmp_path: Path, other: BucketOrder) -> None:
    async def story(house: House) -> None:
        await house.user("co-1", order())
        await house.user("co-2", other)
        assert len(house.said) == 2
        labels = [dict(container.spec.labels) for container in house.engine.containers.values()]
        assert "kept-from-sight" not in str(labels)

    run(tmp_path, story)


def test_one_that_can_not_be_mounted_gives_back_the_others(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        await house.user("co-1", order())
        house.refuses = "no such bucket"
        with pytest.raises(BucketError, match="no such bucket"):
            await house.user("co-2", order(), order("def"))
        await house.end("co-1")
        assert house.said == ["mount abc", "mount def", "end"]

    run(tmp_path, story)


def test_a_later_life_takes_over_what_is_used_and_ends_the_rest(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        await house.user("co-1", order())
        await house.user("co-2", order("def"))
        for status in await house.engine.list({"wherry.container": "co-2"}):
            await house.engine.remove(status.engine_id)
        house.said.clear()

        buckets = house.begin()
        await buckets.recover()
        await until(lambda: house.said == ["end"])
        await house.user("co-3", order())
        await house.user("co-4", order())
        assert house.said == ["end", "ensure"]
        for user in ("co-1", "co-3", "co-4"):
            await house.end(user)
        assert house.said == ["end", "ensure", "end"]

    run(tmp_path, story)


def test_what_a_call_wrote_is_taken_before_its_end_is_told_also_early_in_a_later_life(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        await house.user("co-1", order())
        await house.user("co-2")
        house.said.clear()

        buckets = house.begin()
        for user in ("co-1", "co-2"):
            buckets.adopted(user)
        # Its input ends before anyone has looked what is mounted.
        assert buckets.has("co-1")
        assert await buckets.flush("co-1") == []
        assert house.said == ["flush"]
        assert buckets.has("co-1")
        assert not buckets.has("co-2")
        assert await buckets.flush("co-2") == []
        assert house.said == ["flush"]
        await house.end("co-1")

    run(tmp_path, story)


def test_an_engine_that_is_away_holds_no_input_up(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        buckets = house.begin()
        buckets.adopted("co-1")
        house.engine.reachable = False
        assert await buckets.flush("co-1") == []
        assert not buckets.has("co-1")
        house.engine.reachable = True

    run(tmp_path, story)


def test_a_later_life_takes_away_what_a_dead_helper_left(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        await house.user("co-1", order())
        await house.engine.remove(house.helpers[0].engine_id)
        house.said.clear()
        await house.begin().recover()
        await until(lambda: house.said == ["discard"])
        assert house.engine.volumes_here == {}

    run(tmp_path, story)


def test_who_lost_a_bucket_while_no_service_ran_is_told_when_it_is_taken_over(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        await house.user("co-1", order())
        await house.user("co-2", order())
        await house.engine.remove(house.helpers[0].engine_id)

        buckets = house.begin()
        told: list[str] = []
        buckets.watch("co-1", lambda reason: told.append("co-1"))
        await buckets.recover()
        buckets.watch("co-2", lambda reason: told.append("co-2"))
        assert told == ["co-1", "co-2"]

    run(tmp_path, story)


def test_who_has_a_bucket_that_is_lost_is_told_and_the_next_has_a_new_mount(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        await house.user("co-1", order())
        told: list[str] = []
        house.buckets.watch("co-1", told.append)
        house.buckets.died("another")
        house.buckets.died(house.helpers[0].engine_id)
        await until(lambda: "discard" in house.said)
        assert told == ["lost its bucket: the container that had mounted it has ended"]
        await house.user("co-2", order())
        assert house.said == ["mount abc", "discard", "mount abc"]

    run(tmp_path, story)


def test_what_the_store_does_not_take_keeps_the_mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets_module, "END_EVERY_S", 0.01)

    async def story(house: House) -> None:
        await house.user("co-1", order())
        (helper,) = house.helpers
        helper.unwritten = "a.txt could not be written into the bucket yet"
        assert await house.buckets.flush("co-1") == [helper.unwritten]
        await house.end("co-1")
        await until(lambda: house.said.count("end") > 2)
        assert house.engine.volumes_here != {}
        helper.unwritten = ""
        await until(lambda: house.engine.volumes_here == {})

    run(tmp_path, story)


def test_an_engine_that_is_away_is_the_containers_error(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.engine.reachable = False
        with pytest.raises(EngineUnreachable):
            await house.user("co-1", order())
        house.engine.reachable = True
        await house.user("co-1", order())

    run(tmp_path, story)


@pytest.mark.parametrize(
    ("mount", "said"),
    [
        (BucketMount(path="/etc", bucket="abc"), "/etc"),
        (BucketMount(path="/data", bucket="abc"), "two volumes or mounts at /data"),
        (BucketMount(path="/b", bucket="a b"), "no name of a bucket"),
        (BucketMount(path="/b", bucket="abc", endpoint_url="file:///etc"), "endpoint of bucket 'abc'"),
        (BucketMount(path="/b", bucket="abc", key_prefix="../"), "no prefix of keys"),
    ],
)
def test_the_service_checks_what_clients_ask(mount: BucketMount, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        volume_orders("f", [VolumeMount(volume_id="vo-1", path="/data")], [], [mount])


def test_a_secret_without_a_key_is_told() -> None:
    async def values(ids: object) -> dict[str, str]:
        return {"AWS_ACCESS_KEY_ID": "a"}

    mount = BucketMount(path="/b", bucket="abc", secret_id="st-1")
    with pytest.raises(InvalidRequest, match="secret of bucket 'abc' has no AWS_SECRET_ACCESS_KEY"):
        asyncio.run(bucket_orders("f", [mount], values))
