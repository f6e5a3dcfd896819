"""What a state directory has in it, part by part: how much, and what may be removed with it."""

import fnmatch
import os
import re
import stat
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

# As docs/server.md has them. All that the service makes is in one of these; what is in none is somebody else's.
PARTS: Mapping[str, tuple[str, ...]] = {
    "volumes": ("volumes",),
    "blobs": ("blobs",),
    "sources": ("sources",),
    "database": ("wherry.db", "wherry.db-wal", "wherry.db-shm", "wherry.db-journal"),
    "logs": ("logs", "sandboxes", "server.log*"),
    "builds": ("images",),
    "containers": ("run", "buckets"),
    "settings": (
        "tls", "secret.key*", "tunnels.key*", "http_port*", "server.env", ".server.env.new", "*.sock", "start.lock",
        "server.lock", "life", "ui_sessions.*",
    ),
}  # fmt: skip
# Seconds that looking may take; a volume can have millions of files.
WITHIN_S = 20.0
# Files between two looks at the time.
_LOOK_EVERY = 1000
# How many directories may wait, and how many files with several names are known again.
_MOST = 100_000
_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(slots=True)
class Size:
    """How much there is on the disk."""

    name: str
    num_bytes: int = 0
    num_files: int = 0
    # False: there is more, but time was up, or something could not be looked at.
    complete: bool = True


def entries(state_dir: Path, part: str) -> list[Path]:
    """Return the files and directories of one part of a state directory that are there."""
    try:
        names = sorted(os.listdir(state_dir))
    except OSError:
        return []
    return [state_dir / name for name in names if any(fnmatch.fnmatchcase(name, one) for one in PARTS[part])]


def is_gone(path: str) -> bool:
    """Whether there is nothing at a path. What this user may not see is not known to be gone."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False
    return False


def sizes(
    state_dir: Path, volumes_dir: Path | None = None, within_s: float = WITHIN_S, without: Collection[Path] = ()
) -> list[Size]:
    """Return how much disk each part takes; `volumes_dir`: where volumes are, if not in the state directory.

    Entries of the state directory that are in `without` are left out.
    """
    until = time.monotonic() + within_s
    found = []
    for part in PARTS:
        size = Size(part)
        paths = entries(state_dir, part)
        if part == "volumes" and volumes_dir is not None:
            paths = [volumes_dir]
        for path in paths:
            if path in without:
                continue
            _measure(path, size, until)
        found.append(size)
    return found


def mounts_below(path: Path, mountinfo: Path = Path("/proc/self/mountinfo")) -> list[str]:
    """Return what is mounted below a directory: it is not this directory's to remove."""
    try:
        lines = mountinfo.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
    root = f"{path.resolve()}/"
    # A space is written as \040.
    places = (_OCTAL.sub(lambda found: chr(int(found[1], 8)), line.split(" ")[4]) for line in lines)
    return sorted({place for place in places if place.startswith(root)})


def free_bytes(path: Path) -> tuple[int, int]:
    """Return how much of a path's disk this user may still fill, and how large that is; zeros if it is not known."""
    try:
        told = os.statvfs(path)
    except OSError:
        return 0, 0
    return told.f_bavail * told.f_frsize, told.f_blocks * told.f_frsize


def _measure(root: Path, size: Size, until: float) -> None:
    """Add what is on the disk below a path: no holes, a file with several names once, nothing that is mounted there."""
    try:
        first = os.lstat(root)
    except OSError:
        return
    size.num_bytes += first.st_blocks * 512
    size.num_files += not stat.S_ISDIR(first.st_mode)
    if not stat.S_ISDIR(first.st_mode):
        return
    several: set[tuple[int, int]] = set()
    waiting = [str(root)]
    while waiting:
        if time.monotonic() > until:
            size.complete = False
            return
        try:
            # A directory may have millions of files: no list of them is made, and time may be up among them.
            for number, (path, told) in enumerate(_below(waiting.pop(), first.st_dev), 1):
                _count(path, told, size, several, waiting)
                if number % _LOOK_EVERY == 0 and time.monotonic() > until:
                    size.complete = False
                    return
        except OSError:
            size.complete = False


def _count(path: str, told: os.stat_result, size: Size, several: set[tuple[int, int]], waiting: list[str]) -> None:
    """Add one entry of a directory; beyond what may be remembered, say that there is more."""
    if stat.S_ISDIR(told.st_mode):
        if len(waiting) < _MOST:
            waiting.append(path)
        else:
            size.complete = False
    elif told.st_nlink > 1:
        if (told.st_dev, told.st_ino) in several:
            return
        if len(several) >= _MOST:
            # It may have been counted by another name.
            size.complete = False
            return
        several.add((told.st_dev, told.st_ino))
    size.num_bytes += told.st_blocks * 512
    size.num_files += not stat.S_ISDIR(told.st_mode)


def _below(directory: str, device: int) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(directory) as listed:
        for entry in listed:
            try:
                told = entry.stat(follow_symlinks=False)
            except OSError:
                continue  # gone meanwhile
            if told.st_dev == device:
                yield entry.path, told
