"""Changes of a sandbox's files, seen by looking at them over and over."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from wherry._base import checks
from wherry._base.waiting import in_thread
from wherry.types import FileWatchEvent, FileWatchEventType

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from wherry.types import FileInfo

# What files there are, over and over: what they are and when each was changed, then its path.
_WATCH = """
while :; do
  find -L "$1" $2 -exec stat -c '%F/%i %s %y %z/%n' {} + 2>/dev/null
  printf '\\0'
  sleep 0.2
done
"""


class FileWatch:
    """What happens to files of a sandbox, as it is seen; iterated with `for` or `async for`."""

    def __init__(
        self,
        look: Callable[[], FileInfo],
        execute: Callable[..., Any],
        path: str,
        filter: Sequence[FileWatchEventType] | None,
        recursive: bool,
        timeout: float | None,
    ) -> None:
        self._look = look
        self._exec = execute
        self._path = path
        self._wanted = frozenset(FileWatchEventType if filter is None else filter)
        self._recursive = recursive
        self._timeout = checks.number("timeout", timeout, 0.1, checks.DAY_S, "s", 0) or None
        self._process: Any = None
        self._events: Iterator[FileWatchEvent] | None = None

    def close(self) -> None:
        """Watch no longer."""
        if self._process is not None:
            self._process.kill()

    async def aclose(self) -> None:
        """As `close`."""
        await in_thread(self.close)

    def __iter__(self) -> Iterator[FileWatchEvent]:
        if self._events is None:
            self._events = self._watch()
        return self._events

    def __next__(self) -> FileWatchEvent:
        return next(iter(self))

    async def __aiter__(self) -> AsyncIterator[FileWatchEvent]:
        try:
            while (event := await in_thread(lambda: next(iter(self), None))) is not None:
                yield event
        finally:
            await self.aclose()

    def _watch(self) -> Iterator[FileWatchEvent]:
        info = self._look()
        place, depth = self._path, "-maxdepth 0"
        if not info.is_file():
            place = self._path.rstrip("/") + "/"
            depth = "-mindepth 1" if self._recursive else "-mindepth 1 -maxdepth 1"
        if not place.startswith("/"):
            place = f"./{place}"
        command = ("sh", "-c", _WATCH.replace("$2", depth), "sh", place)
        self._process = self._exec(*command, env={"LC_ALL": "C"}, text=False, bufsize=0, timeout=self._timeout)
        try:
            before: dict[str, tuple[str, str]] | None = None
            rest = b""
            for piece in self._process.stdout:
                *rounds, rest = (rest + piece).split(b"\0")
                for told in rounds:
                    now = _seen(told)
                    if before is not None:
                        yield from (event for event in _changes(before, now) if event.type in self._wanted)
                    before = now
        finally:
            self.close()


def _seen(told: bytes) -> dict[str, tuple[str, str]]:
    """Return what is known of each path: its kind, and what tells whether it changed."""
    found: dict[str, tuple[str, str]] = {}
    for line in os.fsdecode(told).splitlines():
        kind, mark, path = line.split("/", 2)
        found[path.removeprefix("./")] = kind, mark
    return found


def _changes(before: dict[str, tuple[str, str]], now: dict[str, tuple[str, str]]) -> Iterator[FileWatchEvent]:
    for path in sorted(before.keys() | now.keys()):
        if path not in before:
            yield FileWatchEvent([path], FileWatchEventType.Create)
        elif path not in now:
            yield FileWatchEvent([path], FileWatchEventType.Remove)
        elif before[path] != now[path] and now[path][0] != "directory":
            yield FileWatchEvent([path], FileWatchEventType.Modify)
