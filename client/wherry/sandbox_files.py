"""The files of a sandbox, through commands that any small system has: cat, find, mkdir, rm, sh, stat."""

from __future__ import annotations

import errno
import io
import os
import posixpath
import stat
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from wherry._base.blocking import blocking, iterating
from wherry.exception import (
    ExecutionError,
    InvalidError,
    SandboxFilesystemDirectoryNotEmptyError,
    SandboxFilesystemError,
    SandboxFilesystemIsADirectoryError,
    SandboxFilesystemNotADirectoryError,
    SandboxFilesystemNotFoundError,
    SandboxFilesystemPathAlreadyExistsError,
    SandboxFilesystemPermissionError,
)
from wherry.sandbox_watch import FileWatch
from wherry.types import FileInfo, FileType, FileWatchEventType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_MODES = frozenset(way + rest for way in "rwax" for rest in ("", "b", "t", "+", "b+", "t+", "+b", "+t"))
_ERRORS = {
    "No such file or directory": errno.ENOENT,
    "nonexistent": errno.ENOENT,
    "Is a directory": errno.EISDIR,
    "is a directory": errno.EISDIR,
    "Not a directory": errno.ENOTDIR,
    "File exists": errno.EEXIST,
    "Permission denied": errno.EACCES,
    "Read-only file system": errno.EROFS,
    "No space left on device": errno.ENOSPC,
    "Directory not empty": errno.ENOTEMPTY,
}
_TYPES: dict[int, type[SandboxFilesystemError]] = {
    errno.ENOENT: SandboxFilesystemNotFoundError,
    errno.EISDIR: SandboxFilesystemIsADirectoryError,
    errno.ENOTDIR: SandboxFilesystemNotADirectoryError,
    errno.EEXIST: SandboxFilesystemPathAlreadyExistsError,
    errno.EACCES: SandboxFilesystemPermissionError,
    errno.ENOTEMPTY: SandboxFilesystemDirectoryNotEmptyError,
}
# Mode, size, time of change, owner and group of a file.
_STAT = "%f/%s/%Y/%U/%G"
# Of a directory: its names; an empty one; what `stat` says of each; then each symbolic link, and where it leads.
_LIST = f"""
find "$1" -mindepth 1 -maxdepth 1 -print0 && printf '\\0' &&
find "$1" -mindepth 1 -maxdepth 1 -exec stat -c '{_STAT}' {{}} + && printf '\\0' &&
find "$1" -mindepth 1 -maxdepth 1 -type l -exec sh -c '
  for f; do printf "%s\\0" "$f"; readlink -n "$f"; printf "\\0"; done
' sh {{}} +
"""
_STAT_ONE = f"""stat -c '{_STAT}' -- "$1" || exit; readlink -n -- "$1" 2>/dev/null; exit 0"""
_REMOVE = 'if [ -d "$1" ] && [ ! -L "$1" ]; then rmdir -- "$1"; else rm -- "$1"; fi'
# How often a directory is listed that changes meanwhile.
_LIST_TRIES = 5
# Bytes of a file that are read here at a time.
_PIECE = 1 << 20


class SandboxFiles:
    """The files of a sandbox, as its user sees them. Paths are absolute, or relative to its working directory.

    Raises SandboxFilesystemError, each kind of which is what the same would raise locally, too: FileNotFoundError,
    IsADirectoryError, NotADirectoryError, FileExistsError, PermissionError, OSError; NotFoundError when the sandbox has
    ended; ExecutionError when its image lacks a program that this takes. (reference: Sandbox.filesystem)
    """

    def __init__(self, execute: Callable[..., Any]) -> None:
        # As `Sandbox.exec`.
        self._exec = execute

    # As in the reference

    @blocking
    def read_bytes(self, remote_path: str) -> bytes:
        """Return what a file holds. (reference: Sandbox.filesystem.read_bytes)"""
        return self._run(remote_path, "cat", "--", remote_path)

    @blocking
    def write_bytes(self, data: bytes | bytearray | memoryview, remote_path: str) -> None:
        """Make or replace a file, and the directories above it. (reference: Sandbox.filesystem.write_bytes)"""
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"write_bytes takes bytes, not {type(data).__name__}: write_text takes text")
        self._write_below(remote_path, [bytes(data)])

    @blocking
    def write_text(self, data: str, remote_path: str) -> None:
        """Make or replace a text file, as UTF-8, and the directories above it.

        (reference: Sandbox.filesystem.write_text)
        """
        if not isinstance(data, str):
            raise TypeError(f"write_text takes text, not {type(data).__name__}: write_bytes takes bytes")
        self._write_below(remote_path, [data.encode()])

    @blocking
    def list_files(self, remote_path: str) -> list[FileInfo]:
        """Return what is in a directory, sorted by name. (reference: Sandbox.filesystem.list_files)"""
        place = posixpath.join(self._place(remote_path), ".")
        for _ in range(_LIST_TRIES):
            try:
                found = _listed(self._run(remote_path, "sh", "-c", _LIST, "sh", place), remote_path)
            except SandboxFilesystemNotFoundError:
                # Perhaps a file that went meanwhile.
                self.stat(remote_path)
                continue
            if found is not None:
                return found
        raise SandboxFilesystemError(errno.EAGAIN, "the directory changes faster than it can be listed", remote_path)

    @blocking
    def stat(self, remote_path: str) -> FileInfo:
        """Return what is known of a file, directory or symbolic link. (reference: Sandbox.filesystem.stat)"""
        data = self._run(remote_path, "sh", "-c", _STAT_ONE, "sh", self._place(remote_path))
        line, _, target = data.partition(b"\n")
        return _info(remote_path, line, target)

    @blocking
    def make_directory(self, remote_path: str, *, create_parents: bool = True) -> None:
        """Make a directory and those above it, where they do not exist.

        Without `create_parents` only itself, which must not exist. (reference: Sandbox.filesystem.make_directory)
        """
        self.mkdir(remote_path, parents=create_parents)

    @blocking
    def remove(self, remote_path: str, *, recursive: bool = False) -> None:
        """Remove a file or an empty directory; with `recursive` a directory and all in it.

        (reference: Sandbox.filesystem.remove)
        """
        if recursive:
            self.rm(remote_path, recursive=True)
        else:
            self._run(remote_path, "sh", "-c", _REMOVE, "sh", self._place(remote_path))

    @blocking
    def copy_from_local(self, local_path: str | os.PathLike[str], remote_path: str) -> None:
        """Copy a file from here, and make the directories above it there.

        Errors of the local file are those of `open`. (reference: Sandbox.filesystem.copy_from_local)
        """
        with Path(local_path).open("rb") as file:
            self._write_below(remote_path, iter(lambda: file.read(_PIECE), b""))

    @blocking
    def copy_to_local(self, remote_path: str, local_path: str | os.PathLike[str]) -> None:
        """Copy a file to here, and make the directories above it here; one that fails leaves nothing.

        Errors of the local file are those of `open`. (reference: Sandbox.filesystem.copy_to_local)
        """
        local = Path(local_path)
        if local.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(local))
        local.parent.mkdir(parents=True, exist_ok=True)
        # With the rights of any new file, which a temporary one has not.
        with tempfile.TemporaryDirectory(dir=local.parent, prefix=".wherry-") as folder:
            fresh = Path(folder) / "file"
            with fresh.open("wb") as file:
                self._run(remote_path, "cat", "--", remote_path, to=file)
            fresh.replace(local)

    @iterating
    def watch(
        self,
        remote_path: str,
        *,
        filter: Sequence[FileWatchEventType] | None = None,
        recursive: bool = False,
        timeout: float | None = None,
    ) -> FileWatch:
        """Iterate what happens to a file, or to what is in a directory, with `for` or `async for`.

        It is looked at five times a second: what comes and goes in between is not seen, nor who reads. `filter`: only
        these events; `recursive`: also below directories in it; `timeout` in seconds, after which it ends. It ends with
        the sandbox, too. (reference: Sandbox.filesystem.watch)
        """
        path = self._checked(remote_path)
        return FileWatch(lambda: self.stat(path), self._exec, path, filter, recursive, timeout)

    # Shorter

    @blocking
    def read(self, path: str) -> bytes:
        """Return what a file holds."""
        return self._run(path, "cat", "--", path)

    @blocking
    def read_text(self, path: str, encoding: str = "utf-8") -> str:
        """Return what a text file holds."""
        return self._run(path, "cat", "--", path).decode(encoding)

    @blocking
    def write(self, path: str, data: str | bytes) -> None:
        """Make or replace a file; text is written as UTF-8. Its directory must be there."""
        self._write(path, data.encode() if isinstance(data, str) else bytes(data), ">")

    @blocking
    def open(self, path: str, mode: str = "r", encoding: str | None = None) -> IO[Any]:
        """Open a file; modes as those of Python's `open`.

        The whole file is held here: read when it is opened, written when it is flushed or closed.
        """
        if not isinstance(mode, str) or mode not in _MODES:
            raise InvalidError(f"mode is {mode!r}: it must be one of r, w, a, x, with b or + added, for example 'wb'")
        binary = _SandboxFile(path, mode, exists=self._exists, read=self.read, write=self._write)
        if "b" in mode:
            return binary
        return io.TextIOWrapper(binary, encoding=encoding or "utf-8", write_through=True)

    @blocking
    def ls(self, path: str = ".") -> list[str]:
        """Return the names in a directory, sorted; of a file its own name."""
        try:
            data = self._run(
                path, "find", posixpath.join(self._place(path), "."), "-mindepth", "1", "-maxdepth", "1", "-print0"
            )
        except NotADirectoryError:
            if path.endswith("/"):
                raise
            return [posixpath.basename(path)]
        return sorted(posixpath.basename(os.fsdecode(name)) for name in data.split(b"\0") if name)

    @blocking
    def mkdir(self, path: str, parents: bool = False) -> None:
        """Make a directory; with `parents` also those above it, and one that is there is fine."""
        self._run(path, "mkdir", *(["-p"] if parents else []), "--", path)

    @blocking
    def rm(self, path: str, recursive: bool = False) -> None:
        """Remove a file; with `recursive` a directory and all in it."""
        self._run(path, "rm", *(["-r"] if recursive else []), "--", path)

    def _exists(self, path: str) -> bool:
        process = self._exec("sh", "-c", 'test -e "$1"', "sh", path, env={}, text=False, bufsize=0)
        return bool(process.wait() == 0)

    def _write(self, path: str, data: bytes, how: str) -> None:
        self._run(path, "sh", "-c", f'cat {how} "$1"', "sh", path, given=[data])

    def _write_below(self, path: str, data: Iterable[bytes]) -> None:
        """Make or replace a file, and the directories above it."""
        above = posixpath.dirname(self._checked(path)) or "."
        try:
            self._run(path, "sh", "-c", 'mkdir -p -- "$2" && cat > "$1"', "sh", path, above, given=data)
        except SandboxFilesystemPathAlreadyExistsError:
            number = errno.ENOTDIR
            raise SandboxFilesystemNotADirectoryError(number, os.strerror(number), path) from None

    def _place(self, path: str) -> str:
        """Return a path that no command takes for an option or a part of what it is to look for."""
        return posixpath.join("." if not self._checked(path).startswith("/") else "", path)

    @staticmethod
    def _checked(path: Any) -> str:
        if not isinstance(path, str) or not path or "\0" in path:
            raise InvalidError(f"{path!r} is not the path of a file")
        return path

    def _run(
        self, path: str, *command: str, given: Iterable[bytes] | None = None, to: IO[bytes] | None = None
    ) -> bytes:
        """Run a command on a file; return what it prints, or write that to a file here."""
        self._checked(path)
        process = self._exec(*command, env={"LC_ALL": "C"}, text=False, bufsize=0)
        for piece in given or ():
            process.stdin.write(piece)
            process.stdin.drain()
        process.stdin.write_eof()
        data = b""
        if to is None:
            data = process.stdout.read()
        else:
            for piece in process.stdout:
                to.write(piece)
        told = process.stderr.read().decode(errors="replace").strip()
        code = process.wait()
        if code == 0:
            return data
        for sign, number in _ERRORS.items():
            # A missing program says the same of itself.
            if sign in told and code not in (126, 127):
                raise _TYPES.get(number, SandboxFilesystemError)(number, os.strerror(number), path)
        if code in (126, 127):
            raise ExecutionError(
                f"the sandbox's image has no `{command[0]}`, or lacks another program for its files: {told}"
            )
        told = f"{command[0]} in the sandbox ended with code {code}: {told[-500:]}"
        raise SandboxFilesystemError(errno.EIO, told, path)


def _info(path: str, line: bytes, target: bytes) -> FileInfo:
    """Return what a line of `stat` says of a file."""
    mode, size, changed, owner, group = os.fsdecode(line).split("/")
    bits = int(mode, 16)
    kind = FileType.DIRECTORY if stat.S_ISDIR(bits) else FileType.FILE
    if stat.S_ISLNK(bits):
        kind = FileType.SYMLINK
    return FileInfo(
        name=posixpath.basename(path.rstrip("/")) or "/",
        path=path,
        type=kind,
        size=int(size),
        mode=stat.S_IMODE(bits),
        permissions=stat.filemode(bits)[1:],
        owner=owner,
        group=group,
        modified_time=float(changed),
        symlink_target=os.fsdecode(target) if kind is FileType.SYMLINK else None,
    )


def _listed(data: bytes, path: str) -> list[FileInfo] | None:
    """Return what `_LIST` has printed; None where something changed while it ran."""
    names, _, rest = data.partition(b"\0\0") if not data.startswith(b"\0") else (b"", b"", data[1:])
    lines, _, links = rest.partition(b"\0")
    shown = [posixpath.basename(name) for name in names.split(b"\0") if name]
    told = lines.splitlines()
    if len(shown) != len(told):
        return None
    pairs = links.split(b"\0")
    targets = {posixpath.basename(link): target for link, target in zip(pairs[::2], pairs[1::2], strict=False)}
    found = [
        _info(posixpath.join(path, os.fsdecode(name)), line, targets.get(name, b""))
        for name, line in zip(shown, told, strict=True)
    ]
    return sorted(found, key=lambda info: info.name)


class _SandboxFile(io.BytesIO):
    """A file's bytes, taken there when they are flushed."""

    def __init__(
        self,
        path: str,
        mode: str,
        *,
        exists: Callable[[str], bool],
        read: Callable[[str], bytes],
        write: Callable[[str, bytes, str], None],
    ) -> None:
        self._path = path
        self._write_there = write
        self._appends = "a" in mode
        self._readable = "r" in mode or "+" in mode
        self._writable = "r" not in mode or "+" in mode
        self._changed = mode[0] in "wx"
        if mode[0] == "x" and exists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        there = mode[0] == "r" or (self._appends and self._readable and exists(path))
        super().__init__(read(path) if there else b"")
        if self._appends:
            self.seek(0, io.SEEK_END)
        # What the file held before: appending sends what follows.
        self._before = len(self.getbuffer())
        if self._changed:
            # It fails here, and not at the end, where it can't be written.
            self.flush()

    @property
    def name(self) -> str:
        return self._path

    def readable(self) -> bool:
        return self._readable

    def writable(self) -> bool:
        return self._writable

    def read(self, size: int | None = -1, /) -> bytes:
        self._check(self._readable, "readable")
        return super().read(size)

    def read1(self, size: int | None = -1, /) -> bytes:
        self._check(self._readable, "readable")
        return super().read1(size)

    def write(self, data: Any, /) -> int:
        self._check(self._writable, "writable")
        if self._appends:
            self.seek(0, io.SEEK_END)
        self._changed = True
        return super().write(data)

    def truncate(self, size: int | None = None, /) -> int:
        self._check(self._writable, "writable")
        self._changed = True
        return super().truncate(size)

    def flush(self) -> None:
        if not self._changed or self.closed:
            return
        self._changed = False
        if self._appends:
            data = self.getvalue()[self._before :]
            self._before += len(data)
            self._write_there(self._path, data, ">>")
        else:
            self._write_there(self._path, self.getvalue(), ">")

    def close(self) -> None:
        try:
            self.flush()
        finally:
            super().close()

    @staticmethod
    def _check(allowed: bool, what: str) -> None:
        if not allowed:
            raise io.UnsupportedOperation(f"the file is not {what}")
