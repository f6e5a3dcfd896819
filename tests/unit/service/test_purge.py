"""Removing all that a state directory keeps: never what is another's, or not Wherry's."""

import asyncio
import contextlib
import fcntl
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from wherry_service import purge
from wherry_service.engines.docker_connection import DockerConnection
from wherry_service.engines.docker_purge import DockerStock
from wherry_service.engines.docker_stock import Kept, KeptImage, Stock, bytes_of
from wherry_service.engines.endpoint import Endpoint
from wherry_service.engines.engine import EngineError
from wherry_service.ids import instance_of
from wherry_service.settings import Settings


class FakeStock(DockerStock):
    """Has what it is given."""

    def __init__(self, stock: Stock, stuck: str = "", error: str = "", local: bool = True) -> None:
        super().__init__()
        self._local = local
        self._stock, self._stuck, self._error = stock, stuck, error
        self.removed: list[str] = []

    async def stock(self) -> Stock:
        if self._error:
            raise EngineError(self._error)
        return self._stock

    def is_local(self) -> bool:
        return self._local

    async def remove(self, engine_id: str) -> None:
        self._remove(engine_id)

    async def remove_network(self, engine_id: str) -> None:
        self._remove(engine_id)

    async def remove_volume(self, name: str) -> None:
        self._remove(name)

    async def remove_image(self, tag: str) -> bool:
        self._remove(tag)
        return True

    def _remove(self, what: str) -> None:
        if what == self._stuck:
            raise EngineError("it is in use")
        self.removed.append(what)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return made(tmp_path / "state", "im-mine", "im-both")


def made(state: Path, *image_ids: str) -> Path:
    for name in ("volumes/vo-1/data", "blobs/contents/x", "run/salt", "server.log", "server.lock", "secret.key"):
        (state / name).parent.mkdir(parents=True, exist_ok=True)
        (state / name).write_text("x")
    with contextlib.closing(sqlite3.connect(state / "wherry.db")) as database:
        database.execute("create table images (image_id text)")
        database.executemany("insert into images values (?)", [(one,) for one in image_ids])
        database.commit()
    return state


def image(name: str, *layers: str, num_bytes: int = 100) -> KeptImage:
    return KeptImage((f"wherry/image:{name}",), f"im-{name}" if name != "base" else "", num_bytes, layers)


IMAGES = [image("base", "a"), image("mine", "a", "b"), image("both", "a", "c"), image("theirs", "a", "d")]


def looked(
    state: Path, stock: Stock, settings: Settings | None = None, images: bool = True, local: bool = True
) -> purge.Inventory:
    engine = FakeStock(stock, local=local)
    return asyncio.run(purge.look(state, settings or Settings(), engine, images))


def stock_of(state: Path, other: Path | None = None, with_network: bool = True) -> Stock:
    stock = Stock(images=list(IMAGES))
    for place, key in ((state, "own"), (other, "other")):
        if place is not None:
            instance = instance_of(place / "run")
            stock.containers.append(Kept(f"container-{key}", instance))
            stock.volumes.append(Kept(f"volume-{key}", instance))
            if with_network or place is state:
                stock.networks.append(Kept(f"network-{key}", instance, str(place)))
    return stock


def test_all_goes_and_what_is_anothers_stays(state: Path, tmp_path: Path) -> None:
    other = made(tmp_path / "other", "im-theirs", "im-both")
    (state / "holiday.jpg").write_text("mine")
    engine = FakeStock(stock_of(state, other))
    found = asyncio.run(purge.look(state, Settings(), engine, True))
    assert found.told()["images"] == 1
    assert found.images_stay == f"3 more are shared with, or belong to, {other}"
    asyncio.run(purge.remove(found, engine))
    assert engine.removed == ["container-own", "network-own", "volume-own", "wherry/image:mine"]
    assert [path.name for path in state.iterdir()] == ["holiday.jpg"]
    assert found.left == [f"{state / 'holiday.jpg'}: not Wherry's"]
    assert (other / "volumes/vo-1/data").exists()


def test_alone_its_images_and_bases_go_and_the_directory_too(state: Path) -> None:
    engine = FakeStock(stock_of(state))
    found = asyncio.run(purge.look(state, Settings(), engine, True))
    # Of a service that has stopped nothing but its images may be in the engine.
    assert found.told()["images"] == 3
    assert found.images_stay == "1 more are shared with, or belong to, a service that is not known here"
    asyncio.run(purge.remove(found, engine))
    assert engine.removed[-1] == "wherry/image:base"
    assert "wherry/image:theirs" not in engine.removed
    assert len(engine.removed) == 6
    assert not state.exists()
    assert found.left == []


def test_a_network_of_a_service_that_has_gone_keeps_no_image(state: Path, tmp_path: Path) -> None:
    stock = stock_of(state)
    stock.networks.append(Kept("network-gone", "0" * 12, str(tmp_path / "gone")))
    assert looked(state, stock).told()["images"] == 3


@pytest.mark.parametrize("why", ["may not be seen", "another machine's", "has containers", "has a volume"])
def test_a_service_is_gone_only_where_that_is_certain(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    place = str(tmp_path / "gone")
    stock = stock_of(state)
    if why == "has a volume":
        stock.volumes.append(Kept("volume-gone", "0" * 12))
        assert {one.image_id for one in looked(state, stock).images} == {"im-mine", "im-both"}
        return
    stock.networks.append(Kept("network-gone", "0" * 12, place))
    if why == "has containers":
        stock.containers.append(Kept("container-gone", "0" * 12))
    if why == "may not be seen":
        lstat = os.lstat

        def refused(path: str | Path) -> os.stat_result:
            if str(path) == place:
                raise PermissionError(13, "Permission denied", place)
            return lstat(path)

        monkeypatch.setattr("wherry_service.store.kept.os.lstat", refused)
    found = looked(state, stock, local=why != "another machine's")
    assert found.images == []
    assert f"the state directory {place} uses this engine too" in found.images_stay


@pytest.mark.parametrize(
    ("address", "is_local"), [("unix:///d.sock", True), ("tcp://far:2376", False), ("ssh://far", False)]
)
def test_whether_the_engine_is_this_machines(address: str, is_local: bool) -> None:
    engine = DockerStock(connection=DockerConnection(lambda: Endpoint(address, "DOCKER_HOST")))
    assert engine.is_local() is is_local
    asyncio.run(engine.close())


def test_images_that_differ_in_their_settings_alone_are_two(state: Path, tmp_path: Path) -> None:
    other = made(tmp_path / "other", "im-theirs")
    stock = stock_of(state, other)
    stock.images = [image("mine", "a", "b"), image("theirs", "a", "b")]
    found = looked(state, stock)
    assert [one.image_id for one in found.images] == ["im-mine"]
    assert found.images_stay == f"1 more are shared with, or belong to, {other}"
    assert bytes_of(stock.images) == 100


@pytest.mark.parametrize("why", ["no network", "no database"])
def test_images_stay_where_it_is_not_known_who_needs_them(state: Path, tmp_path: Path, why: str) -> None:
    other = made(tmp_path / "other", "im-theirs")
    if why == "no database":
        (other / "wherry.db").unlink()
    found = looked(state, stock_of(state, other, with_network=why != "no network"))
    assert found.images == []
    assert "uses this engine too, and it can't be told which images are needed there" in found.images_stay


def test_images_stay_unless_they_are_asked_for(state: Path) -> None:
    assert looked(state, stock_of(state), images=False).told()["images"] == 0


def test_what_can_not_be_removed_is_said_and_the_rest_goes(state: Path) -> None:
    engine = FakeStock(stock_of(state), stuck="network-own")
    found = asyncio.run(purge.look(state, Settings(), engine, False))
    asyncio.run(purge.remove(found, engine))
    assert found.left == ["network network-own: it is in use"]
    assert engine.removed == ["container-own", "volume-own"]
    assert not (state / "volumes").exists()


def test_nothing_is_removed_through_a_mount(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wherry_service.store.kept.mounts_below", lambda path: [f"{path}/run/co-1/bucket"])
    engine = FakeStock(stock_of(state))
    found = asyncio.run(purge.look(state, Settings(), engine, True))
    with pytest.raises(purge.PurgeError, match="run/co-1/bucket is still mounted"):
        asyncio.run(purge.remove(found, engine))
    assert engine.removed == []
    assert (state / "volumes/vo-1/data").exists()


def test_links_out_of_the_directory_are_not_followed(state: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/file").touch()
    (state / "blobs/home").symlink_to(tmp_path / "home")
    (state / "logs").symlink_to(tmp_path / "home")
    engine = FakeStock(stock_of(state))
    asyncio.run(purge.remove(asyncio.run(purge.look(state, Settings(), engine, False)), engine))
    assert (tmp_path / "home/file").exists()
    assert not state.exists()


def test_without_an_engine_it_says_what_stays_there(state: Path) -> None:
    engine = FakeStock(Stock(), error="Docker does not answer")
    found = asyncio.run(purge.look(state, Settings(), engine, True))
    assert found.told()["engine_error"] == "Docker does not answer"
    asyncio.run(purge.remove(found, engine))
    assert not state.exists()
    assert found.left == ["what is in the engine: Docker does not answer"]


@pytest.mark.parametrize("place", ["volumes", "volumes/deeper", "own"])
def test_volumes_that_the_settings_put_into_the_directory_stay(state: Path, place: str) -> None:
    (state / place).mkdir(exist_ok=True)
    (state / place / "file").write_text("x")
    engine, settings = FakeStock(stock_of(state)), Settings(volumes_dir=state / place)
    found = asyncio.run(purge.look(state, settings, engine, False))
    assert found.elsewhere == [f"volumes in {state / place} (volumes.dir)"]
    assert ("volumes" in {part["name"] for part in found.told()["parts"]}) is (place == "own")
    asyncio.run(purge.remove(found, engine))
    assert found.left == []
    assert (state / place / "file").exists()
    assert [path.name for path in state.iterdir()] == [place.partition("/")[0]]


def test_what_is_kept_elsewhere_is_named_without_a_password(state: Path) -> None:
    settings = Settings(
        database_url="postgresql://anna:pa55@db/wherry",
        volumes_dir=Path("/export"),
        rooms={"WHERRY_BLOBS_URL": "s3://bucket/here"},
    )
    found = looked(state, stock_of(state), settings, images=False)
    assert found.elsewhere == [
        "the database wherry at db (database.url)",
        "volumes in /export (volumes.dir)",
        "large values in s3://bucket/here (blobs.url)",
    ]


def test_layers_that_images_share_count_once() -> None:
    images = [
        image("base", "a", num_bytes=100),
        image("x", "a", "b", num_bytes=130),
        image("y", "a", "b", "c", num_bytes=131),
    ]
    assert bytes_of(images) == 131
    assert bytes_of([*images, image("z", "q", num_bytes=7)]) == 138


def ran(state: Path, *options: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "wherry_service.purge", "--state-dir", str(state), *options]
    # No engine: the tests of this folder have none.
    environ = {**os.environ, "DOCKER_HOST": f"unix://{state.parent}/no.sock"}
    return subprocess.run(line, env=environ, capture_output=True, text=True, check=False)


def test_it_shows_first_and_removes_when_told(state: Path) -> None:
    shown = ran(state)
    assert shown.returncode == 0, shown.stderr
    told = json.loads(shown.stdout)
    assert {part["name"] for part in told["parts"]} == {
        "volumes",
        "blobs",
        "database",
        "logs",
        "containers",
        "settings",
    }
    assert "Docker does not answer" in told["engine_error"]
    assert (state / "wherry.db").exists()
    left = json.loads(ran(state, "--remove").stdout)["left"]
    assert [text.partition(": ")[0] for text in left] == ["what is in the engine"]
    assert not state.exists()
    # Again: there is nothing, which is fine.
    assert json.loads(ran(state, "--remove").stdout)["parts"] == []


def test_a_service_that_runs_keeps_everything(state: Path) -> None:
    with open(state / "server.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused = ran(state, "--remove")
    assert refused.returncode == 1
    assert refused.stderr == f"wherry: a service for {state} runs: stop it first (wherry server stop)\n"
    assert (state / "wherry.db").exists()


def test_a_directory_of_somebody_elses_is_refused(tmp_path: Path) -> None:
    # As everybody's home has it.
    (tmp_path / "images").mkdir()
    (tmp_path / "images/wedding.jpg").touch()
    assert json.loads(ran(tmp_path).stdout)["parts"] == []
    refused = ran(tmp_path, "--remove")
    assert refused.returncode == 1
    assert "is no state directory of Wherry's" in refused.stderr
    assert (tmp_path / "images/wedding.jpg").exists()
