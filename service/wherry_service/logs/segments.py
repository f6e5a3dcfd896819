"""Segments: the files in which an app's lines lie, oldest first, and their bound. Used by one thread, the writer's.

`DIR/APP/POSITION.log` begins with the line at that position, so that names alone say what is older, over all apps.
What is written goes to the end of an app's latest segment. A segment that is full, or whose app has ended, is packed:
its small blocks become few compressed ones, under the same name.
"""

import heapq
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path

from wherry_service.logs.block import PACK_BYTES, PACKED, Block, blocks, pack

log = logging.getLogger(__name__)

SEGMENT_BYTES = 4 << 20
# A segment takes lines for at most so long: only whole ones are dropped, by their age.
SEGMENT_AGE_MS = 24 * 3600 * 1000
# A position is a time in milliseconds, and below it a number.
TIME_SHIFT = 20
_SUFFIX = ".log"
_NAME = re.compile(r"([0-9a-f]{16})\.log\Z")
_UNFINISHED = ".packing"


@dataclass(slots=True)
class _Segment:
    """A file of lines: its first line's position, and its bytes."""

    path: Path
    first: int
    size: int


def listed(directory: Path) -> list[tuple[int, Path]]:
    """Return an app's segments, the oldest first, each with the position of its first line."""
    try:
        names = os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted((int(match[1], 16), directory / name) for name in names if (match := _NAME.match(name)))


class Segments:
    """All segments below a directory: at most `max_bytes` of them, the oldest dropped first."""

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._segment_bytes = max(1, min(SEGMENT_BYTES, max_bytes // 8))
        # Those that are written to, by app.
        self._open: dict[str, _Segment] = {}
        self._all: dict[int, _Segment] = {}
        self._oldest: list[int] = []
        self.total = 0
        # When the latest line of an earlier life was written, in milliseconds since 1970.
        self.written_ms = 0

    def begin(self) -> int:
        """Take stock of what an earlier life left; return the latest position that a segment begins with."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for app in self._directory.iterdir():
            if not app.is_dir():
                continue
            for unfinished in app.glob(f"*{_UNFINISHED}"):
                unfinished.unlink()
            for first, path in listed(app):
                status = path.stat()
                self._add(_Segment(path, first, status.st_size))
                self.written_ms = max(self.written_ms, status.st_mtime_ns // 1_000_000)
        self._drop()
        return max(self._all, default=0)

    def write(self, app_id: str, first: int, data: bytes) -> None:
        """Put a block behind what an app has; `first` is the position of its first line."""
        segment = self._open.get(app_id)
        if segment is not None and self._is_full(segment, first, len(data)):
            self.close(app_id)
            segment = None
        if segment is None:
            segment = _Segment(self._directory / app_id / f"{first:016x}{_SUFFIX}", first, 0)
            segment.path.parent.mkdir(mode=0o700, exist_ok=True)
            self._add(segment)
            self._open[app_id] = segment
        before = segment.size
        with open(segment.path, "ab") as file:
            try:
                file.write(data)
                file.flush()
            except OSError:
                # What comes later must not lie behind half a block.
                os.ftruncate(file.fileno(), before)
                raise
        segment.size += len(data)
        self.total += len(data)
        self._drop()

    def close(self, app_id: str) -> None:
        """Pack an app's latest segment, and write no more to it."""
        segment = self._open.pop(app_id, None)
        if segment is not None:
            self._pack(segment)

    def close_all(self) -> None:
        """Pack all that is open."""
        for app_id in list(self._open):
            self.close(app_id)

    def pack_left_over(self) -> None:
        """Pack what an earlier life that was killed had open."""
        open_now = {segment.first for segment in self._open.values()}
        for segment in [segment for first, segment in self._all.items() if first not in open_now]:
            with open(segment.path, "rb") as file:
                is_packed = file.read(len(PACKED)) == PACKED
            if not is_packed:
                self._pack(segment)

    def _is_full(self, segment: _Segment, position: int, more: int) -> bool:
        age_ms = (position >> TIME_SHIFT) - (segment.first >> TIME_SHIFT)
        return segment.size + more > self._segment_bytes or age_ms > SEGMENT_AGE_MS

    def _pack(self, segment: _Segment) -> None:
        groups: list[bytes] = []
        group: list[Block] = []
        for block in blocks(segment.path.read_bytes()):
            group.append(block)
            if sum(len(member.whole) for member in group) >= PACK_BYTES:
                groups.append(pack(group))
                group = []
        if group:
            groups.append(pack(group))
        data = b"".join(groups)
        unfinished = segment.path.with_suffix(_UNFINISHED)
        unfinished.write_bytes(data)
        os.replace(unfinished, segment.path)
        self.total += len(data) - segment.size
        segment.size = len(data)

    def _add(self, segment: _Segment) -> None:
        self._all[segment.first] = segment
        self.total += segment.size
        heapq.heappush(self._oldest, segment.first)

    def _drop(self) -> None:
        while self.total > self._max_bytes and self._oldest:
            segment = self._all.pop(heapq.heappop(self._oldest))
            app_id = segment.path.parent.name
            if self._open.get(app_id) is segment:
                del self._open[app_id]
            segment.path.unlink(missing_ok=True)
            self.total -= segment.size
            if not listed(segment.path.parent):
                try:
                    segment.path.parent.rmdir()
                except OSError as error:
                    log.warning("the directory of an app without lines is kept: %s", error)
