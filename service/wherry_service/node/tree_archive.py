"""Files of source trees as a tar archive, for copying them into containers that are about to start."""

import os
import stat
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

# Bytes that are read at a time.
_PIECE = 1 << 20
_BLOCK = tarfile.BLOCKSIZE

Tree = tuple[str, Path, bool]
"""Where it goes, the directory or file that it is, and whether it is a file."""


def archive_of(trees: Sequence[Tree]) -> Iterator[bytes]:
    """Yield an archive for the root of a container's file system, piece by piece.

    Directories are only in it where they are empty: those that the container has keep their mode and owner.
    """
    for place, source, is_file in trees:
        below = place.strip("/")
        if is_file:
            yield from _entry(below, source)
        else:
            yield from _below(below, source)
    yield b"\0" * (2 * _BLOCK)


def _below(place: str, folder: Path) -> Iterator[bytes]:
    names = sorted(os.listdir(folder))
    if not names and place:
        yield from _entry(place, folder)
    for name in names:
        inner = folder / name
        path = f"{place}/{name}" if place else name
        if inner.is_dir() and not inner.is_symlink():
            yield from _below(path, inner)
        else:
            yield from _entry(path, inner)


def _entry(path: str, source: Path) -> Iterator[bytes]:
    found = source.lstat()
    info = tarfile.TarInfo(path)
    info.mtime = int(found.st_mtime)
    if stat.S_ISREG(found.st_mode):
        info.mode = 0o755 if found.st_mode & 0o100 else 0o644
        info.size = found.st_size
    elif stat.S_ISLNK(found.st_mode):
        info.type, info.linkname = tarfile.SYMTYPE, os.readlink(source)
    else:
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    yield info.tobuf(tarfile.PAX_FORMAT)
    if info.size:
        yield from _content(source, info.size)


def _content(source: Path, size: int) -> Iterator[bytes]:
    left = size
    with source.open("rb") as file:
        while left:
            data = file.read(min(left, _PIECE))
            if not data:
                raise OSError(f"{source} was cut short while it was read")
            left -= len(data)
            yield data
    yield b"\0" * (-size % _BLOCK)
