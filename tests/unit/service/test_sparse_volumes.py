"""Sparse files in volumes."""

from pathlib import Path

import pytest

from wherry_proto.messages import VolumeChunk
from wherry_service.errors import InvalidRequest
from wherry_service.store import volume_copies
from wherry_service.store.volumes import VolumeStore

KEY = "0" * 64
VOLUME = "vo-" + "0" * 26


@pytest.fixture
def store(tmp_path: Path) -> VolumeStore:
    store = VolumeStore(tmp_path / "volumes", is_beside=lambda: True)
    store.begin()
    return store


def _chunk(offset: int, data: bytes, zeros: int = 0, is_last: bool = False) -> VolumeChunk:
    return VolumeChunk(volume_id=VOLUME, path="disk", key=KEY, offset=offset, data=data, zeros=zeros, is_last=is_last)


def test_a_hole_stays_one(store: VolumeStore) -> None:
    store.write(_chunk(0, b"begin", 1 << 30))
    assert store.check(VOLUME, "disk", KEY) == (False, (1 << 30) + 5)
    assert store.write(_chunk((1 << 30) + 5, b"end", 1 << 30, is_last=True))
    root = store.directory(VOLUME)
    volume_copies.copy(root, ["disk"], "copy", False)
    for path in (root / "disk", root / "copy"):
        status = path.stat()
        assert status.st_size == (2 << 30) + 8
        assert status.st_blocks * 512 < 1 << 20
        with path.open("rb") as file:
            assert file.read(6) == b"begin\0"
            file.seek((1 << 30) + 4)
            assert file.read(5) == b"\0end\0"


def test_what_has_none_is_copied_whole(store: VolumeStore) -> None:
    root = store.directory(VOLUME)
    for size in (0, 1, 300_000):
        (root / "file").write_bytes(bytes(range(256)) * (size // 256) + b"x" * (size % 256))
        volume_copies.copy(root, ["file"], "copy", False)
        assert (root / "copy").read_bytes() == (root / "file").read_bytes()


def test_a_hole_has_a_bound(store: VolumeStore) -> None:
    with pytest.raises(InvalidRequest, match="has a hole of"):
        store.write(_chunk(0, b"", (1 << 40) + 1))
