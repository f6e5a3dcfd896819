"""Where programs written for Modal expect to be: in /root, which has their source and is importable."""

import os
import stat
import sys

# The place in every container.
ROOT = "/root"
# A source that has more is linked there, not copied: copying it would cost every start more than some milliseconds.
MAX_FILES = 100
MAX_BYTES = 4 << 20
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW


def settle(source: str, root: str = ROOT) -> str:
    """Go to `root`, put the source there, and return the directory that modules are imported from: that, or `source`.

    Nothing is put where it is not this container's alone, and nothing is done where this user may not enter.
    """
    if not os.access(root, os.R_OK | os.X_OK):
        return source
    if os.getcwd() == "/":
        # No WORKDIR of the image's own.
        os.chdir(root)
    has_all = not os.path.ismount(root) and os.access(root, os.W_OK) and _bring(source, root)
    places = [root, source] if has_all else [source, root]
    index = sys.path.index(source) if source in sys.path else 0
    sys.path[index : index + 1] = places
    return places[0]


def _bring(source: str, root: str) -> bool:
    """Copy the source's files, or link to what is at its top; return whether `root` has all of it now."""
    try:
        found = _files(source)
        if found is None:
            return all(_link(os.path.join(source, name), os.path.join(root, name)) for name in os.listdir(source))
        folders, files = found
        device = os.lstat(root).st_dev
        if not all(_make(os.path.join(root, name), device) for name in folders):
            return False
        for name in files:
            _copy(os.path.join(source, name), os.path.join(root, name))
    except OSError:
        return False
    return True


def _files(source: str) -> "tuple[list[str], list[str]] | None":
    """Return directories, the upper first, and files below a directory; None where they are too many, or links."""
    folders: list[str] = []
    found: list[str] = []
    size, waiting = 0, [""]
    while waiting:
        folder = waiting.pop()
        with os.scandir(os.path.join(source, folder)) as entries:
            for entry in entries:
                name = os.path.join(folder, entry.name)
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(name)
                    folders.append(name)
                    continue
                size += entry.stat(follow_symlinks=False).st_size
                found.append(name)
                if entry.is_symlink() or len(found) + len(folders) > MAX_FILES or size > MAX_BYTES:
                    return None
    return folders, found


def _make(folder: str, device: int) -> bool:
    """Make a directory; return whether it is one, and no link or volume, which is others' as well."""
    try:
        os.mkdir(folder)
    except FileExistsError:
        status = os.lstat(folder)
        return stat.S_ISDIR(status.st_mode) and status.st_dev == device
    return True


def _copy(source: str, target: str) -> None:
    """Copy a file; where the very same is there already (it was added to the image, say), leave it. Raise OSError."""
    with open(source, "rb") as file:
        content = file.read()
        mode = os.fstat(file.fileno()).st_mode & 0o777
    try:
        descriptor = os.open(target, _FLAGS, mode | 0o200)
    except OSError:
        with open(target, "rb") as there:
            if there.read(len(content) + 1) == content:
                return
        raise
    with open(descriptor, "wb") as copy:
        copy.write(content)


def _link(source: str, target: str) -> bool:
    if os.path.lexists(target):
        return os.path.islink(target) and os.readlink(target) == source
    os.symlink(source, target)
    return True
