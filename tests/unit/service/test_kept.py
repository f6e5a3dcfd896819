"""What a state directory has in it: how much, part by part."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from wherry_service.store import kept


def test_each_part_is_measured(tmp_path: Path) -> None:
    for name, size in (("volumes/vo-1/a", 10_000), ("volumes/b", 1), ("blobs/x", 5000), ("wherry.db-wal", 9000)):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))
    (tmp_path / "holiday.jpg").write_bytes(b"x" * 100_000)
    found = {size.name: size for size in kept.sizes(tmp_path)}
    assert list(found) == list(kept.PARTS)
    assert (found["volumes"].num_files, found["blobs"].num_files, found["database"].num_files) == (2, 1, 1)
    assert 10_001 <= found["volumes"].num_bytes < 50_000
    assert found["sources"].num_bytes == 0
    assert sum(size.num_bytes for size in found.values()) < 100_000


def test_holes_and_second_names_take_no_room(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    with open(tmp_path / "blobs/sparse", "wb") as file:
        file.truncate(1 << 30)
    (tmp_path / "blobs/one").write_bytes(os.urandom(1 << 20))
    os.link(tmp_path / "blobs/one", tmp_path / "blobs/two")
    (tmp_path / "blobs/away").symlink_to("/usr")
    blobs = next(size for size in kept.sizes(tmp_path) if size.name == "blobs")
    assert 1 << 20 <= blobs.num_bytes < 2 << 20
    assert blobs.num_files == 3
    assert blobs.complete


def test_looking_ends_in_time(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    logs = next(size for size in kept.sizes(tmp_path, within_s=0) if size.name == "logs")
    assert not logs.complete


def test_looking_ends_in_time_within_one_large_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "logs").mkdir()
    for number in range(50):
        (tmp_path / f"logs/{number}").touch()
    monkeypatch.setattr(kept, "_LOOK_EVERY", 10)
    listed: list[str] = []
    below = kept._below

    def endless(directory: str, device: int) -> Iterator[tuple[str, os.stat_result]]:
        for path, told in below(directory, device):
            listed.append(path)
            yield path, told

    monkeypatch.setattr(kept, "_below", endless)
    monkeypatch.setattr("time.monotonic", lambda: 99.0 if len(listed) >= 15 else 0.0)
    logs = next(size for size in kept.sizes(tmp_path, within_s=20) if size.name == "logs")
    assert (logs.complete, logs.num_files, len(listed)) == (False, 20, 20)


def test_no_more_is_remembered_than_there_is_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "_MOST", 3)
    for part in ("blobs", "volumes"):
        (tmp_path / part).mkdir()
    for number in range(5):
        (tmp_path / f"blobs/{number}").touch()
        os.link(tmp_path / f"blobs/{number}", tmp_path / f"blobs/also-{number}")
        (tmp_path / f"volumes/{number}").mkdir()
    found = {size.name: size for size in kept.sizes(tmp_path)}
    assert (found["blobs"].num_files, found["blobs"].complete) == (3, False)
    assert not found["volumes"].complete


def test_what_may_not_be_seen_is_not_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    assert kept.is_gone(str(tmp_path / "no"))
    assert kept.is_gone(str(tmp_path / "file/below"))
    assert not kept.is_gone(str(tmp_path))

    def refused(path: str) -> os.stat_result:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("os.lstat", refused)
    assert not kept.is_gone(str(tmp_path / "no"))


def test_volumes_may_be_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    (tmp_path / "export/file").write_bytes(b"x" * 9000)
    (tmp_path / "state").mkdir()
    volumes = next(size for size in kept.sizes(tmp_path / "state", tmp_path / "export") if size.name == "volumes")
    assert volumes.num_files == 1


def test_a_directory_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert {size.num_bytes for size in kept.sizes(tmp_path / "no")} == {0}
    assert kept.free_bytes(tmp_path / "no") == (0, 0)


def test_mounts_are_found_by_their_place(tmp_path: Path) -> None:
    state = tmp_path / "a state"
    state.mkdir()
    lines = [
        f"36 35 98:0 / {place} rw - fuse bucket rw\n"
        for place in (f"{tmp_path}/a\\040state/run/co-1", f"{tmp_path}/a\\040statement", "/", f"{tmp_path}/a\\040state")
    ]
    (tmp_path / "mountinfo").write_text("".join(lines))
    assert kept.mounts_below(state, tmp_path / "mountinfo") == [f"{state}/run/co-1"]


@pytest.mark.parametrize(
    "name", ["local.sock", "wherry.sock", "grpc.sock", "secret.key", "tunnels.key", "server.log.1", "server.env", "tls"]
)
def test_what_the_service_makes_has_a_part(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert [part for part in kept.PARTS if kept.entries(tmp_path, part)] == [kept_part(name)]


def kept_part(name: str) -> str:
    return "logs" if name.startswith("server.log") else "settings"


def test_the_page_names_each_part() -> None:
    page = (Path(__file__).parents[3] / "docs/server.md").read_text()
    named = [name for names in kept.PARTS.values() for name in names if not set("*-") & set(name) and name[0] != "."]
    assert [name for name in named if f"`{name}" not in page] == []
