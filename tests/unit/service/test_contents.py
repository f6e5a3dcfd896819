"""Contents are what their hashes say whenever they are used, and nobody who has them can change them for others."""

import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from wherry_proto.messages import SourceFile
from wherry_service.errors import NotFound
from wherry_service.store.blobs import BlobStore
from wherry_service.store.bucket import Bucket
from wherry_service.store.bucket_blobs import OWNER, BucketBlobStore
from wherry_service.store.sources import SourceStore

TEXT = b"the library's own code"
CONTENT = "sha256:" + hashlib.sha256(TEXT).hexdigest()


def local(root: Path) -> BlobStore:
    return BlobStore(root / "blobs")


def with_bucket(root: Path) -> BlobStore:
    store = MemoryStore()
    bucket = Bucket(store, "test")
    bucket.put(OWNER, b"sv-1")
    blobs = BucketBlobStore(root / "blobs", bucket, 1 << 30)
    return blobs


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    blobs = local(tmp_path)
    blobs.put(CONTENT, [TEXT])
    return blobs


def poison(path: Path, text: bytes = b"CODE OF THE ATTACKER!!") -> None:
    """Write a file in place, and give it the times that it had."""
    assert len(text) == len(TEXT)
    had = path.stat()
    with path.open("r+b") as file:
        file.write(text)
    os.utime(path, ns=(had.st_atime_ns, had.st_mtime_ns))
    assert path.stat().st_mtime_ns == had.st_mtime_ns


USES: list[Callable[[BlobStore, Path], object]] = [
    lambda blobs, at: blobs.fetch(CONTENT),
    lambda blobs, at: list(blobs.read(CONTENT)),
    lambda blobs, at: blobs.copy(CONTENT, at),
    lambda blobs, at: blobs.lend(CONTENT, at),
    lambda blobs, at: blobs.keep(CONTENT),
]


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("is_known", [True, False])
def test_a_changed_content_is_refused_and_asked_for_again(
    blobs: BlobStore,
    tmp_path: Path,
    use: Callable[[BlobStore, Path], object],
    is_known: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if not is_known:
        blobs = local(tmp_path)  # another life of the service
    assert blobs.missing([CONTENT]) == []
    poison(blobs.path(CONTENT))
    with caplog.at_level(logging.ERROR), pytest.raises(NotFound):
        use(blobs, tmp_path / "at")
    assert f"content {CONTENT} was changed on the disk" in caplog.text
    assert not (tmp_path / "at").exists()
    assert blobs.missing([CONTENT]) == [CONTENT]
    blobs.put(CONTENT, [TEXT])
    use(blobs, tmp_path / "at")


def test_who_asks_what_is_missing_hears_of_a_changed_content(blobs: BlobStore) -> None:
    poison(blobs.path(CONTENT))
    assert blobs.missing([CONTENT]) == [CONTENT]


def test_a_link_in_place_of_a_content_is_not_followed(blobs: BlobStore, tmp_path: Path) -> None:
    same = tmp_path / "same"
    same.write_bytes(TEXT)
    blobs.path(CONTENT).unlink()
    blobs.path(CONTENT).symlink_to(same)
    assert blobs.missing([CONTENT]) == [CONTENT]
    os.mkfifo(blobs.path(CONTENT))
    assert blobs.missing([CONTENT]) == [CONTENT]
    assert same.read_bytes() == TEXT


def test_what_is_unchanged_is_read_once(blobs: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = local(tmp_path)
    sources = SourceStore(tmp_path / "sources", blobs)
    source_id = sources.put([SourceFile(path="a.py", blob_id=CONTENT)])
    sources.laid_out(source_id)
    monkeypatch.setattr(hashlib, "file_digest", None)
    blobs.lend(CONTENT, tmp_path / "lent")
    sources.laid_out(source_id)
    blobs.copy(CONTENT, tmp_path / "copied")
    assert blobs.missing([CONTENT]) == []


def test_a_bucket_gives_a_changed_content_anew_and_one_changed_there_is_removed(tmp_path: Path) -> None:
    blobs = with_bucket(tmp_path)
    blobs.put(CONTENT, [TEXT])
    cached = blobs.fetch(CONTENT)
    poison(cached)
    assert blobs.fetch(CONTENT).read_bytes() == TEXT
    assert isinstance(blobs, BucketBlobStore)
    key = cached.relative_to(tmp_path / "blobs" / "cache").as_posix()
    blobs._bucket.put(key, b"CODE OF THE ATTACKER!!")
    cached.unlink()
    with pytest.raises(NotFound, match="changed in the bucket"):
        blobs.fetch(CONTENT)
    assert blobs.missing([CONTENT]) == [CONTENT]
    blobs.close()


@pytest.mark.parametrize("is_file", [True, False])
def test_a_tree_is_laid_out_once_and_anew_when_it_was_changed(tmp_path: Path, blobs: BlobStore, is_file: bool) -> None:
    sources = SourceStore(tmp_path / "sources", blobs)
    files = [SourceFile(path="in/a.py", blob_id=CONTENT), SourceFile(path="run", blob_id=CONTENT, executable=True)]
    source_id = sources.put(files[:1] if is_file else files)
    place = sources.laid_out(source_id, is_file)
    own = place if is_file else place / "in" / "a.py"
    assert own.read_bytes() == TEXT
    assert own.stat().st_mode & 0o777 == 0o644
    inode = own.stat().st_ino
    assert sources.laid_out(source_id, is_file) == place
    assert own.stat().st_ino == inode
    if not is_file:
        assert (place / "run").stat().st_mode & 0o777 == 0o755
        # A copy: its mode is its own.
        assert (place / "run").stat().st_ino != inode
        poison(place / "run")
        sources.laid_out(source_id)
        assert (place / "run").read_bytes() == TEXT
    # Whoever could write one of its names, it is the store's file: no other app gets what they wrote.
    poison(own)
    with pytest.raises(NotFound):
        sources.laid_out(source_id, is_file)
    blobs.put(CONTENT, [TEXT])
    assert sources.laid_out(source_id, is_file) == place
    assert own.read_bytes() == TEXT


def test_a_tree_that_is_swept_takes_what_was_laid_out_along(tmp_path: Path, blobs: BlobStore) -> None:
    now = [1e9]
    sources = SourceStore(tmp_path / "sources", blobs, lambda: now[0])
    source_id = sources.put([SourceFile(path="a.py", blob_id=CONTENT)])
    place = sources.laid_out(source_id)
    now[0] += 100
    sources.sweep({source_id}, set(), 50)
    assert place.exists()
    sources.sweep(set(), set(), 50)
    assert not place.exists()
