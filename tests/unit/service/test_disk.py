"""Server.Disk and Server.PruneCache, and how Docker is asked for them."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.engine import FakeEngine
from wherry_proto.messages import ServerDiskRequest, ServerPruneCacheRequest
from wherry_service.api.disk import DiskApi, disks
from wherry_service.engines.docker_stock import disk_of, prune_cache, stock_of
from wherry_service.engines.engine import EngineDisk


def test_it_tells_parts_images_cache_and_disks(tmp_path: Path) -> None:
    (tmp_path / "wherry.db").write_bytes(b"x" * 9000)
    told = asyncio.run(DiskApi(tmp_path, None, FakeEngine({"wherry/base:x": {}})).disk(ServerDiskRequest()))
    assert {part.name: part.files for part in told.parts if part.bytes} == {"database": 1}
    assert (told.num_images, told.images_bytes, told.cache_bytes, told.cache_unused_bytes) == (1, 1000, 500, 300)
    assert told.disks[0].path == str(tmp_path)
    assert 0 < told.disks[0].free_bytes <= told.disks[0].total_bytes
    assert told.engine_error == ""


def test_without_an_engine_it_tells_the_rest(tmp_path: Path) -> None:
    engine = FakeEngine({})
    engine.reachable = False
    told = asyncio.run(DiskApi(tmp_path, None, engine).disk(ServerDiskRequest()))
    assert told.engine_error
    assert len(told.parts) == 8
    assert len(told.disks) == 1


def test_cache_goes_only_when_it_is_no_dry_run(tmp_path: Path) -> None:
    api = DiskApi(tmp_path, None, FakeEngine({}))

    async def freed(dry_run: bool) -> int:
        return (await api.prune_cache(ServerPruneCacheRequest(dry_run=dry_run))).freed_bytes

    async def scenario() -> list[int]:
        return [await freed(dry_run) for dry_run in (True, True, False, True)]

    assert asyncio.run(scenario()) == [300, 300, 300, 0]


def test_a_disk_is_told_once_and_what_is_not_seen_from_here_is_left_out(tmp_path: Path) -> None:
    assert [one.path for one in disks(tmp_path, tmp_path.parent, tmp_path / "no", "")] == [str(tmp_path)]


class Answer:
    def __init__(self, value: Any) -> None:
        self._value = value

    def raise_for_status(self) -> None: ...

    def json(self) -> Any:
        return self._value


class Docker:
    """As much of docker.APIClient as is asked."""

    base_url, api_version = "http+docker://localhost", "1.41"

    def __init__(self, cache: Any) -> None:
        self._cache = cache

    def get(self, url: str, params: dict[str, str], timeout: int) -> Answer:
        assert url == "http+docker://localhost/v1.41/system/df"
        # Engines of before 23.0 do not know it, and look at everything.
        assert params == {"type": "build-cache"}
        return Answer({"BuildCache": self._cache})

    def post(self, url: str, timeout: int) -> Answer:
        assert url == "http+docker://localhost/v1.41/build/prune"
        return Answer({"SpaceReclaimed": 70})

    def info(self) -> dict[str, Any]:
        return {"DockerRootDir": "/var/lib/docker"}

    def containers(self, **_: Any) -> list[dict[str, Any]]:
        return [{"Id": "c1", "Labels": {"wherry.instance": "a"}}]

    def networks(self, **_: Any) -> list[dict[str, Any]]:
        return [{"Id": "n1", "Labels": {"wherry.instance": "a", "wherry.state_dir": "/s"}}]

    def volumes(self, **_: Any) -> dict[str, Any]:
        return {"Volumes": None}

    def images(self, filters: dict[str, str]) -> list[dict[str, Any]]:
        labels = {"wherry.kind": "image", "wherry.image": "im-1"}
        return [
            {"Id": "i0", "Labels": {"wherry.kind": "base"}, "Size": 100, "RepoTags": ["wherry/base:x"]},
            {"Id": "i1", "Labels": labels, "Size": 130, "RepoTags": ["wherry/image:1", "mine:latest"]},
            # Built by somebody on one of Wherry's, whose labels it has.
            {"Id": "i2", "Labels": labels, "Size": 900, "RepoTags": ["mine:2"]},
            {"Id": "i3", "Labels": labels, "Size": 900, "RepoTags": None},
        ]

    def inspect_image(self, engine_id: str) -> dict[str, Any]:
        return {"RootFS": {"Layers": ["a"] if engine_id == "i0" else ["a", "b"]}}


def test_docker_is_asked_for_the_build_cache_alone() -> None:
    rows = [{"Size": 5, "InUse": True}, {"Size": 7}, {"Size": 100, "Shared": True}, {"Size": None}]
    client: Any = Docker(rows)
    assert disk_of(client) == EngineDisk("/var/lib/docker", 2, 130, 12, 7)
    assert prune_cache(client) == 70


@pytest.mark.parametrize("cache", [None, []])
def test_an_engine_without_build_cache_has_none(cache: Any) -> None:
    client: Any = Docker(cache)
    assert disk_of(client).cache_bytes == 0


def test_images_are_wherrys_by_label_and_by_name_with_wherrys_tags_alone() -> None:
    client: Any = Docker([])
    stock = stock_of(client)
    assert [(image.tags, image.image_id) for image in stock.images] == [
        (("wherry/base:x",), ""),
        (("wherry/image:1",), "im-1"),
    ]
    assert [(one.instance, one.state_dir) for one in (*stock.containers, *stock.networks)] == [("a", ""), ("a", "/s")]
