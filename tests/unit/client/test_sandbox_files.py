"""The files of a sandbox, through the programs of this machine: what their output means, and what their errors are."""

import asyncio
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import wait_until
from wherry import exception
from wherry.file_io import FileIO
from wherry.io_streams import StreamReader, StreamWriter
from wherry.sandbox_files import SandboxFiles
from wherry.types import FileType, FileWatchEvent, FileWatchEventType

LINK, FILE, FOLDER = FileType.SYMLINK, FileType.FILE, FileType.DIRECTORY


class Local:
    """A process of this machine in place of one in a sandbox."""

    def __init__(self, args: tuple[str, ...], env: dict[str, str], timeout: float | None, folder: str) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            args, stdin=pipe, stdout=pipe, stderr=pipe, env={**os.environ, **env, "PATH": folder}
        )
        if timeout:
            threading.Timer(timeout, self.kill).start()
        self.stdin = StreamWriter(self._write)
        drain = self.stdin.drain
        self.stdout: StreamReader[bytes] = StreamReader(lambda: self._pieces(self.process.stdout), False, False, drain)
        self.stderr: StreamReader[bytes] = StreamReader(lambda: self._pieces(self.process.stderr), False, False, drain)

    def _write(self, data: bytes, eof: bool) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(data)
            self.process.stdin.flush()
        except BrokenPipeError:
            return
        if eof:
            self.process.stdin.close()

    @staticmethod
    def _pieces(stream: Any) -> Iterator[bytes]:
        with stream:
            yield from iter(lambda: stream.read1(1000), b"")

    def wait(self) -> int:
        self.stdin.drain()
        with self.process as process:
            return process.wait(30)

    def kill(self) -> None:
        self.process.kill()
        with self.process as process:
            process.wait(30)


@pytest.fixture(params=["coreutils", "busybox"])
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SandboxFiles:
    folder = os.environ["PATH"]
    if request.param == "busybox":
        busybox = shutil.which("busybox")
        if busybox is None:
            pytest.skip("busybox is not installed on this host: coreutils are tested always")
        bin = tmp_path_factory.mktemp("bin")
        for name in ("cat", "find", "mkdir", "rm", "rmdir", "sh", "stat", "readlink", "sleep", "test"):
            (bin / name).symlink_to(busybox)
        folder = str(bin)

    def execute(
        *args: str, env: dict[str, str] | None = None, text: bool = True, bufsize: int = 1, timeout: float | None = None
    ) -> Local:
        return Local(args, env or {}, timeout, folder)

    return SandboxFiles(execute)


def test_written_and_read(files: SandboxFiles, tmp_path: Path) -> None:
    path = f"{tmp_path}/a b/c/-x"
    files.write_text("zwölf\n", path)
    assert (files.read_text(path), files.read_bytes(path)) == ("zwölf\n", "zwölf\n".encode())
    files.write_bytes(memoryview(b"\0\xff"), path)
    assert files.read(path) == b"\0\xff"
    with pytest.raises(TypeError, match="write_text takes text, not bytes"):
        files.write_text(b"x", path)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="write_bytes takes bytes, not str"):
        files.write_bytes("x", path)  # type: ignore[arg-type]


def test_what_is_in_a_directory(files: SandboxFiles, tmp_path: Path) -> None:
    names = ["one", ".hidden", "-n", "a b", "new\nline", "ümlaut", "*"]
    for size, name in enumerate(names):
        (tmp_path / name).write_bytes(b"x" * size)
    (tmp_path / "one").chmod(0o640)
    os.utime(tmp_path / "one", (5, 1_000_000_000))
    (tmp_path / "folder").mkdir(0o755)
    (tmp_path / "folder/inner").touch()
    (tmp_path / "link").symlink_to("one")
    (tmp_path / "dead end").symlink_to("/no such/place")
    found = {info.name: info for info in files.list_files(str(tmp_path))}
    assert list(found) == sorted([*names, "folder", "link", "dead end"])
    assert [found[name].size for name in names] == list(range(len(names)))
    one = found["one"]
    assert (one.path, one.type, one.mode, one.permissions) == (f"{tmp_path}/one", FILE, 0o640, "rw-r-----")
    assert (one.modified_time, one.symlink_target, one.is_file()) == (1e9, None, True)
    assert one.owner == (tmp_path / "one").owner()
    assert (found["folder"].type, found["folder"].is_dir()) == (FOLDER, True)
    assert [(found[n].symlink_target, found[n].is_symlink()) for n in ("link", "dead end")] == [
        ("one", True), ("/no such/place", True),
    ]  # fmt: skip
    assert files.list_files(f"{tmp_path}/folder/")[0].path == f"{tmp_path}/folder/inner"
    files.mkdir(f"{tmp_path}/empty")
    assert files.list_files(f"{tmp_path}/empty") == []
    assert files.stat(f"{tmp_path}/link") == found["link"]
    assert files.stat(f"{tmp_path}/one") == one
    assert files.stat("/").type is FOLDER


def test_directories_are_made_and_removed(files: SandboxFiles, tmp_path: Path) -> None:
    files.make_directory(f"{tmp_path}/a/b")
    files.make_directory(f"{tmp_path}/a/b")
    with pytest.raises(exception.SandboxFilesystemPathAlreadyExistsError):
        files.make_directory(f"{tmp_path}/a/b", create_parents=False)
    with pytest.raises(exception.SandboxFilesystemDirectoryNotEmptyError):
        files.remove(f"{tmp_path}/a")
    files.remove(f"{tmp_path}/a/b")
    (tmp_path / "link").symlink_to("a")
    files.remove(f"{tmp_path}/link")
    assert os.listdir(tmp_path) == ["a"]
    files.write_text("", f"{tmp_path}/a/x/y")
    files.remove(f"{tmp_path}/a", recursive=True)
    assert os.listdir(tmp_path) == []


def test_errors_are_of_modals_kinds_and_of_pythons(files: SandboxFiles, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    missing = (exception.SandboxFilesystemNotFoundError, FileNotFoundError)
    for kinds, work in (
        (missing, lambda: files.read_text(f"{tmp_path}/no")),
        (missing, lambda: files.list_files(f"{tmp_path}/no")),
        (missing, lambda: files.stat(f"{tmp_path}/no")),
        (missing, lambda: files.remove(f"{tmp_path}/no")),
        (missing, lambda: files.copy_to_local(f"{tmp_path}/no", f"{tmp_path}/here")),
        (missing, lambda: files.make_directory(f"{tmp_path}/no/no", create_parents=False)),
        ((exception.SandboxFilesystemIsADirectoryError, IsADirectoryError), lambda: files.read(str(tmp_path))),
        ((exception.SandboxFilesystemIsADirectoryError,), lambda: files.write_text("", str(tmp_path))),
        ((exception.SandboxFilesystemNotADirectoryError, NotADirectoryError),
         lambda: files.list_files(f"{tmp_path}/file")),
        ((exception.SandboxFilesystemNotADirectoryError,), lambda: files.write_text("", f"{tmp_path}/file/x")),
        ((exception.SandboxFilesystemNotADirectoryError,), lambda: files.write_text("", f"{tmp_path}/file/x/y")),
        ((exception.SandboxFilesystemError, OSError), lambda: files.read(f"{tmp_path}/{'x' * 300}")),
    ):  # fmt: skip
        with pytest.raises(exception.SandboxFilesystemError) as raised:
            work()
        assert all(isinstance(raised.value, kind) for kind in kinds), raised.value
        assert raised.value.filename
        assert isinstance(raised.value, exception.FilesystemExecutionError)
    assert not (tmp_path / "here").exists()
    with pytest.raises(exception.InvalidError, match="is not the path of a file"):
        files.write_text("", "")


def test_copied_from_and_to_here(files: SandboxFiles, tmp_path: Path) -> None:
    data = os.urandom(3 << 20)
    (tmp_path / "here").write_bytes(data)
    files.copy_from_local(tmp_path / "here", f"{tmp_path}/there/file")
    files.copy_to_local(f"{tmp_path}/there/file", tmp_path / "back/again")
    assert (tmp_path / "back/again").read_bytes() == data
    assert os.listdir(tmp_path / "back") == ["again"]
    with pytest.raises(FileNotFoundError):
        files.copy_from_local(tmp_path / "nothing", f"{tmp_path}/there/file")
    with pytest.raises(IsADirectoryError):
        files.copy_to_local(f"{tmp_path}/there/file", tmp_path)


def test_changes_are_seen(files: SandboxFiles, tmp_path: Path) -> None:
    (tmp_path / "old").touch()
    watch = files.watch(str(tmp_path), timeout=600)
    seen: list[FileWatchEvent] = []
    thread = threading.Thread(target=lambda: seen.extend(watch), daemon=True)
    thread.start()

    def until(what: FileWatchEventType, name: str) -> None:
        wait_until(lambda: FileWatchEvent([f"{tmp_path}/{name}"], what) in seen, f"{what} of {name} is seen: {seen}")

    # What it began with is known when the first change is seen.
    for made in range(1000):
        (tmp_path / f"new{made}").touch()
        thread.join(0.05)
        if seen:
            break
    (tmp_path / "old").write_text("changed")
    until(FileWatchEventType.Modify, "old")
    (tmp_path / "old").unlink()
    until(FileWatchEventType.Remove, "old")
    (tmp_path / "folder").mkdir()
    until(FileWatchEventType.Create, "folder")
    (tmp_path / "folder/inner").touch()
    watch.close()
    thread.join(10)
    assert not any("inner" in event.paths[0] for event in seen)


def test_a_watch_is_bounded_in_time_and_asynchronous(files: SandboxFiles, tmp_path: Path) -> None:
    async def main() -> list[FileWatchEvent]:
        return [event async for event in files.watch.aio(str(tmp_path), recursive=True, timeout=0.5)]

    assert asyncio.run(main()) == []
    with pytest.raises(exception.SandboxFilesystemNotFoundError):
        next(files.watch(f"{tmp_path}/no"))


def test_an_open_file(files: SandboxFiles, tmp_path: Path) -> None:
    with FileIO[str](files.open(f"{tmp_path}/x", "w")) as file:
        assert file.write("one\ntwo\nthree\n") == 14
        file.flush()
    assert file.closed
    with FileIO[str](files.open(f"{tmp_path}/x")) as file:
        assert (file.read(2), file.readline(), file.readlines()) == ("on", "e\n", ["two\n", "three\n"])
        assert file.seek(0) == file.tell() == 0
        assert list(file) == ["one\n", "two\n", "three\n"]

    async def main() -> tuple[bytes, list[bytes]]:
        async with FileIO[bytes](files.open(f"{tmp_path}/x", "rb+")) as file:
            await file.write.aio(b"ONE")
            first = await file.readline.aio()
            return first, [line async for line in file]

    assert asyncio.run(main()) == (b"\n", [b"two\n", b"three\n"])
    assert files.read_text(f"{tmp_path}/x") == "ONE\ntwo\nthree\n"
