"""`wherry server purge --images`, disk use and build cache on an engine of its own, which may lose everything."""

import asyncio
import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.own_engine import BASE, OwnEngine
from wherry_service.engines.docker import DockerEngine
from wherry_service.ids import instance_of

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        os.geteuid() != 0, reason="an engine of its own needs root; what is chosen is tested without one"
    ),
]


@pytest.fixture(scope="module")
def engine() -> Iterator[OwnEngine]:
    with OwnEngine({}) as engine:
        yield engine


@pytest.fixture
def folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="purge-"))
    yield folder
    shutil.rmtree(folder)


def docker(engine: OwnEngine, *words: str) -> str:
    line = ["docker", f"--host={engine.address}", *words]
    return subprocess.run(line, check=True, capture_output=True, text=True).stdout.strip()


def state(folder: Path, name: str, *image_ids: str) -> Path:
    place = folder / name
    (place / "run").mkdir(parents=True)
    (place / "server.lock").touch()
    with contextlib.closing(sqlite3.connect(place / "wherry.db")) as database:
        database.execute("create table images (image_id text)")
        database.executemany("insert into images values (?)", [(one,) for one in image_ids])
        database.commit()
    return place


def fill(engine: OwnEngine, place: Path, image_id: str) -> list[str]:
    """Leave in the engine what a service does; return what says whose it is."""
    number = image_id.removeprefix("im-")
    owner = f"wherry.instance={instance_of(place / 'run')}"
    made = docker(engine, "create", "--label", owner, BASE, "true")
    labels = f"LABEL wherry.kind=image wherry.image={image_id}"
    docker(engine, "commit", "--change", labels, made, f"wherry/image:{number}")
    docker(engine, "network", "create", "--label", owner, "--label", f"wherry.state_dir={place}", f"net-{number}")
    docker(engine, "volume", "create", "--label", owner, f"volume-{number}")
    return [f"--filter=label={owner}", "--quiet"]


def kept(engine: OwnEngine, whose: list[str]) -> list[int]:
    lines = (["ps", "--all"], ["network", "ls"], ["volume", "ls"])
    return [len(docker(engine, *line, *whose).split()) for line in lines]


def purge(engine: OwnEngine, place: Path, *options: str) -> dict[str, object]:
    line = [sys.executable, "-m", "wherry_service.purge", "--state-dir", str(place), "--images", *options]
    ran = subprocess.run(line, env={**os.environ, **engine.environment}, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    told: dict[str, object] = json.loads(ran.stdout)
    return told


def images(engine: OwnEngine) -> set[str]:
    return set(docker(engine, "image", "ls", "--format", "{{.Repository}}:{{.Tag}}").split())


def test_all_of_one_goes_and_all_of_others_stays(engine: OwnEngine, folder: Path) -> None:
    mine, theirs = state(folder, "mine", "im-1"), state(folder, "theirs", "im-2")
    own, others = fill(engine, mine, "im-1"), fill(engine, theirs, "im-2")
    # Somebody's own, built on one of Wherry's, whose labels it has.
    docker(engine, "tag", "wherry/image:1", "somebodys:1")
    assert kept(engine, own) == kept(engine, others) == [1, 1, 1]

    shown = purge(engine, mine)
    assert [shown[name] for name in ("containers", "networks", "volumes", "images")] == [1, 1, 1, 1]
    assert str(theirs) in str(shown["images_stay"])
    assert kept(engine, own) == [1, 1, 1]

    assert purge(engine, mine, "--remove")["left"] == []
    assert not mine.exists()
    assert kept(engine, own) == [0, 0, 0]
    assert kept(engine, others) == [1, 1, 1]
    assert images(engine) == {BASE, "wherry/image:2", "somebodys:1"}

    # The last one has all of Wherry's images.
    assert purge(engine, theirs, "--remove")["left"] == []
    assert kept(engine, others) == [0, 0, 0]
    assert images(engine) == {"somebodys:1"}


def test_the_engine_says_what_takes_room(engine: OwnEngine, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.load(BASE)
    monkeypatch.setenv("DOCKER_HOST", engine.address)

    async def scenario() -> None:
        client = DockerEngine()
        try:
            told = await client.disk()
            assert (told.num_images, told.images_bytes > 50_000_000) == (1, True)
            assert Path(told.directory).is_dir()
            assert told.cache_bytes >= told.cache_unused_bytes >= 0
            assert await client.prune_cache() >= 0
        finally:
            await client.close()

    asyncio.run(scenario())
