"""Blobs and source trees: what is handed over is checked, paths stay where they belong."""

import hashlib
import os
from pathlib import Path

import pytest

from wherry_proto.messages import SourceFile
from wherry_service.errors import AlreadyExists, InvalidRequest, NotFound
from wherry_service.ids import new_id
from wherry_service.store.blobs import BlobStore
from wherry_service.store.sources import SourceStore


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


def test_a_blob_is_written_read_lent_and_deleted(blobs: BlobStore, tmp_path: Path) -> None:
    blob_id = new_id("bl")
    assert blobs.put(blob_id, [b"a" * (1 << 20), b"b"]) == (1 << 20) + 1
    assert b"".join(blobs.read(blob_id)) == b"a" * (1 << 20) + b"b"
    blobs.lend(blob_id, tmp_path / "lent")
    blobs.delete(blob_id)
    assert (tmp_path / "lent").stat().st_size == (1 << 20) + 1
    with pytest.raises(NotFound):
        blobs.size(blob_id)


@pytest.mark.parametrize("blob_id", ["", "bl-", "bl-../../etc/passwd", "sha256:xyz", "../x", "bl-" + "0" * 27])
def test_what_is_no_blob_id_is_refused(blobs: BlobStore, blob_id: str) -> None:
    with pytest.raises(InvalidRequest):
        blobs.path(blob_id)


def test_content_must_match_its_id(blobs: BlobStore) -> None:
    wrong = "sha256:" + hashlib.sha256(b"other").hexdigest()
    with pytest.raises(InvalidRequest, match="another hash"):
        blobs.put(wrong, [b"content"])
    assert blobs.missing([wrong]) == [wrong]
    assert list(blobs.handover_dir.iterdir()) == []


def test_a_value_is_written_once(blobs: BlobStore) -> None:
    blob_id = new_id("bl")
    assert blobs.put(blob_id, [b"first"]) == 5
    # Sent again, as by a client that has not heard of the first time.
    assert blobs.put(blob_id, [b"fi", b"rst"]) == 5
    for other in (b"other", b"first and more", b""):
        with pytest.raises(AlreadyExists, match=f"{blob_id} was sent before, and was another one"):
            blobs.put(blob_id, [other])
    assert b"".join(blobs.read(blob_id)) == b"first"
    assert blobs.path(blob_id).stat().st_nlink == 1
    assert list(blobs.handover_dir.iterdir()) == []


def test_only_plain_files_are_taken_over(blobs: BlobStore, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (blobs.handover_dir / "link").symlink_to(secret)
    os.link(secret, blobs.handover_dir / "hard")
    (blobs.handover_dir / "directory").mkdir()
    for name in ("link", "hard", "directory", "../secret", ".hidden", "missing"):
        with pytest.raises((InvalidRequest, NotFound)):
            blobs.adopt(new_id("bl"), name)
    (blobs.handover_dir / "plain").write_bytes(b"12345")
    assert blobs.adopt(new_id("bl"), "plain") == 5


def test_a_sweep_keeps_what_is_referred_to(blobs: BlobStore) -> None:
    kept, dropped, young = new_id("bl"), new_id("bl"), new_id("bl")
    for blob_id in (kept, dropped, young):
        blobs.put(blob_id, [b"x"])
    for blob_id in (kept, dropped):
        os.utime(blobs.path(blob_id), (1, 1))
    assert blobs.sweep({kept}, older_than_s=60) == 1
    assert blobs.missing([kept, dropped, young]) == [dropped]


def test_source_trees_are_content_addressed_copies(blobs: BlobStore, tmp_path: Path) -> None:
    sources = SourceStore(tmp_path / "sources", blobs)
    content = "sha256:" + hashlib.sha256(b"print()").hexdigest()
    files = [
        SourceFile(path="pkg/mod.py", blob_id=content),
        SourceFile(path="run.sh", blob_id=content, executable=True),
    ]
    with pytest.raises(InvalidRequest, match="have not been sent"):
        sources.put(files)
    blobs.put(content, [b"print()"])
    source_id = sources.put(files)
    assert sources.put(files[::-1]) == source_id
    target = tmp_path / "target"
    target.mkdir()
    sources.write_to(source_id, target)
    (target / "pkg" / "mod.py").write_text("changed by the container")
    assert b"".join(blobs.read(content)) == b"print()"
    assert os.access(target / "run.sh", os.X_OK)
    for path in ("../x", "/etc/passwd", "a/../../x", ""):
        with pytest.raises(InvalidRequest):
            sources.put([SourceFile(path=path, blob_id=content)])
