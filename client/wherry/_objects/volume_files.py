"""What `Volume` and `NetworkFileSystem` have in common: a directory that containers share, and its files."""

from __future__ import annotations

import enum
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from wherry._base.blocking import blocking, blocking_classmethod, iterating
from wherry._base.waiting import in_thread
from wherry._objects.shared import SharedObject
from wherry.context import is_local
from wherry.exception import InvalidError, NotFoundError, OpenFilesError, VolumeFileNotFoundError

if TYPE_CHECKING:
    from typing import Self

    from wherry._connection.client import Client
    from wherry._objects.volume_upload import UploadBatch
    from wherry_proto.messages import ObjectInfo, VolumeEntry, VolumeMount


T = TypeVar("T")


class FileEntryType(enum.IntEnum):
    """What an entry of a volume is."""

    UNSPECIFIED = 0
    FILE = 1
    DIRECTORY = 2
    SYMLINK = 3
    OTHER = 4  # FIFO is another name of it: what is neither of the others is not told apart
    FIFO = 4
    SOCKET = 5


class FileEntry(NamedTuple):
    """An entry of a volume: path from its root, kind, time of change in seconds since 1970, size in bytes."""

    path: str
    type: FileEntryType
    mtime: int
    size: int


class VolumeFiles(SharedObject):
    """A directory that containers share. Paths are relative to its root; a leading "/" means that root."""

    _read_only = False
    _sub_path = ""

    @blocking_classmethod
    def rename(
        cls: Any, old_name: str, new_name: str, *, environment_name: str | None = None, client: Client | None = None
    ) -> None:
        """Give the one of that name another; raise NotFoundError, or AlreadyExistsError where the new name is taken.

        (reference: Volume.rename)
        """
        from wherry_proto.messages import ObjectInfo, VolumeRenameRequest  # noqa: PLC0415 - start-up cost: functions that only mount it do without

        found: VolumeFiles = cls.from_name(old_name, environment_name=environment_name, client=client)
        found._call("Rename", VolumeRenameRequest(volume_id=found._resolve(), name=new_name), ObjectInfo)

    def read_only(self) -> Self:
        """Return a handle that functions mount so that they can't write. (reference: Volume.read_only)"""
        return self.with_mount_options(read_only=True)

    def with_mount_options(self, *, read_only: bool | None = None, sub_path: str | None = None) -> Self:
        """Return a handle that functions mount otherwise: without writing, or only the directory `sub_path` of it.

        That directory is created if it does not exist. (reference: Volume.with_mount_options)
        """
        made: Self = self._twin()
        if read_only is not None:
            made._read_only = bool(read_only)
        if sub_path is not None:
            parts = PurePosixPath("/" + str(sub_path)).parts[1:]
            if ".." in parts or "\0" in str(sub_path):
                raise InvalidError(f"sub_path is {sub_path!r}: it must be a directory of the volume, without '..'")
            made._sub_path = "/".join(part for part in parts if part != "/")
        return made

    # As programs for the reference have it

    @blocking
    def commit(self) -> None:
        """Do nothing: all others see at once what a container writes. (reference: Volume.commit)"""

    @blocking
    def reload(self) -> None:
        """Do nothing but what programs rely on: what others wrote is here already.

        Raises OpenFilesError, a RuntimeError, where this process has files of the volume open. (reference:
        Volume.reload)
        """
        if is_local():
            return
        for place in _places(self._resolve()):
            for path in _open_files(place):
                raise OpenFilesError(f"there are open files preventing the operation: path {path} is open")

    # Files

    @blocking
    def listdir(self, path: str = "/", *, recursive: bool = False) -> list[FileEntry]:
        """Return the entries of a directory, or the one file, by name; raise NotFoundError.

        Links are listed, not followed, below `path`. (reference: Volume.listdir)
        """
        return list(self._entries(path, recursive))

    @iterating
    def iterdir(self, path: str = "/", *, recursive: bool = True) -> Reading[FileEntry]:
        """Yield the entries of a directory, with `recursive` of those below too. (reference: Volume.iterdir)"""
        return Reading(lambda: self._entries(path, recursive))

    @iterating
    def read_file(self, path: str) -> Reading[bytes]:
        """Yield a file's content in pieces of at most 1 MiB.

        Raises VolumeFileNotFoundError, a FileNotFoundError, where there is none. (reference: Volume.read_file)
        """
        return Reading(lambda: self._read(path))

    @blocking
    def read_file_into_fileobj(self, path: str, fileobj: IO[bytes], progress_cb: Any = None) -> int:
        """Write a file's content into an open one; return its size. (reference: Volume.read_file_into_fileobj)"""
        without_progress(progress_cb)
        return sum(fileobj.write(data) for data in self._read(path))

    @blocking
    def remove_file(self, path: str, recursive: bool = False) -> None:
        """Remove a file, or with `recursive` a directory with all below; raise NotFoundError.

        (reference: Volume.remove_file)
        """
        from wherry_proto.messages import VolumeRemoveRequest, VolumeWritten  # noqa: PLC0415 - start-up cost: functions that only mount it do without

        request = VolumeRemoveRequest(volume_id=self._resolve(), path=_text(path), recursive=recursive)
        self._client.call("Volumes.Remove", request, VolumeWritten)

    @blocking
    def copy_files(self, src_paths: list[str], dst_path: str, recursive: bool = False) -> int:
        """Copy within the volume, several only into a directory; return how many files. (reference: Volume.copy_files)

        Raises NotFoundError, and InvalidError for directories without `recursive`.
        """
        from wherry_proto.messages import VolumeCopyRequest, VolumeWritten  # noqa: PLC0415 - start-up cost: functions that only mount it do without

        if isinstance(src_paths, str):
            src_paths = [src_paths]
        request = VolumeCopyRequest(
            volume_id=self._resolve(),
            sources=[_text(path) for path in src_paths],
            destination=_text(dst_path),
            recursive=recursive,
        )
        return self._client.call("Volumes.Copy", request, VolumeWritten).num_files

    @iterating
    def batch_upload(self, force: bool = False) -> UploadBatch:
        """Return what uploads, at the end of a `with` block, all that was put into it.

        Raises VolumeFileExistsError, a FileExistsError, before anything is sent, if a file exists already, unless
        `force`. (reference: Volume.batch_upload)
        """
        from wherry._objects.volume_upload import UploadBatch  # noqa: PLC0415 - start-up cost: functions that only mount it do without

        return UploadBatch(self, force)

    # Inside

    def _entries(self, path: str, recursive: bool) -> Iterator[FileEntry]:
        for entry in self.messages(path, recursive):
            yield FileEntry(entry.path, FileEntryType(entry.kind), entry.modified_at_ms // 1000, entry.size)

    def messages(self, path: str, recursive: bool) -> Iterator[VolumeEntry]:
        """Inside wherry: yield the entries of a directory as the service tells them."""
        from wherry_proto.messages import VolumeEntriesRequest  # noqa: PLC0415 - start-up cost: functions that only mount it do without

        request = VolumeEntriesRequest(volume_id=self._resolve(), path=_text(path), recursive=recursive)
        for page in self._client.stream_once_begun("Volumes.Entries", request):
            yield from page.entries  # type: ignore[attr-defined]

    def _read(self, path: str) -> Iterator[bytes]:
        from wherry_proto.messages import VolumeReadRequest  # noqa: PLC0415 - start-up cost: functions that only mount it do without

        request = VolumeReadRequest(volume_id=self._resolve(), paths=[_text(path)])
        try:
            for row in self._client.stream_once_begun("Volumes.Read", request):
                yield row.data  # type: ignore[attr-defined]
                if row.is_last:  # type: ignore[attr-defined]
                    return  # whatever becomes of the connection
        except NotFoundError as error:
            raise VolumeFileNotFoundError(str(error)) from None

    def discard(self, force: bool = False) -> ObjectInfo:
        """Inside wherry: delete it, and return what it was; with `force` also while functions use it."""
        from wherry_proto.messages import ObjectDeleteRequest, ObjectInfo  # noqa: PLC0415 - start-up cost: functions that only mount it do without

        request = ObjectDeleteRequest(object_id=self._resolve(), force=force)
        info: ObjectInfo = self._call("Delete", request, ObjectInfo)
        self._id = ""
        return info

    def is_same(self, other: VolumeFiles) -> bool:
        """Inside wherry: whether two handles are on one directory, as far as that is known without asking."""
        if type(self) is not type(other):
            return False
        if self._name or other._name:
            same_app = self._app is other._app
            return same_app and (self._name, self._environment) == (other._name, other._environment)
        return self is other or (bool(self._id) and self._id == other._id)

    def _twin(self) -> Self:
        """Return another handle on the same, which may not be known yet: pickling would look for it."""
        made = type(self).__new__(type(self))
        made.__dict__.update(self.__dict__)
        return made

    def mounted_at(self, client: Client, place: str, app_id: str, environment: str, creates: bool) -> VolumeMount:
        """Inside wherry: look for it, and return how a container is to have it; raise NotFoundError.

        A name without an environment means the one given. Without `creates` none is made: one that would be has an id
        that no volume has.
        """
        from wherry_proto.messages import VolumeMount  # noqa: PLC0415 - start-up cost: functions that only mount it do without

        try:
            volume_id = self._id_for(client, app_id, environment, creates)
        except NotFoundError:
            if creates or not self._create:
                raise
            volume_id = "vo-new"
        return VolumeMount(volume_id=volume_id, path=place, read_only=self._read_only, sub_path=self._sub_path)

    def _id_for(self, client: Client, app_id: str, environment: str, creates: bool) -> str:
        self._known_client = client
        if self._app is not None:
            # One that another handle of the same was made of.
            return self._open(name=self._name, create=creates, app_id=app_id)
        if self._name:
            makes = self._create and creates
            return self._open(name=self._name, environment=self._environment or environment, create=makes)
        return self._resolve()


class Reading(Generic[T]):
    """Iterable with `for` and `async for`, each time from the beginning."""

    def __init__(self, begin: Any) -> None:
        self._begin = begin
        self._running: Iterator[T] | None = None

    def __iter__(self) -> Iterator[T]:
        rows: Iterator[T] = self._begin()
        return rows

    def __next__(self) -> T:
        if self._running is None:
            self._running = iter(self)
        return next(self._running)

    async def __aiter__(self) -> AsyncIterator[T]:
        rows = iter(self)
        end = object()
        while (row := await in_thread(lambda: next(rows, end))) is not end:
            yield row  # type: ignore[misc]


def without_progress(given: Any) -> None:
    """Warn where a hook for progress is given: there are none."""
    if given is not None:
        from wherry._base.elsewhere import meet  # noqa: PLC0415 - start-up cost: only for this

        meet("progress_cb", 4)


def _text(path: Any) -> str:
    found = os.fspath(path)
    if not isinstance(found, str):
        raise InvalidError(f"{path!r} is no path in a volume: it must be a string")
    return found


def _places(volume_id: str) -> list[str]:
    """Return where this container has a volume."""
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8") as rows:
        for row in rows:
            fields = row.split()
            if f"/{volume_id}" in fields[3]:
                found.append(fields[4].encode().decode("unicode_escape"))
    return found


def _open_files(place: str) -> Iterator[str]:
    for name in os.listdir("/proc/self/fd"):
        try:
            path = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue  # closed meanwhile
        if path == place or path.startswith(f"{place}/"):
            yield path
