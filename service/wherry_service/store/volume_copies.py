"""Copies within a volume."""

import errno
import os
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path

from wherry_service.errors import InvalidRequest, NotFound
from wherry_service.store.volume_paths import (
    check_depth,
    clean,
    located,
    made_directory,
    mode_of,
    names_in,
    open_directory,
)

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_PART = ".wherry-part"


def copy(root: Path, sources: Sequence[str], destination: str, recursive: bool) -> int:
    """Copy files, and with `recursive` directories, as `cp` does; return how many files."""
    with located(root, destination) as (parent, name):
        into = stat.S_ISDIR(mode_of(parent, name))
    if len(sources) > 1 and not into:
        raise InvalidRequest(f"{destination!r} is no directory of the volume: several files can only go into one")
    count = 0
    for source in sources:
        own = clean(source)
        target = f"{clean(destination)}/{own.rpartition('/')[2]}" if into else clean(destination)
        target = target.strip("/")
        if not own or target == own or target.startswith(f"{own}/"):
            raise InvalidRequest(f"{source or '/'!r} can't be copied to itself or below itself")
        if not target:
            raise InvalidRequest("the volume's root can't be replaced")
        with located(root, source) as (from_dir, from_name), located(root, target) as (to_dir, to_name):
            count += _copy(from_dir, from_name, to_dir, to_name, source, recursive, 1)
    return count


def _copy(
    from_dir: int, from_name: str, to_dir: int, to_name: str, shown: str, recursive: bool, depth: int, held: int = 0
) -> int:
    mode = mode_of(from_dir, from_name)
    if not mode:
        raise NotFound(f"{shown!r} is not in the volume")
    if stat.S_ISLNK(mode):
        # Copied as it is: whether it leads anywhere shows when it is followed.
        if mode_of(to_dir, to_name):
            os.unlink(to_name, dir_fd=to_dir)
        os.symlink(os.readlink(from_name, dir_fd=from_dir), to_name, dir_fd=to_dir)
        return 1
    if stat.S_ISREG(mode):
        _copy_file(from_dir, from_name, to_dir, to_name)
        return 1
    if not stat.S_ISDIR(mode):
        raise InvalidRequest(f"{shown!r} is no file or directory")
    if not recursive:
        raise InvalidRequest(f"{shown!r} is a directory: copy it recursively")
    check_depth(shown, depth)
    count = 0
    inner_from = open_directory(from_dir, from_name)
    try:
        inner_to = made_directory(to_dir, to_name)
        try:
            names, held = names_in(inner_from, shown, held)
            for name in names:
                count += _copy(inner_from, name, inner_to, name, f"{shown}/{name}", True, depth + 1, held)
        finally:
            os.close(inner_to)
    finally:
        os.close(inner_from)
    return count


def _copy_data(source: int, target: int) -> None:
    """Copy what a file holds; holes stay holes."""
    size, done = os.fstat(source).st_size, 0
    while done < size:
        try:
            done = os.lseek(source, done, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            done = size
            break
        end = os.lseek(source, done, os.SEEK_HOLE)
        os.lseek(target, done, os.SEEK_SET)
        while done < end and (sent := os.sendfile(target, source, done, end - done)):
            done += sent
        if done < end:  # it has become shorter meanwhile
            break
    os.ftruncate(target, done)


def _copy_file(from_dir: int, from_name: str, to_dir: int, to_name: str) -> None:
    """Copy a file; it appears whole."""
    # A container may have put anything under a name that it can guess, such as a pipe that nobody reads.
    part = f".{to_name[:180]}{secrets.token_hex(8)}{_PART}"
    with os.fdopen(os.open(from_name, _READ, dir_fd=from_dir), "rb", buffering=0) as source:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(part, flags, 0o666, dir_fd=to_dir), "wb", buffering=0) as target:
            try:
                _copy_data(source.fileno(), target.fileno())
                os.fchmod(target.fileno(), stat.S_IMODE(os.fstat(source.fileno()).st_mode))
                os.rename(part, to_name, src_dir_fd=to_dir, dst_dir_fd=to_dir)
            except BaseException:
                os.unlink(part, dir_fd=to_dir)
                raise
