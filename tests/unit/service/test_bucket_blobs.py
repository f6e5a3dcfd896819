"""Blobs in a bucket: what must last is there, the rest is not; tests/acceptance has them against an S3 server."""

import hashlib
import os
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from wherry_service.errors import NotFound, Unready
from wherry_service.ids import new_id
from wherry_service.store.bucket import BlobSettings, Bucket
from wherry_service.store.bucket_blobs import OWNER, BucketBlobStore


class Hosts:
    """Services that use one bucket, each on a host of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bucket = Bucket(MemoryStore(), "memory://")

    def open(self, name: str, cache_bytes: int = 1 << 30) -> BucketBlobStore:
        """Return what the service has on that host."""
        store = BucketBlobStore(self.folder / name, self.bucket, cache_bytes)
        (self.folder / name / OWNER).write_text("the service")
        return store

    def keys(self) -> set[str]:
        """Return what is in the bucket."""
        return {key for folder in ("payloads", "contents") for key, _ in self.bucket.list(folder)}


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    return Hosts(tmp_path)


def test_a_blob_that_is_kept_is_read_on_another_host(hosts: Hosts, tmp_path: Path) -> None:
    here = hosts.open("here")
    kept, passing = new_id("bl"), new_id("bl")
    data = os.urandom((3 << 20) + 1)
    for blob_id in (kept, passing):
        here.put(blob_id, [data])
    assert hosts.keys() == set()
    here.keep(kept)
    assert hosts.keys() == {f"payloads/{kept}"}
    there = hosts.open("there")
    assert not there.is_here(kept)
    assert there.missing([kept, passing]) == [passing]
    assert there.size(kept) == len(data)
    there.lend(kept, tmp_path / "lent")
    assert (tmp_path / "lent").read_bytes() == data
    assert b"".join(there.read(kept)) == data
    assert there.is_here(kept)
    for store in (here, there):
        with pytest.raises(NotFound):
            store.keep(new_id("bl"))
    with pytest.raises(NotFound):
        there.fetch(passing)
    here.delete(passing)
    here.delete(kept)
    here.settle()
    assert hosts.keys() == set()
    assert here.missing([kept, passing]) == [kept, passing]


def test_source_files_are_kept_when_they_come(hosts: Hosts) -> None:
    here = hosts.open("here")
    content = "sha256:" + hashlib.sha256(b"print()").hexdigest()
    here.put(content, [b"pri", b"nt()"])
    there = hosts.open("there")
    assert there.missing([content]) == []
    assert b"".join(there.read(content)) == b"print()"


def test_a_blob_that_is_deleted_while_it_is_being_kept_is_not_kept(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = hosts.open("here")
    blob_id = new_id("bl")
    here.put(blob_id, [b"x"])
    send = hosts.bucket.put_file

    def put_file(key: str, path: Path) -> None:
        send(key, path)
        here.delete(blob_id)

    monkeypatch.setattr(hosts.bucket, "put_file", put_file)
    here.keep(blob_id)
    assert hosts.keys() == set()
    assert here.missing([blob_id]) == [blob_id]


def test_a_sweep_keeps_what_is_referred_to_also_what_came_before_there_was_a_bucket(hosts: Hosts) -> None:
    here = hosts.open("here")
    kept, dropped, old, stray = (new_id("bl") for _ in range(4))
    for blob_id in (kept, dropped, old, stray):
        here.put(blob_id, [b"x"])
    here.keep(kept)
    here.keep(dropped)
    for blob_id in (old, stray):
        os.utime(here.path(blob_id), (1, 1))
    assert here.sweep({kept, old}, older_than_s=3600.0) == 1
    assert hosts.keys() == {f"payloads/{blob_id}" for blob_id in (kept, dropped, old)}
    assert here.sweep({kept, old}, older_than_s=-5.0) == 1
    assert hosts.keys() == {f"payloads/{kept}", f"payloads/{old}"}
    assert here.missing([kept, dropped, old, stray]) == [dropped, stray]


def test_files_here_that_nobody_asked_for_make_room(hosts: Hosts) -> None:
    here = hosts.open("here", cache_bytes=250)
    ids = [new_id("bl") for _ in range(5)]
    for number, blob_id in enumerate(ids):
        here.put(blob_id, [b"x" * 100])
        here.keep(blob_id)
        os.utime(here.fetch(blob_id), (number + 1, number + 1))
    assert here.trim(in_use={ids[0]}) == 3
    assert [here.is_here(blob_id) for blob_id in ids] == [True, False, False, False, True]
    assert here.missing(ids) == []
    assert b"".join(here.read(ids[1])) == b"x" * 100
    # What somebody has just been told of stays.
    os.utime(here.fetch(ids[0]), (1, 1))
    assert here.trim(in_use=set()) == 1
    assert here.is_here(ids[1])


def test_a_folder_of_a_bucket_belongs_to_one_service(hosts: Hosts) -> None:
    hosts.open("here").begin()
    hosts.open("there").begin()
    stranger = BucketBlobStore(hosts.folder / "stranger", hosts.bucket, 0)
    with pytest.raises(Unready, match="belongs to another service"):
        stranger.begin()


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"WHERRY_BLOBS_URL": "bucket"}, "WHERRY_BLOBS_URL is 'bucket': write s3://BUCKET/FOLDER"),
        ({"WHERRY_BLOBS_URL": "file:///tmp"}, "write s3://"),
        ({"WHERRY_BLOBS_URL": "s3://b", "WHERRY_BLOBS_CACHE_MIB": "1GiB"}, "WHERRY_BLOBS_CACHE_MIB is '1GiB'"),
    ],
)
def test_what_is_no_bucket_is_told(environ: dict[str, str], told: str) -> None:
    with pytest.raises(Unready, match=told):
        BlobSettings.from_environment(environ)


def test_a_store_that_does_not_answer_is_told_with_its_place() -> None:
    environ = {
        "WHERRY_BLOBS_URL": "s3://bucket/folder",
        "WHERRY_BLOBS_ENDPOINT": "http://127.0.0.1:1",
        "WHERRY_BLOBS_ACCESS_KEY": "a",
        "WHERRY_BLOBS_SECRET_KEY": "hidden",
    }
    bucket = Bucket.open(BlobSettings.from_environment(environ))
    with pytest.raises(Unready, match=r"can't write s3://bucket/folder/key: .*error sending request") as caught:
        bucket.put("key", b"x")
    assert "hidden" not in str(caught.value)
    assert "\n" not in str(caught.value)
