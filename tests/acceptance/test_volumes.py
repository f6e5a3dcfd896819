"""Volumes, shared by functions in containers and by this program."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import wherry
from tests.acceptance.conftest import RunApp
from tests.acceptance.service import OwnService
from wherry.exception import (
    AlreadyExistsError,
    InvalidError,
    NotFoundError,
    OpenFilesError,
    VolumeFileExistsError,
    VolumeFileNotFoundError,
)


@pytest.fixture(scope="module")
def volumes(run_app: RunApp) -> Iterator[ModuleType]:
    from tests.acceptance.apps import volumes

    with run_app(volumes.app):
        yield volumes


@pytest.fixture
def volume(service: OwnService) -> Iterator[wherry.Volume]:
    with wherry.Volume.ephemeral() as made:
        yield made


def cli(environment: dict[str, str], *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "wherry.cli.main", "volume", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_what_one_function_writes_another_reads_at_once_and_so_does_the_client(volumes: ModuleType) -> None:
    volumes.write.remote("/data/deep/a.txt", "hello")
    assert volumes.read.remote("read", "/data/deep/a.txt") == "hello"
    assert b"".join(volumes.shared.read_file("deep/a.txt")) == b"hello"
    volumes.write.remote("/files/b.txt", "nfs")
    assert b"".join(volumes.files.read_file("b.txt")) == b"nfs"


def test_b42_what_was_written_stays_after_an_exception(volumes: ModuleType) -> None:
    with pytest.raises(ValueError, match="after writing"):
        volumes.write.remote("/data/failed.txt", "kept", fail=True)
    assert b"".join(volumes.shared.read_file("/failed.txt")) == b"kept"


def test_b59_reload_with_open_files_is_an_error_and_harmless_without(volumes: ModuleType) -> None:
    volumes.write.remote("/data/open.txt", "x")
    with pytest.raises(OpenFilesError, match=r"open files .*/data/open.txt"):
        volumes.read.remote("reload open", "/data/open.txt")
    volumes.read.remote("reload")


def test_read_only_and_sub_paths(volumes: ModuleType) -> None:
    with pytest.raises(OSError, match="Read-only"):
        volumes.read.remote("write", "/data/no.txt")
    volumes.write.remote("/own/inner/part/c.txt", "deep")
    assert volumes.read.remote("list", "/own") == ["c.txt"]
    volumes.read.remote("link", "/etc/passwd", "/own/out")
    for path in ("inner/part/out", "../x", "a/../../x"):
        with pytest.raises(InvalidError, match="leaves the volume"):
            b"".join(volumes.app.own.read_file(path))


def test_the_client_works_inside_containers(volumes: ModuleType) -> None:
    if any(entry.path == "from-inside.py" for entry in volumes.shared.listdir()):
        volumes.shared.remove_file("from-inside.py")
    paths, size = volumes.read.remote("client")
    assert "from-inside.py" in paths
    assert size == Path(volumes.__file__).stat().st_size


def test_mounts_bring_files_of_this_machine(volumes: ModuleType) -> None:
    size, names, found = volumes.mounted.remote()
    assert (size, names, found) == (Path(volumes.HERE, "short.py").stat().st_size, ["short.py"], True)


def test_a_volume_in_use_is_deleted_by_force_alone(volumes: ModuleType) -> None:
    with pytest.raises(InvalidError, match=r"volumes\.write.*stop that first"):
        wherry.Volume.delete("acceptance-shared")


def test_b59_put_over_an_existing_file_needs_force(volume: wherry.Volume, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1" * 3_000_000)
    with volume.batch_upload() as batch:
        batch.put_file(tmp_path / "a", "x/")
        batch.put_directory(tmp_path, "tree")
    batch = volume.batch_upload()
    batch.put_file(tmp_path / "a", "new")
    batch.put_file(tmp_path / "a", "x/a")
    with pytest.raises(VolumeFileExistsError, match="force") as raised:
        batch.upload()
    assert isinstance(raised.value, FileExistsError)
    assert sorted(entry.path for entry in volume.iterdir()) == ["tree", "tree/a", "x", "x/a"]
    with volume.batch_upload(force=True) as batch:
        batch.put_file(tmp_path / "a", "x/a")
    assert volume.copy_files(["x"], "y", recursive=True) == 1
    volume.remove_file("x", recursive=True)
    assert b"".join(volume.read_file("y/a")) == b"1" * 3_000_000
    with pytest.raises(VolumeFileNotFoundError) as missing:
        b"".join(volume.read_file("x/a"))
    assert isinstance(missing.value, FileNotFoundError)


def test_an_upload_goes_on_where_it_broke_off(volume: wherry.Volume, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(20 << 20))
    seen: list[int] = []

    def break_off(size: int) -> None:
        seen.append(size)
        if len(seen) == 15:
            raise KeyboardInterrupt

    batch = volume.batch_upload()
    batch.put_file(tmp_path / "big", "big")
    with pytest.raises(KeyboardInterrupt):
        batch.upload(break_off)
    assert list(volume.listdir()) == []
    first: list[int] = []
    again = volume.batch_upload()
    again.put_file(tmp_path / "big", "big")
    again.upload(first.append)
    # What had come is told in one step, before the rest, which comes a mebibyte at a time.
    assert first[0] >= 2 << 20
    assert sum(first) == 20 << 20
    assert volume.listdir()[0].size == 20 << 20


def test_names(service: OwnService) -> None:
    wherry.Volume.lookup("name-a", create_if_missing=True)
    wherry.Volume.lookup("name-b", create_if_missing=True)
    with pytest.raises(AlreadyExistsError, match="name-b"):
        wherry.Volume.rename("name-a", "name-b")
    wherry.Volume.rename("name-a", "name-c")
    with pytest.raises(NotFoundError, match="name-c"):
        wherry.Volume.lookup("name-a")
    for name in ("name-b", "name-c"):
        wherry.Volume.delete(name)


def test_the_command_line(service: OwnService, environment: dict[str, str], tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    for number in range(20):
        (tree / "sub" / f"{number}.txt").write_text(str(number))
    assert cli(environment, "create", "cli-v").returncode == 0
    assert cli(environment, "put", "cli-v", str(tree)).returncode == 0
    refused = cli(environment, "put", "cli-v", str(tree))
    assert (refused.returncode, "already" in refused.stderr, "Traceback" in refused.stderr) == (1, True, False)
    assert cli(environment, "put", "cli-v", str(tree), "--force").returncode == 0
    listed = json.loads(cli(environment, "ls", "cli-v", "-r", "--json").stdout)
    assert len(listed) == 22
    assert cli(environment, "get", "cli-v", "tree", str(tmp_path / "back")).returncode == 0
    assert (tmp_path / "back" / "sub" / "7.txt").read_text() == "7"
    assert cli(environment, "get", "cli-v", "tree/sub/8.txt", "-").stdout == "8"
    assert cli(environment, "cp", "cli-v", "tree", "copy", "-r").returncode == 0
    assert "--yes" in cli(environment, "rm", "cli-v", "tree", "-r").stderr
    assert cli(environment, "rm", "cli-v", "tree", "-r", "--yes").returncode == 0
    assert "--yes" in cli(environment, "delete", "cli-v").stderr
    assert cli(environment, "delete", "cli-v", "--yes").returncode == 0
    assert "cli-v" in cli(environment, "ls", "cli-v").stderr
