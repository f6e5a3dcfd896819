"""The program that mounts a bucket: when what was written counts as being there, and what it tells."""

import json
import threading
from pathlib import Path

import pytest

from tests.waiting import wait_until
from wherry_runner import bucket
from wherry_runner.bucket import Bucket


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where rclone would note of each file whether the bucket has it."""
    monkeypatch.setattr(bucket, "CACHE", str(tmp_path))
    folder = tmp_path / "vfsMeta" / ":s3{abc}" / "bucket" / "part"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def mounted() -> Bucket:
    """A bucket of which a part is mounted."""
    made = Bucket()
    made._depth = 3
    return made


def note(cache: Path, name: str, dirty: bool) -> None:
    (cache / name).write_text(json.dumps({"Dirty": dirty}))


def test_a_flush_waits_until_the_bucket_has_what_was_closed(cache: Path, mounted: Bucket) -> None:
    note(cache, "there", dirty=False)
    note(cache, "new", dirty=True)
    mounted._closed.add("new")
    answers: list[object] = []
    thread = threading.Thread(target=lambda: answers.append(mounted.flush(30.0)))
    thread.start()
    assert answers == []

    note(cache, "new", dirty=False)

    thread.join(10.0)
    assert answers == [{}]


def test_what_the_store_refuses_is_named_with_the_reason_and_without_the_key(cache: Path, mounted: Bucket) -> None:
    note(cache, "new", dirty=True)
    mounted._env = {"RCLONE_S3_SECRET_ACCESS_KEY": "kept-from-sight"}
    mounted._closed.add("new")
    mounted._failed["new"] = "failed to upload try #1: AccessDenied: kept-from-sight\n\tstatus code: 403"

    answer = mounted.flush(0.0)

    assert answer["unwritten"] == ["new"]
    assert answer["reason"].startswith("the store refuses access with this key (failed to upload")
    assert "kept-from-sight" not in answer["reason"]


def test_a_file_that_stays_open_is_not_waited_for(
    cache: Path, mounted: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, "CLOSING_S", 0.01)
    note(cache, "log", dirty=True)

    assert mounted.flush(30.0) == {}
    assert mounted._open == {"log"}

    # Until it is closed.
    mounted._closed.add("log")
    assert mounted.flush(0.1)["unwritten"] == ["log"]


def test_a_note_that_is_just_being_written_counts(cache: Path) -> None:
    (cache / "half").write_text('{"Dir')
    assert list(bucket._dirty()) == [":s3{abc}/bucket/part/half"]


def test_requests_are_answered_also_when_they_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    here, there = socket.socketpair()
    monkeypatch.setattr(bucket, "CACHE", str(tmp_path / "none"))
    monkeypatch.setenv("PATH", str(tmp_path))
    thread = threading.Thread(target=bucket._serve, args=(Bucket(), there))
    thread.start()
    with here, here.makefile("rwb") as stream:
        stream.write(b'{"do": "flush", "within_s": 1}\n{"do": "mount", "remote": ":s3:b", "env": {}}\n')
        stream.flush()
        answers = [json.loads(stream.readline()) for _ in range(2)]
    assert answers[0] == {}
    # There is no rclone on that path.
    assert "rclone" in answers[1]["error"]
    wait_until(lambda: not thread.is_alive(), "it ends with the connection")
