"""Directories in directories without end: removed, and neither listed nor copied."""

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import pytest

from tests.waiting import wait_until
from wherry_proto.messages import VolumeEntriesRequest, VolumeEntryKind
from wherry_service.api import volumes as api_volumes
from wherry_service.errors import Exhausted, InvalidRequest
from wherry_service.ids import new_id
from wherry_service.objects.volumes import Volumes
from wherry_service.store import volume_paths, volume_trees, volumes
from wherry_service.store.volume_paths import MAX_DEPTH
from wherry_service.store.volume_trees import empty, remove_tree
from wherry_service.store.volumes import CHUNK, PAGE, VolumeStore


def dig(parent: Path, depth: int) -> None:
    """Make so many directories in each other, each with a file; their path is longer than any that may be named."""
    directory = os.open(parent, os.O_RDONLY)
    for _ in range(depth):
        os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=directory))
        os.mkdir("below", dir_fd=directory)
        inner = os.open("below", os.O_RDONLY, dir_fd=directory)
        os.close(directory)
        directory = inner
    os.close(directory)


def opened(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY)


@pytest.mark.parametrize("depth", [0, 1, 63, 64, 65, 200, 3000])
def test_a_tree_is_removed_however_deep(tmp_path: Path, depth: int) -> None:
    (tmp_path / "tree").mkdir()
    dig(tmp_path / "tree", depth)
    before = len(os.listdir("/proc/self/fd"))
    parent = opened(tmp_path)
    remove_tree(parent, "tree")
    os.close(parent)
    assert list(tmp_path.iterdir()) == []
    assert len(os.listdir("/proc/self/fd")) == before


def test_links_in_it_are_removed_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("x")
    tree = tmp_path / "tree"
    (tree / "inner").mkdir(parents=True)
    (tree / "link").symlink_to(tmp_path / "kept")
    (tree / "inner" / "link").symlink_to("../../kept")
    os.mkfifo(tree / "pipe")
    directory = opened(tree)
    empty(directory)
    os.close(directory)
    assert list(tree.iterdir()) == []
    assert (tmp_path / "kept" / "file").read_text() == "x"
    parent = opened(tmp_path)
    (tmp_path / "other").symlink_to("kept")
    with pytest.raises(OSError, match="other"):
        remove_tree(parent, "other")
    os.close(parent)
    assert (tmp_path / "kept" / "file").exists()


def test_a_volume_that_is_too_deep_is_told_so_and_goes(tmp_path: Path) -> None:
    store = VolumeStore(tmp_path / "volumes")
    store.begin()
    volume_id = new_id("vo")
    root = store.directory(volume_id)
    (root / "deep").mkdir()
    dig(root / "deep", 2 * MAX_DEPTH)
    for act in (
        lambda: [list(page) for page in store.entries(volume_id, "/", True)],
        lambda: store.copy(volume_id, ["deep"], "copy", True),
    ):
        with pytest.raises(InvalidRequest, match=f"more than {MAX_DEPTH} deep below 'deep'"):
            act()
    assert [entry.path for page in store.entries(volume_id, "deep", False) for entry in page] == [
        "deep/below", "deep/file"
    ]  # fmt: skip
    store.remove(volume_id, "copy", True)
    gone = store.delete(volume_id)
    assert gone is not None
    store.discard(gone)
    assert not gone.exists()
    # What a killed service has left is removed by the next.
    dig(store.directory(volume_id), 2 * MAX_DEPTH)
    store.delete(volume_id)
    store.begin()
    assert [path for path in (tmp_path / "volumes").iterdir() if volume_id in path.name] == []


def test_names_that_are_no_text_are_listed_and_are_no_files(tmp_path: Path) -> None:
    volumes, volume_id = VolumeStore(tmp_path / "volumes"), new_id("vo")
    volumes.begin()
    root = os.fsencode(volumes.directory(volume_id))
    for name in (b"plain", b"\xff\xfe", b"k\xf6ln"):
        with open(root + b"/" + name, "wb"):
            pass
    os.mkdir(root + b"/d\xfcr")
    with open(root + b"/d\xfcr/inner", "wb"):
        pass
    found = [(entry.path, entry.kind) for page in volumes.entries(volume_id, "", True) for entry in page]
    assert sorted(found) == [
        ("d\ufffdr", VolumeEntryKind.OTHER),
        ("k\ufffdln", VolumeEntryKind.OTHER),
        ("plain", VolumeEntryKind.FILE),
        ("\ufffd\ufffd", VolumeEntryKind.OTHER),
    ]


def test_a_directory_with_more_names_than_memory_holds_is_listed_and_removed_and_not_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volume_paths, "MAX_NAMES_BYTES", 100 * 70)
    monkeypatch.setattr(volumes, "MAX_SORTED_BYTES", 50 * 70)
    monkeypatch.setattr(volume_trees, "BATCH", 30)
    store = VolumeStore(tmp_path)
    volume_id = new_id("vo")
    many = store.directory(volume_id) / "many"
    few = many / "few"
    few.mkdir(parents=True)
    for number in range(100):
        (many / f"{number:06}").touch()
    (few / "b").touch()
    (few / "a").touch()

    def listed(path: str) -> list[str]:
        return [entry.path for page in store.entries(volume_id, path, True) for entry in page]

    assert listed("many/few") == ["many/few/a", "many/few/b"]
    assert sorted(listed("")) == sorted(
        ["many", "many/few", "many/few/a", "many/few/b", *(f"many/{number:06}" for number in range(100))]
    )
    with pytest.raises(InvalidRequest, match="'many' has so many entries"):
        store.copy(volume_id, ["many"], "copy", True)
    for number in range(2):
        (many / f"{number:06}").unlink()
    # What is held of the directory above counts.
    with pytest.raises(InvalidRequest, match="'many/few' has so many entries"):
        store.copy(volume_id, ["many"], "copy", True)
    assert store.copy(volume_id, ["many/few"], "copy/some", True) == 2
    store.remove(volume_id, "many", True)
    assert not many.exists()


def test_who_reads_no_further_holds_few_directories_open(tmp_path: Path) -> None:
    store = VolumeStore(tmp_path)
    volume_id = new_id("vo")
    path = "/".join("d" * 200)
    deep = store.directory(volume_id) / path
    deep.mkdir(parents=True)
    for number in range(PAGE + 1):
        (deep / f"{number}").write_bytes(bytes(10))
    (deep / "large").write_bytes(bytes(CHUNK * 2))
    before = len(os.listdir("/proc/self/fd"))
    waiting: list[Iterator[Any]] = [
        store.read(volume_id, f"{path}/large"),
        store.entries(volume_id, path, False),
        store.entries(volume_id, f"{path}/large", False),
    ]
    for one in waiting:
        next(one)
    assert len(os.listdir("/proc/self/fd")) <= before + 2 * len(waiting)
    for one in waiting:
        list(one)
    assert len(os.listdir("/proc/self/fd")) == before


def test_listings_of_one_environment_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_volumes, "MAX_LISTINGS", 2)
    store = VolumeStore(tmp_path)
    environments = {new_id("vo"): "theirs", new_id("vo"): "ours"}
    theirs, ours = environments

    class Known:
        def __init__(self) -> None:
            self.store = store

        async def get(self, volume_id: str) -> Any:
            return SimpleNamespace(environment=environments[volume_id])

    async def main() -> None:
        for volume_id in environments:
            (store.directory(volume_id) / "file").touch()
        api = api_volumes.VolumeApi(cast("Any", Known()))
        open_ones: list[Any] = [api.entries(VolumeEntriesRequest(volume_id=theirs)) for _ in range(2)]
        for one in open_ones:
            assert len((await anext(one)).entries) == 1
        with pytest.raises(Exhausted, match="2 directories of volumes are being listed in environment theirs"):
            await anext(api.entries(VolumeEntriesRequest(volume_id=theirs)))
        assert len([page async for page in api.entries(VolumeEntriesRequest(volume_id=ours))]) == 1
        await open_ones[0].aclose()
        assert len([page async for page in api.entries(VolumeEntriesRequest(volume_id=theirs))]) == 1
        await open_ones[1].aclose()

    asyncio.run(main())


def test_what_takes_long_for_one_environment_holds_no_other_up(tmp_path: Path) -> None:
    class Register:
        on_gone: ClassVar[list[Any]] = []

    async def main() -> None:
        ours = Volumes(VolumeStore(tmp_path), cast("Any", Register()))
        held = threading.Event()
        began: list[int] = []

        def wait(number: int) -> None:
            began.append(number)
            held.wait()

        try:
            lasting = [asyncio.ensure_future(ours.slowly("theirs", lambda n=n: wait(n))) for n in range(50)]  # type: ignore[misc]
            assert await asyncio.wait_for(ours.slowly("ours", lambda: "done"), 10) == "done"
            wait_until(lambda: len(began) == 2, "two have begun")
            # Who does not wait for it makes no room for more: the thread is not free.
            for one in lasting[:2]:
                one.cancel()
            assert await asyncio.wait_for(ours.slowly("ours", lambda: "done"), 10) == "done"
            assert sorted(began) == [0, 1]
            # All others have their threads.
            assert await asyncio.wait_for(asyncio.to_thread(lambda: "free"), 10) == "free"
        finally:
            held.set()
        await asyncio.gather(*lasting, return_exceptions=True)
        assert sorted(began) == list(range(50))

    asyncio.run(main())
