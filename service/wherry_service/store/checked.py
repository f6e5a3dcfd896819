"""Which files are what their hashes say: each is read once, and again when it has changed."""

import hashlib
import os
import stat
from pathlib import Path

# Known files, beyond which all are forgotten: they are read again then.
MAX_KNOWN = 200_000
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class Checked:
    """Remembers, for this life of the service, how files looked that had the content that they should have.

    A file's times can be set by whoever writes it, but not the time of that: so any change shows.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], int] = {}

    def holds(self, digest: str, path: Path) -> bool:
        """Return whether a plain file has that SHA-256, in hexadecimal. Raises FileNotFoundError."""
        looks = os.lstat(path)
        if self._known.get((digest, looks.st_ino)) == _looks(looks):
            return True
        if not stat.S_ISREG(looks.st_mode):
            return False
        with os.fdopen(os.open(path, _READ), "rb", buffering=0) as file:
            before = os.fstat(file.fileno())
            found = hashlib.file_digest(file, "sha256").hexdigest()
            if _looks(before) != _looks(os.fstat(file.fileno())):
                return False  # somebody writes it at this moment
        if found != digest:
            return False
        self._keep(digest, before)
        return True

    def note(self, digest: str, path: Path) -> None:
        """Remember how a file looks that has that content for sure: it was just written, or linked."""
        self._keep(digest, os.lstat(path))

    def _keep(self, digest: str, looks: os.stat_result) -> None:
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[digest, looks.st_ino] = _looks(looks)


def _looks(status: os.stat_result) -> int:
    return hash((status.st_dev, status.st_size, status.st_mtime_ns, status.st_ctime_ns))
