"""What the service mounts of a volume, and copies in it, is what it has looked at, whatever containers do meanwhile."""

import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from wherry_service.engines.beside import bind, is_beside
from wherry_service.engines.volume_driver import VolumeDriver
from wherry_service.errors import InvalidRequest
from wherry_service.store.volumes import VolumeStore

VOLUME = "vo-" + "0" * 26
as_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root may mount; who may not has the other tests of this file, which refuse"
)


@pytest.fixture
def store(tmp_path: Path) -> VolumeStore:
    store = VolumeStore(tmp_path / "volumes", is_beside=lambda: True)
    store.begin()
    return store


@as_root
def test_a_directory_that_is_exchanged_later_is_mounted_all_the_same(store: VolumeStore, tmp_path: Path) -> None:
    host = tmp_path / "host"
    host.mkdir()
    (host / "secret").touch()
    root = store.directory(VOLUME)
    with ExitStack() as held:
        source = Path(store.mount_source(VOLUME, "a/b", held))
        assert root not in source.parents
        (root / "a" / "b" / "own").touch()
        (root / "a").rename(root / "moved")
        (root / "a").mkdir()
        (root / "a" / "b").symlink_to(host)
        assert os.listdir(source) == ["own"]
        (source / "new").touch()
    assert sorted(os.listdir(root / "moved" / "b")) == ["new", "own"]
    assert os.listdir(host) == ["secret"]
    assert not source.exists()


@as_root
def test_links_and_files_on_the_way_are_refused(store: VolumeStore, tmp_path: Path) -> None:
    root = store.directory(VOLUME)
    (root / "out").symlink_to(tmp_path)
    (root / "in").symlink_to("real")
    (root / "real").mkdir()
    (root / "file").touch()
    os.mkfifo(root / "fifo")
    for path in ("out", "out/x", "in", "in/x", "file", "file/x", "fifo", "..", "a/../../x", "a\0b"):
        with pytest.raises(InvalidRequest), ExitStack() as held:
            store.mount_source(VOLUME, path, held)
    assert not (tmp_path / "x").exists()
    assert list((tmp_path / "volumes" / ".mounts").glob("*")) == []


@as_root
def test_a_mount_that_a_killed_service_left_is_taken_away_and_its_files_stay(store: VolumeStore) -> None:
    left = ExitStack()
    source = Path(store.mount_source(VOLUME, "a", left))
    (source / "kept").touch()
    store.begin()
    assert not source.exists()
    assert os.listdir(store.directory(VOLUME) / "a") == ["kept"]


def test_where_the_engine_cannot_be_shown_a_directory_it_is_refused(tmp_path: Path) -> None:
    driver = VolumeDriver("local", {"device": "/x/{volume}"}, tmp_path / "volumes")
    for store in (
        VolumeStore(tmp_path / "volumes", is_beside=lambda: False),
        VolumeStore(tmp_path / "volumes", driver, is_beside=lambda: True),
    ):
        with pytest.raises(InvalidRequest, match="mount the whole volume"), ExitStack() as held:
            store.mount_source(VOLUME, "a", held)
        with ExitStack() as held:
            assert store.mount_source(VOLUME, "/", held) == str(tmp_path / "volumes" / VOLUME)


def test_an_engine_elsewhere_is_not_beside(tmp_path: Path) -> None:
    for address in ("tcp://127.0.0.1:2375", "ssh://host", f"unix://{tmp_path}/missing.sock"):
        assert not is_beside(address)


def test_what_cannot_be_mounted_is_an_error(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(OSError, match="missing"):
            bind(directory, tmp_path / "missing")
    finally:
        os.close(directory)


def test_a_copy_does_not_write_what_a_container_has_put_in_its_way(store: VolumeStore) -> None:
    root = store.directory(VOLUME)
    (root / "source").write_text("new")
    (root / "other").write_text("of another")
    os.link(root / "other", root / ".target.wherry-part")
    os.mkfifo(root / ".piped.wherry-part")
    assert store.copy(VOLUME, ["source"], "target", False) == 1
    assert store.copy(VOLUME, ["source"], "piped", False) == 1
    assert (root / "other").read_text() == "of another"
    assert (root / "target").read_text() == (root / "piped").read_text() == "new"
