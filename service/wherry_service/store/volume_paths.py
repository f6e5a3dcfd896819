"""Paths within a volume, walked so that no link leads out of it, whatever its containers do meanwhile."""

import os
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from wherry_service.errors import InvalidRequest, NotFound

MAX_LINKS = 40
# Of what is listed, or copied, with all below.
MAX_DEPTH = 256
# Of the names of directories that are copied, all those together in each other: containers can make more than memory
# holds. A list has them sorted only up to so much.
MAX_NAMES_BYTES = 64 << 20
MAX_SORTED_BYTES = 4 << 20
# What a name takes besides.
_NAME_BYTES = 64
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
DIRECTORY_MODE = 0o777


def clean(path: str) -> str:
    """Return the path without what means nothing, "" for the root; raise `InvalidRequest` if it leaves the volume."""
    parts = PurePosixPath("/" + path).parts[1:]
    if ".." in parts or "\0" in path or len(path) > 4096:
        raise InvalidRequest(f"path {path[:200]!r} leaves the volume: name it from the volume's root, without '..'")
    return "/".join(part for part in parts if part != "/")


def check_depth(path: str, depth: int) -> None:
    """Raise `InvalidRequest` where directories lie so deep in each other that nobody meant it."""
    if depth > MAX_DEPTH:
        first = path.strip("/").split("/", 1)[0][:200]
        raise InvalidRequest(
            f"directories lie more than {MAX_DEPTH} deep below {first!r}: list or copy a part of it, or remove it"
        )


@contextmanager
def located(root: Path, path: str, *, create: bool = False, follow: bool = True) -> Iterator[tuple[int, str]]:
    """Give the open directory that a path is in, and its name there, "." for the root itself.

    Links within the volume are followed, the last one where `follow` says so; `create` makes directories on the way.
    Raises `InvalidRequest` for a link that leaves the volume, `NotFound` for a directory that is not there.
    """
    stack = [os.open(root, _DIRECTORY)]
    todo = deque(part for part in clean(path).split("/") if part)
    links = 0
    name = "."
    try:
        while todo:
            part = todo.popleft()
            if part in ("", "."):
                continue
            if part == "..":
                if len(stack) == 1:
                    raise _leaves(path)
                os.close(stack.pop())
                name = "."
                continue
            is_last = not todo
            target = _link(stack[-1], part) if follow or not is_last else None
            if target is not None:
                links += 1
                if target.startswith("/") or links > MAX_LINKS:
                    raise _leaves(path)
                todo.extendleft(reversed(target.split("/")))
                continue
            if is_last:
                name = part
                break
            stack.append(_enter(stack[-1], part, path, create))
        yield stack[-1], name
    finally:
        for descriptor in stack:
            os.close(descriptor)


def some_names(found: "Iterator[os.DirEntry[str]]", room: int) -> tuple[list[str], int]:
    """Take names of a directory until they are more than `room` bytes, and return them with how many that are.

    All of them are sorted; where they are not all, `found` has the others.
    """
    names: list[str] = []
    size = 0
    for entry in found:
        names.append(entry.name)
        size += len(entry.name) + _NAME_BYTES
        if size > room:
            return names, size
    return sorted(names), size


def names_in(directory: int, path: str, held: int) -> tuple[list[str], int]:
    """Return what an open directory holds, sorted, and how many bytes are held with `held` that are already.

    Raises `InvalidRequest` where that is more than is kept in memory.
    """
    with os.scandir(directory) as found:
        names, size = some_names(found, MAX_NAMES_BYTES - held)
    if held + size > MAX_NAMES_BYTES:
        raise InvalidRequest(
            f"{path[:200] or '/'!r} has so many entries that they can't be copied at once: copy its parts by themselves"
        )
    return names, held + size


def open_directory(parent: int, name: str) -> int:
    """Open a directory in another, which is no link."""
    return os.open(name, _DIRECTORY, dir_fd=parent)


def made_directory(parent: int, name: str) -> int:
    """Make a directory that any container's user may write, unless it is there; open it."""
    try:
        os.mkdir(name, dir_fd=parent)
    except FileExistsError:
        return open_directory(parent, name)
    directory = open_directory(parent, name)
    # By descriptor: under its name a container may have put a link meanwhile.
    os.fchmod(directory, DIRECTORY_MODE)
    return directory


def mode_of(parent: int, name: str) -> int:
    """Return the mode of an entry, links not followed; 0 if it is not there."""
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return 0


def _link(parent: int, name: str) -> str | None:
    if not stat.S_ISLNK(mode_of(parent, name)):
        return None
    return os.readlink(name, dir_fd=parent)


def _enter(parent: int, name: str, path: str, create: bool) -> int:
    try:
        return open_directory(parent, name)
    except FileNotFoundError:
        if not create:
            raise NotFound(f"{path!r} is not in the volume: there is no directory {name!r}") from None
    except NotADirectoryError:
        raise InvalidRequest(f"{path!r} can't be in the volume: {name!r} is no directory") from None
    return made_directory(parent, name)


def _leaves(path: str) -> InvalidRequest:
    return InvalidRequest(f"{path!r} goes through a symbolic link that leaves the volume, or never ends: not followed")
