"""Removes what containers have made in a volume, however deep: with few open directories, and following no link."""

import itertools
import os
import secrets
import stat

from wherry_service.store.volume_paths import mode_of, open_directory

# Directories that are open at once; what lies deeper is moved up first.
_AT_ONCE = 64
# How often it is looked whether something is left: so deep is nothing, and who makes files meanwhile is not waited for.
_PASSES = 100_000
# Names that are read at once: a directory may hold more than memory does.
BATCH = 10_000


def remove_tree(parent: int, name: str) -> None:
    """Remove a directory in an open one, with all below; raises OSError."""
    top = open_directory(parent, name)
    try:
        empty(top)
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=parent)


def empty(top: int) -> None:
    """Remove all that is in an open directory; raises OSError."""
    for _ in range(_PASSES):
        if not _empty(top, top, 0):
            return


def _empty(top: int, directory: int, depth: int) -> bool:
    """Empty a directory; whether something of it was moved up, to be removed from there."""
    moved, names = False, _some(directory)
    while names:
        moved = _empty_of(top, directory, names, depth) or moved
        names = _some(directory) if len(names) == BATCH else []
    return moved


def _some(directory: int) -> list[str]:
    with os.scandir(directory) as found:
        return [entry.name for entry in itertools.islice(found, BATCH)]


def _empty_of(top: int, directory: int, names: list[str], depth: int) -> bool:
    moved = False
    for name in names:
        if not stat.S_ISDIR(mode_of(directory, name)):
            os.unlink(name, dir_fd=directory)
        elif depth >= _AT_ONCE:
            os.rename(name, f".gone-{secrets.token_hex(8)}", src_dir_fd=directory, dst_dir_fd=top)
            moved = True
        else:
            inner = open_directory(directory, name)
            try:
                moved = _empty(top, inner, depth + 1) or moved
            finally:
                os.close(inner)
            os.rmdir(name, dir_fd=directory)
    return moved
