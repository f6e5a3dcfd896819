"""Downloads from volumes: files appear here whole, many in one stream."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wherry.exception import ConnectionError, InvalidError, VolumeFileExistsError, VolumeFileNotFoundError
from wherry_proto.messages import VolumeEntry, VolumeEntryKind, VolumeReadRequest

if TYPE_CHECKING:
    from wherry._objects.volume_files import VolumeFiles
    from wherry._objects.volume_upload import Report

# Zeros of that many bytes are left out of a file.
_HOLE = 64 << 10
_ASKED = 1000


class Download:
    """What is at a path of a volume, and where it goes here."""

    def __init__(self, volume: VolumeFiles, remote: str, local: str, force: bool) -> None:
        self._volume = volume
        entries = list(volume.messages(remote, True))
        own = remote.strip("/")
        is_file = len(entries) == 1 and entries[0].path == own and entries[0].kind != VolumeEntryKind.DIRECTORY
        target = Path(local)
        name = own.rpartition("/")[2]
        if name and (target.is_dir() or local.endswith("/")):
            target = target / name
        self.target = target
        self.files: list[tuple[VolumeEntry, Path]] = []
        self.skipped: list[str] = []
        self._folders: list[Path] = []
        for entry in entries:
            place = target if is_file else target / entry.path.removeprefix(own).lstrip("/")
            if entry.kind == VolumeEntryKind.FILE:
                self.files.append((entry, place))
            elif entry.kind == VolumeEntryKind.DIRECTORY:
                self._folders.append(place)
            else:
                self.skipped.append(entry.path)
        if not is_file:
            self._folders.insert(0, target)
        there = [place for _, place in self.files if place.exists()]
        if there and not force:
            more = f" and {len(there) - 1} others are" if len(there) > 1 else " is"
            raise VolumeFileExistsError(f"{there[0]}{more} here already: use --force to replace")
        self.size = sum(entry.size for entry, _ in self.files)

    def run(self, report: Report) -> None:
        """Fetch it; raise InvalidError where this machine does not take it."""
        try:
            for folder in self._folders:
                folder.mkdir(parents=True, exist_ok=True)
            for start in range(0, len(self.files), _ASKED):
                self._fetch(self.files[start : start + _ASKED], report)
        except VolumeFileNotFoundError:
            raise
        except OSError as error:
            raise InvalidError(f"{error.filename or self.target} can't be written: {error.strerror}") from None

    def _fetch(self, files: Sequence[tuple[VolumeEntry, Path]], report: Report) -> None:
        left = list(files)
        while left:
            try:
                self._fetch_some(left, report)
            except ConnectionError:
                # Each file is there whole or not at all: those that are left are asked for again.
                if not self._volume.reached()[0].await_service():
                    raise

    def _fetch_some(self, files: list[tuple[VolumeEntry, Path]], report: Report) -> None:
        """Fetch files in their order, and take out of the list those that are there."""
        client, volume_id = self._volume.reached()
        request = VolumeReadRequest(volume_id=volume_id, paths=[entry.path for entry, _ in files])
        rows = client.stream("Volumes.Read", request)
        for entry, place in list(files):
            place.parent.mkdir(parents=True, exist_ok=True)
            part = place.with_name(f".{place.name[:200]}.part")
            size = 0
            try:
                with part.open("wb") as file:
                    for data in _content(rows):
                        # What is all zeros may have been a hole, and becomes one.
                        if data[:1] == b"\0" and len(data) >= _HOLE and data == bytes(len(data)):
                            file.seek(len(data), os.SEEK_CUR)
                        else:
                            file.write(data)
                        size += len(data)
                        report(len(data))
                    file.truncate(size)
                if entry.executable:
                    part.chmod(part.stat().st_mode | 0o111)
                os.replace(part, place)
                del files[0]
            except BaseException:
                part.unlink(missing_ok=True)
                report(-size)
                raise


def _content(rows: Iterator[object]) -> Iterator[bytes]:
    for row in rows:
        yield row.data  # type: ignore[attr-defined]
        if row.is_last:  # type: ignore[attr-defined]
            return
