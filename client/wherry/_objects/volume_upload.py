"""Uploads to volumes: checked before anything is sent, resumed where an earlier one broke off."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from wherry._base.blocking import blocking
from wherry._base.walk import walk
from wherry._base.words import counted
from wherry._connection.blobs import SHOWN_FROM
from wherry.exception import InvalidError, VolumeFileExistsError
from wherry_proto.messages import (
    VolumeCheckRequest,
    VolumeCheckResponse,
    VolumeChunk,
    VolumeUpload,
)

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Protocol, Self

    from wherry._connection.client import Client
    from wherry._connection.transport.transport import Transport

    class Target(Protocol):
        """The volume that files are put into."""

        def reached(self) -> tuple[Client, str]:
            """Return the client that asks for it, and its id."""


CHUNK = 1 << 20
# What one chunk may say of a hole.
_MOST_ZEROS = 1 << 40
# Files asked about in one message.
_ASKED = 1000

Report = Callable[[int], None]
"""Hears how many bytes more have been sent."""


class UploadItem:
    """A file to be: where its content is here, and its path in the volume."""

    __slots__ = ("data", "executable", "key", "local", "remote", "size")

    def __init__(self, remote: str, local: Path | None, data: bytes = b"", mode: int | None = None) -> None:
        self.remote = remote
        self.local = local
        self.data = data
        if local is None:
            self.size, self.executable = len(data), False
            what = hashlib.sha256(data).hexdigest()
        else:
            try:
                status = local.stat()
            except OSError as error:
                raise InvalidError(f"{local} can't be uploaded: {error.strerror}") from None
            self.size, self.executable = status.st_size, os.access(local, os.X_OK)
            what = f"{local.absolute()}\0{status.st_size}\0{status.st_mtime_ns}\0{status.st_ino}"
        if mode is not None:
            self.executable = bool(mode & 0o111)
            what += f"\0{self.executable}"
        # The same file, unchanged, for the same path: what came of it earlier can be gone on with.
        self.key = hashlib.sha256(f"{remote}\0{what}".encode(errors="surrogateescape")).hexdigest()

    def chunks(self, offset: int) -> Iterator[tuple[int, bytes, int, bool]]:
        """Yield (where, data, how many zeros follow, whether it is the last) from an offset on, at least one."""
        if self.local is None:
            yield offset, self.data[offset:], 0, True
            return
        try:
            with self.local.open("rb", buffering=0) as file:
                data, zeros = b"", 0
                for following, more in _pieces(file.fileno(), offset):
                    if data or zeros:
                        yield offset, data, zeros, False
                        offset += len(data) + zeros
                    data, zeros = following, more
                yield offset, data, zeros, True
        except OSError as error:
            raise InvalidError(f"{self.local} can't be read: {error.strerror}") from None


def _pieces(file: int, offset: int) -> Iterator[tuple[bytes, int]]:
    """Yield what a file holds from an offset on: (data, 0), and (nothing, the size of a hole)."""
    while True:
        hole = min(_hole(file, offset), _MOST_ZEROS)
        # A smaller one costs more asked about than sent.
        if hole >= CHUNK:
            yield b"", hole
            offset += hole
        elif data := os.pread(file, CHUNK, offset):
            yield data, 0
            offset += len(data)
        else:
            return


def _hole(file: int, offset: int) -> int:
    try:
        return os.lseek(file, offset, os.SEEK_DATA) - offset
    except OSError as error:
        # There is no data any more; or the file system does not know.
        return max(0, os.fstat(file).st_size - offset) if error.errno == errno.ENXIO else 0


class UploadBatch:
    """Collects files, and uploads them when its block ends without an error. (reference: Volume.batch_upload)"""

    def __init__(self, volume: Target, force: bool, how_to_force: str = "batch_upload(force=True)") -> None:
        self._volume = volume
        self._force = force
        # What a message says replaces files.
        self._how_to_force = how_to_force
        self._items: dict[str, UploadItem] = {}

    def put_file(
        self,
        local_file: str | os.PathLike[str] | IO[bytes],
        remote_path: str | os.PathLike[str],
        mode: int | None = None,
    ) -> None:
        """Add a file of this machine, or what an open one holds. A `remote_path` that ends with "/" is a directory.

        Of `mode`, permission bits such as 0o755, it counts whether the file can be executed; None: as it is here.
        """
        remote = _remote(remote_path)
        if hasattr(local_file, "read"):
            data = local_file.read()
            if not isinstance(data, bytes):
                raise InvalidError(f'{local_file!r} gives text: open it in binary mode, "rb"')
            self._add(UploadItem(remote, None, data, mode))
            return
        local = Path(local_file)
        if not local.is_file():
            told = "is a directory: use put_directory" if local.is_dir() else "does not exist"
            raise InvalidError(f"put_file: {local} {told}")
        if os.fspath(remote_path).endswith("/") or not remote:
            remote = f"{remote}/{local.name}".lstrip("/")
        self._add(UploadItem(remote, local, mode=mode))

    def put_directory(
        self, local_path: str | os.PathLike[str], remote_path: str | os.PathLike[str], recursive: bool = True
    ) -> None:
        """Add a directory's files, with `recursive` those below too, under a directory of the volume."""
        root = Path(local_path)
        if not root.is_dir():
            told = "is a file: use put_file" if root.exists() else "does not exist"
            raise InvalidError(f"put_directory: {root} {told}")
        remote = _remote(remote_path)
        for path in walk(root):
            if recursive or "/" not in path:
                self._add(UploadItem(f"{remote}/{path}".lstrip("/"), root / path))

    @property
    def size(self) -> int:
        """Bytes that there are to send."""
        return sum(item.size for item in self._items.values())

    def __len__(self) -> int:
        return len(self._items)

    @blocking
    def __enter__(self) -> UploadBatch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.upload()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            import asyncio  # noqa: PLC0415 - start-up cost: the caller has it already

            await asyncio.to_thread(self.upload)

    def upload(self, report: Report | None = None) -> None:
        """Send what was put; raise VolumeFileExistsError before anything is sent. `report` hears of each piece."""
        items = list(self._items.values())
        if not items:
            return
        client, volume_id = self._volume.reached()
        transfer = None
        if report is None and self.size >= SHOWN_FROM:
            transfer = client.listener.screen.transfer(f"Uploading {counted(len(items), 'file')}", self.size)
            report = transfer.advance
        sending = _Sending(volume_id, items, self._force, report, self._how_to_force)
        try:
            client.persist(lambda: sending.run(client))
        finally:
            if transfer is not None:
                transfer.end()

    def _add(self, item: UploadItem) -> None:
        self._items[item.remote] = item


class _Sending:
    """One upload; run again when the service went and came back."""

    def __init__(
        self, volume_id: str, items: Sequence[UploadItem], force: bool, report: Report | None, how_to_force: str
    ) -> None:
        self._volume_id = volume_id
        self._items = items
        self._force = force
        self._how_to_force = how_to_force
        self._report = report or (lambda size: None)
        # Sent whole in an earlier try: there since, perhaps.
        self._sent: set[str] = set()
        self._reported: dict[str, int] = {}

    def run(self, client: Client) -> None:
        transport = client.transport
        exist, offsets = self._check(transport)
        there = [item.remote for item in self._items if item.remote in exist and item.remote not in self._sent]
        if there and not self._force:
            more = f" and {len(there) - 1} others are" if len(there) > 1 else " is"
            raise VolumeFileExistsError(f"{there[0]!r}{more} in the volume already: {self._how_to_force} replaces")
        chunks = self._chunks(exist, offsets)
        # None: an earlier try had done it all, and only its answer was lost.
        if (first := next(chunks, None)) is not None:
            transport.upload("Volumes.Write", itertools.chain([first], chunks))

    def _check(self, transport: Transport) -> tuple[set[str], dict[str, int]]:
        exist: set[str] = set()
        offsets: dict[str, int] = {}
        for start in range(0, len(self._items), _ASKED):
            group = self._items[start : start + _ASKED]
            request = VolumeCheckRequest(
                volume_id=self._volume_id, uploads=[VolumeUpload(path=item.remote, key=item.key) for item in group]
            )
            answer = cast("VolumeCheckResponse", transport.call("Volumes.Check", request))
            for item, is_there, offset in zip(group, answer.exist, answer.offsets, strict=True):
                if is_there:
                    exist.add(item.remote)
                offsets[item.remote] = offset
        return exist, offsets

    def _chunks(self, exist: set[str], offsets: dict[str, int]) -> Iterator[VolumeChunk]:
        for item in self._items:
            # Where files are replaced, one that is there may be the one from before.
            if item.remote in self._sent and item.remote in exist and not self._force:
                continue
            self._advance(item, offsets[item.remote])
            for offset, data, zeros, is_last in item.chunks(offsets[item.remote]):
                if is_last:
                    self._sent.add(item.remote)
                yield VolumeChunk(
                    volume_id=self._volume_id,
                    path=item.remote,
                    key=item.key,
                    offset=offset,
                    data=data,
                    is_last=is_last,
                    executable=item.executable,
                    force=self._force,
                    zeros=zeros,
                )
                self._advance(item, offset + len(data) + zeros)

    def _advance(self, item: UploadItem, size: int) -> None:
        before = self._reported.get(item.remote, 0)
        if size > before:
            self._reported[item.remote] = size
            self._report(size - before)


def _remote(path: str | os.PathLike[str]) -> str:
    text = os.fspath(path)
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in text:
        raise InvalidError(f"{text!r} leaves the volume: name it from the volume's root, without '..'")
    return "/".join(parts)
