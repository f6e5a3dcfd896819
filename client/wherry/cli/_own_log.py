"""The service's own log, whose file is continued in a new one when it is large: `server.log.1` is the one before."""

import contextlib
import os
from collections import deque
from pathlib import Path
from typing import TextIO

# More files than the service keeps are not looked for.
_MOST_FILES = 100


class OwnLog:
    """Reads it, from whichever of its files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: TextIO | None = None

    def __enter__(self) -> "OwnLog":
        return self

    def __exit__(self, *exc: object) -> None:
        if self._file is not None:
            self._file.close()

    def tail(self, count: int) -> list[str]:
        """Return the last lines; `next_line` goes on behind them. Raises OSError where there is no log."""
        self._file = self._open()
        found = list(deque(self._file, count)) if count else self._skip()
        for number in range(1, _MOST_FILES):
            if len(found) >= count:
                break
            try:
                with self.path.with_name(f"{self.path.name}.{number}").open(errors="replace") as older:
                    found = [*deque(older, count - len(found)), *found]
            except OSError:
                break
        return found

    def next_line(self) -> str:
        """Return what was written since, a line or a piece of one; "" for nothing yet."""
        assert self._file is not None
        if line := self._file.readline():
            return line
        if self._was_continued():
            # What came at last before it was renamed.
            if line := self._file.readline():
                return line
            with contextlib.suppress(OSError):
                new = self._open()
                self._file.close()
                self._file = new
                return self._file.readline()
        return ""

    def _open(self) -> TextIO:
        return self.path.open(errors="replace")

    def _skip(self) -> list[str]:
        assert self._file is not None
        self._file.seek(0, os.SEEK_END)
        return []

    def _was_continued(self) -> bool:
        assert self._file is not None
        try:
            now, own = os.stat(self.path), os.fstat(self._file.fileno())
        except OSError:
            return False
        return (now.st_dev, now.st_ino) != (own.st_dev, own.st_ino)
