"""The files of a sandbox, through commands that any small system has: cat, find, mkdir, rm, sh."""

from __future__ import annotations

import errno
import io
import os
import posixpath
from typing import IO, TYPE_CHECKING, Any

from wherry._base.blocking import blocking
from wherry.exception import ExecutionError, InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable

_MODES = frozenset(f"{way}{plus}{kind}" for way in "rwax" for plus in ("", "+") for kind in ("", "b", "t"))
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


class SandboxFiles:
    """The files of a sandbox, as its user sees them. Paths are absolute, or relative to its working directory.

    Raises what the same would raise locally: FileNotFoundError, IsADirectoryError, PermissionError, OSError; and
    NotFoundError when the sandbox has ended. (reference: Sandbox.filesystem)
    """

    def __init__(self, execute: Callable[..., Any]) -> None:
        # `Sandbox.exec`.
        self._exec = execute

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
        # find takes "-name", "(" and "!" for a part of what it is to look for.
        place = posixpath.join("." if not self._checked(path).startswith("/") else "", path)
        try:
            data = self._run(path, "find", posixpath.join(place, "."), "-mindepth", "1", "-maxdepth", "1", "-print0")
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
        process = self._exec("sh", "-c", 'test -e "$1"', "sh", path)
        return bool(process.wait() == 0)

    def _write(self, path: str, data: bytes, how: str) -> None:
        self._run(path, "sh", "-c", f'cat {how} "$1"', "sh", path, given=data)

    @staticmethod
    def _checked(path: Any) -> str:
        if not isinstance(path, str) or not path or "\0" in path:
            raise InvalidError(f"{path!r} is not the path of a file")
        return path

    def _run(self, path: str, *command: str, given: bytes | None = None) -> bytes:
        self._checked(path)
        process = self._exec(*command, env={"LC_ALL": "C"}, text=False)
        if given:
            process.stdin.write(given)
        process.stdin.write_eof()
        data: bytes = process.stdout.read()
        told = process.stderr.read().decode(errors="replace").strip()
        code = process.wait()
        if code == 0:
            return data
        for sign, number in _ERRORS.items():
            # A missing program says the same of itself.
            if sign in told and code not in (126, 127):
                raise OSError(number, os.strerror(number), path)
        if code in (126, 127):
            raise ExecutionError(f"the sandbox's image has no `{command[0]}`, which its files are reached through")
        raise OSError(errno.EIO, f"{command[0]} in the sandbox ended with code {code}: {told[-500:]}", path)


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
