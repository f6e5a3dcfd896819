"""Links, pipes and devices that a container leaves in a volume, where the service and clients then work."""

import importlib
import io
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import wherry
from tests.acceptance.service import OwnService
from tests.hostile.places import FunctionPlace
from wherry.volume import FileEntryType

TEXT = "the host's own canary"


@pytest.fixture(scope="module")
def digger(service: OwnService) -> Iterator[ModuleType]:
    sys.modules.pop("tests.hostile.digger", None)
    app = importlib.import_module("tests.hostile.digger")
    with app.app.run():
        yield app


@pytest.fixture(scope="module")
def inside(digger: ModuleType) -> FunctionPlace:
    return FunctionPlace(digger.attack)


@pytest.fixture
def canary() -> Iterator[Path]:
    """A directory of the host with a file, which stay as they are."""
    with tempfile.TemporaryDirectory(prefix="canary-") as name:
        folder = Path(name)
        (folder / "file").write_text(TEXT)
        (folder / "file").chmod(0o600)
        yield folder
        assert [path.name for path in folder.iterdir()] == ["file"]
        assert (folder / "file").read_text() == TEXT
        assert (folder / "file").stat().st_mode & 0o7777 == 0o600
        assert folder.stat().st_mode & 0o7777 == 0o700


def lay(target: str) -> None:
    """Lay links to a directory of the host, and to its file, anew."""
    import os
    import shutil

    for name in os.listdir("/v"):
        path = f"/v/{name}"
        shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.remove(path)
    os.symlink(target, "/v/link")
    os.symlink(f"{target}/file", "/v/file")
    os.mkdir("/v/folder")
    os.symlink("../link/file", "/v/folder/around")
    os.symlink("..", "/v/folder/up")
    with open("/v/own", "w") as file:
        file.write("mine")
    os.symlink("/proc/self/root" + target, "/v/magic")
    os.symlink("link", "/v/twice")


def put(volume: Any, path: str) -> None:
    with volume.batch_upload(force=True) as batch:
        batch.put_file(io.BytesIO(b"planted"), path)


def read(volume: Any, path: str) -> bytes:
    return b"".join(volume.read_file(path))


WAYS: dict[str, Callable[[Any], Any]] = {
    "read a link to a file": lambda volume: read(volume, "file"),
    "read through a link": lambda volume: read(volume, "link/file"),
    "read through a link to a link": lambda volume: read(volume, "twice/file"),
    "read around": lambda volume: read(volume, "folder/around"),
    "read through /proc": lambda volume: read(volume, "magic/file"),
    "read above": lambda volume: read(volume, "../../../../../../etc/hostname"),
    "read above by a link": lambda volume: read(volume, "folder/up/../../wherry.db"),
    "list a link": lambda volume: [entry.path for entry in volume.listdir("link", recursive=True)],
    "write over a link": lambda volume: put(volume, "/file"),
    "write through a link": lambda volume: put(volume, "/link/planted"),
    "write a directory through a link": lambda volume: put(volume, "/link/new/planted"),
    "write through /proc": lambda volume: put(volume, "/magic/planted"),
    "remove through a link": lambda volume: volume.remove_file("link/file"),
    "remove all through a link": lambda volume: volume.remove_file("twice", recursive=True),
    "copy what a link leads to": lambda volume: volume.copy_files(["file"], "copied"),
    "copy through a link": lambda volume: volume.copy_files(["own"], "link/planted"),
    "copy all": lambda volume: volume.copy_files(["link"], "copied", recursive=True),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_link_leads_nowhere_outside(digger: ModuleType, inside: FunctionPlace, canary: Path, way: str) -> None:
    assert inside.attack(lay, str(canary)).error == ""
    try:
        found = WAYS[way](digger.volume)
    except (wherry.exception.Error, FileNotFoundError, OSError) as error:
        found = str(error)
    assert TEXT not in str(found)
    assert TEXT.encode() not in (found if isinstance(found, bytes) else b"")
    # What is in the volume by then is no copy of it.
    assert inside.attack("grep -rl canary /v/copied 2>/dev/null || true").value == [0, ""]


def test_a_link_is_no_directory_to_mount(digger: ModuleType, inside: FunctionPlace, canary: Path) -> None:
    assert inside.attack(lay, str(canary)).error == ""
    with pytest.raises(wherry.exception.Error, match="link"):
        digger.below.remote()


def make_pipe() -> None:
    import os

    if not os.path.exists("/v/pipe"):
        os.mkfifo("/v/pipe")


def test_a_pipe_holds_nobody_up(digger: ModuleType, inside: FunctionPlace) -> None:
    assert inside.attack(make_pipe).error == ""
    ended: list[str] = []

    def ask() -> None:
        for way in (lambda: read(digger.volume, "pipe"), lambda: digger.volume.copy_files(["pipe"], "copied-pipe")):
            try:
                ended.append(str(way()))
            except (wherry.exception.Error, OSError) as error:
                ended.append(type(error).__name__)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(15)
    assert len(ended) == 2, ended
    assert inside.attack("rm -rf /v/pipe /v/copied-pipe").value[0] == 0


def hard_link(source: str) -> None:
    import os

    if os.path.exists("/v/hard"):
        os.remove("/v/hard")
    os.link(source, "/v/hard")


def first_of(folder: str) -> str:
    import os

    return next(f"{folder}/{name}" for name in os.listdir(folder) if os.path.isfile(f"{folder}/{name}"))


@pytest.mark.parametrize("where", ["/run/wherry/source/tests/hostile", "/wherry/runner/wherry_runner"])
def test_what_is_lent_can_not_be_linked_where_it_is_writable(inside: FunctionPlace, where: str) -> None:
    source = inside.attack(first_of, where).value
    got = inside.attack(hard_link, source)
    # Another mount, for the kernel: also of one file system.
    assert got.error == "OSError", got
    assert got.errno == 18, got


def test_a_socket_of_the_services_can_not_be_linked(inside: FunctionPlace) -> None:
    for name in ("api.sock", "runner.sock", "values.sock", "web.sock"):
        assert inside.attack(hard_link, f"/run/wherry/{name}").errno in (18, 1, 95), name


def deep(levels: int) -> int:
    """Make directories in each other until that is refused, or there are so many."""
    import os

    os.makedirs("/v/deep", exist_ok=True)
    os.chdir("/v/deep")
    for level in range(levels):
        try:
            os.mkdir("d" * 200)
            os.chdir("d" * 200)
        except OSError:
            return level
    return levels


def test_a_deep_volume_breaks_nothing(digger: ModuleType, inside: FunctionPlace, service: OwnService) -> None:
    assert inside.attack(deep, 3000, timeout_s=60).value == 3000
    with pytest.raises(wherry.exception.InvalidError, match="more than 256 deep"):
        list(digger.volume.listdir("/", recursive=True))
    with pytest.raises(wherry.exception.InvalidError, match="more than 256 deep"):
        digger.volume.copy_files(["deep"], "deep-copy", recursive=True)
    digger.volume.remove_file("deep-copy", recursive=True)
    digger.volume.remove_file("deep", recursive=True)
    assert "deep" not in [entry.path for entry in digger.volume.listdir("/")]
    assert "Traceback" not in service.log()


def odd_names() -> None:
    import os

    os.makedirs("/v/odd", exist_ok=True)
    for name in (b"new\nline", b"\xff\xfe", b"\x1b[31mred", b"-rf", b"a" * 255, b"%2e%2e", b"..."):
        with open(b"/v/odd/" + name, "wb") as file:
            file.write(b"x")


def wherry_command(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "wherry.cli.main", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return ran


def test_odd_names_are_names(digger: ModuleType, inside: FunctionPlace, service: OwnService, tmp_path: Path) -> None:
    assert inside.attack(odd_names).error == ""
    found = {entry.path.removeprefix("odd/"): entry.type for entry in digger.volume.listdir("odd", recursive=True)}
    assert found.pop("\ufffd\ufffd") == FileEntryType.OTHER
    assert set(found) == {"new\nline", "\x1b[31mred", "-rf", "a" * 255, "%2e%2e", "..."}
    # One that can't be named here keeps nobody from the others, and nothing steers the terminal.
    (tmp_path / "here").mkdir()
    told = wherry_command("volume", "get", "traps", "odd", str(tmp_path / "here"))
    assert "Left out odd/\ufffd\ufffd: " in told.stderr
    assert len(list((tmp_path / "here" / "odd").iterdir())) == len(found)
    listed = wherry_command("volume", "ls", "traps", "odd").stdout
    assert r"new\nline" in listed
    assert "\x1b" not in listed
    digger.volume.remove_file("odd", recursive=True)
    assert "Traceback" not in service.log()
