"""Directories in directories without end: removed, and neither listed nor copied."""

import asyncio
import os
import threading
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest

from wherry_proto.messages import VolumeEntryKind
from wherry_service.errors import InvalidRequest
from wherry_service.ids import new_id
from wherry_service.objects.volumes import Volumes
from wherry_service.store import volume_paths, volume_trees
from wherry_service.store.volume_paths import MAX_DEPTH
from wherry_service.store.volume_trees import empty, remove_tree
from wherry_service.store.volumes import VolumeStore


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


def test_a_directory_with_more_names_than_memory_holds_is_removed_and_neither_listed_nor_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volume_paths, "MAX_NAMES_BYTES", 100 * 70)
    monkeypatch.setattr(volume_trees, "BATCH", 30)
    store = VolumeStore(tmp_path)
    volume_id = new_id("vo")
    many = store.directory(volume_id) / "many"
    many.mkdir()
    for number in range(101):
        (many / f"{number:06}").touch()
    for refused in (
        lambda: list(store.entries(volume_id, "many", False)),
        lambda: list(store.entries(volume_id, "", True)),
        lambda: store.copy(volume_id, ["many"], "copy", True),
    ):
        with pytest.raises(InvalidRequest, match="'many' has more than 100 entries"):
            refused()
    assert next(iter(store.read(volume_id, "many/000042"))) == b""
    (many / "000100").unlink()
    assert [len(page) for page in store.entries(volume_id, "many", False)] == [100]
    store.remove(volume_id, "many", True)
    assert not many.exists()


def test_what_takes_long_for_one_environment_holds_no_other_up(tmp_path: Path) -> None:
    class Register:
        on_gone: ClassVar[list[Any]] = []

    async def main() -> None:
        volumes = Volumes(VolumeStore(tmp_path), cast("Any", Register()))
        held = threading.Event()
        began: list[int] = []

        def wait(number: int) -> None:
            began.append(number)
            held.wait()

        try:
            lasting = [asyncio.ensure_future(volumes.slowly("theirs", lambda n=n: wait(n))) for n in range(50)]  # type: ignore[misc]
            assert await asyncio.wait_for(volumes.slowly("ours", lambda: "done"), 10) == "done"
            # Who does not wait for it makes no room for more: the thread is not free.
            for one in lasting[:2]:
                one.cancel()
            assert await asyncio.wait_for(volumes.slowly("ours", lambda: "done"), 10) == "done"
            assert began == [0, 1]
            # All others have their threads.
            assert await asyncio.wait_for(asyncio.to_thread(lambda: "free"), 10) == "free"
        finally:
            held.set()
        await asyncio.gather(*lasting, return_exceptions=True)
        assert sorted(began) == list(range(50))

    asyncio.run(main())
