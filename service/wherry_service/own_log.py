"""The service's own log: what a line looks like, and that its file does not grow without end."""

import asyncio
import contextlib
import datetime
import json
import logging
import os
import stat
import sys
import traceback
from pathlib import Path

FILE_NAME = "server.log"
TEXT, JSON = "text", "json"
_LINE = "%(asctime)s %(levelname)s %(name)s: %(message)s"
# Older files that are kept beside the one that is written: server.log.1 is the newest of them.
OLD_FILES = 4
# Seconds between two looks at the file's size.
LOOK_EVERY_S = 5.0

log = logging.getLogger(__name__)


class JsonLines(logging.Formatter):
    """Each record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(timespec="milliseconds")
        described = {"at": at, "level": record.levelname.lower(), "logger": record.name, "text": record.getMessage()}
        if record.exc_info and record.exc_info[0] is not None:
            described["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        return json.dumps(described, ensure_ascii=False)


def begin(level: str, how: str) -> None:
    """Write the log to standard error from now on, in lines of text or of JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if how == JSON else logging.Formatter(_LINE))
    logging.basicConfig(level=level.upper(), handlers=[handler])
    logging.getLogger("alembic").setLevel(logging.WARNING)


class LogFile:
    """The file that standard output and error of this process go to, if it is the state directory's `server.log`.

    Whoever starts the service opened it. When it has more than `max_bytes` (0: no limit) it is renamed, and both go on
    in a new one: so also what is no line of the log is bounded, such as what Python says as it crashes.
    """

    def __init__(self, path: Path, max_bytes: int, outputs: tuple[int, ...] = (1, 2)) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._outputs = outputs

    async def watch(self) -> None:
        """Look at its size from time to time, until cancelled."""
        while self._max_bytes:
            self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    def look(self) -> bool:
        """Begin a new file if this one is too large; return whether that was so."""
        try:
            own = os.stat(self._path, follow_symlinks=False)
            is_own = [number for number in self._outputs if _is_same(os.fstat(number), own)]
            if not self._max_bytes or not is_own or own.st_size <= self._max_bytes or not stat.S_ISREG(own.st_mode):
                return False
            self._turn(is_own, stat.S_IMODE(own.st_mode))
        except FileNotFoundError:
            return False  # whoever started it has the output elsewhere, or removed the file
        except OSError as error:
            log.warning("the log %s could not be continued in a new file: %s", self._path, error.strerror)
            return False
        return True

    def _turn(self, outputs: list[int], mode: int) -> None:
        # The new one first: where none can be opened, the log stays as it is, and the next look tries again.
        beside = self._path.with_name(f"{self._path.name}.new")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
        new = os.open(beside, os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC, mode)
        try:
            for number in range(OLD_FILES, 1, -1):
                with contextlib.suppress(FileNotFoundError):
                    os.replace(self._old(number - 1), self._old(number))
            os.replace(self._path, self._old(1))
            try:
                os.replace(beside, self._path)
            except OSError:
                os.replace(self._old(1), self._path)
                raise
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError, AttributeError):
                    stream.flush()
            for number in outputs:
                os.dup2(new, number)
        finally:
            os.close(new)

    def _old(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


def _is_same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
