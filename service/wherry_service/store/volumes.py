"""Volumes on disk: a directory each. Containers have it mounted; clients reach its files through `VolumeStore`."""

import errno
import fcntl
import itertools
import logging
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from wherry_proto.messages import VolumeChunk, VolumeEntry, VolumeEntryKind
from wherry_service.engines.beside import bind, is_beside, unbind
from wherry_service.engines.volume_driver import VolumeDriver
from wherry_service.errors import AlreadyExists, Exhausted, InvalidRequest, NotFound, Unready
from wherry_service.store import volume_copies
from wherry_service.store.volume_paths import (
    DIRECTORY_MODE,
    MAX_SORTED_BYTES,
    check_depth,
    clean,
    located,
    made_directory,
    mode_of,
    open_directory,
    some_names,
)
from wherry_service.store.volume_trees import empty, remove_tree

log = logging.getLogger(__name__)

CHUNK = 1 << 20
PAGE = 500
PARTS_AGE_S = 7 * 24 * 3600.0
_ID = re.compile(r"(vo|sv)-[0-9A-Z]{26}\Z")
# What one chunk may say of a hole.
_MOST_ZEROS = 1 << 40
_KEY = re.compile(r"[0-9a-f]{64}\Z")
_GONE = ".deleted-"
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class VolumeStore:
    """The directories below `root`, which is the service's alone. Methods block for as long as the disk does.

    `driver`: what containers have mounted in their place. `is_beside` says whether the engine sees this process.
    """

    def __init__(
        self, root: Path, driver: VolumeDriver | None = None, is_beside: Callable[[], bool] = is_beside
    ) -> None:
        self._root = root
        self._is_beside = is_beside
        self.driver = driver
        self._parts = root / ".parts"
        self._mounts = root / ".mounts"

    def begin(self) -> None:
        """Make the directory, and remove what earlier lives left half done; raise `Unready` if it can't be used."""
        with _told("the directory of volumes"):
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._parts.mkdir(mode=0o700, exist_ok=True)
            for path in self._mounts.glob("*"):
                _unbound(path)
            old = time.time() - PARTS_AGE_S
            for path in self._parts.iterdir():
                if path.stat().st_mtime < old:
                    path.unlink(missing_ok=True)
            for path in self._root.glob(f"{_GONE}*"):
                self.discard(path)

    def directory(self, volume_id: str) -> Path:
        """Return a volume's directory; made when first asked for."""
        if not _ID.match(volume_id):
            raise InvalidRequest(f"{volume_id[:64]!r} is not the id of a volume")
        path = self._root / volume_id
        if not path.is_dir():
            with _told(f"volume {volume_id}"):
                self._parts.mkdir(mode=0o700, parents=True, exist_ok=True)
                path.mkdir(exist_ok=True)
                # The user of an image may be anyone; the parent directory keeps the host's users out.
                path.chmod(DIRECTORY_MODE)
        return path

    def mount_source(self, volume_id: str, sub_path: str, held: ExitStack) -> str:
        """Return what to have the engine mount; a sub-path is made where it is missing, and goes through no link.

        Of a sub-path it is the very directory that was looked at, whatever containers put in its place meanwhile:
        mounted where they can't come to, until `held` is closed, which is to be after the engine has started them.
        Raises `InvalidRequest` where the engine can't be shown that.
        """
        root = self.directory(volume_id)
        inner = clean(sub_path)
        if not inner:
            return str(root)
        if self.driver is not None:
            raise InvalidRequest(
                f"sub_path {sub_path!r} of volume {volume_id}: volumes.driver mounts by names, and containers could "
                "put a link in the place of this directory before it does: mount the whole volume"
            )
        if not self._is_beside():
            raise InvalidRequest(
                f"sub_path {sub_path!r} of volume {volume_id}: the service can't show the engine which directory that "
                "is, since it is in a container of its own or not root on the engine's host: mount the whole volume"
            )
        with _told(f"volume {volume_id}"):
            directory = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                for part in inner.split("/"):
                    if (mode := mode_of(directory, part)) and not stat.S_ISDIR(mode):
                        raise InvalidRequest(f"sub_path {sub_path!r} of volume {volume_id}: {part!r} is no directory")
                    child = made_directory(directory, part)
                    os.close(directory)
                    directory = child
            except BaseException:
                os.close(directory)
                raise
            try:
                return str(self._bound(directory, held))
            finally:
                os.close(directory)

    def _bound(self, directory: int, held: ExitStack) -> Path:
        place = self._mounts / secrets.token_hex(8)
        place.mkdir(mode=0o700, parents=True)
        try:
            bind(directory, place)
        except BaseException:
            place.rmdir()
            raise
        held.callback(_unbound, place)
        return place

    def delete(self, volume_id: str) -> Path | None:
        """Take a volume's directory away at once; return what `discard` is to remove, None if there is nothing."""
        gone = self._root / f"{_GONE}{volume_id}"
        try:
            self.directory(volume_id).rename(gone)
        except OSError as error:
            log.warning("volume %s could not be removed from disk: %s", volume_id, error)
            return None
        return gone

    def discard(self, gone: Path) -> None:
        """Remove what `delete` took away."""
        try:
            root = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                remove_tree(root, gone.name)
            finally:
                os.close(root)
        except OSError as error:
            log.debug("%s: %s", gone, error)
        if gone.exists():
            log.warning("%s could not be removed: its files belong to users of containers; remove it as root", gone)

    # Looking

    def entries(self, volume_id: str, path: str, recursive: bool) -> Iterator[list[VolumeEntry]]:
        """Yield what is in a directory, by name, or the one file; raise `NotFound`.

        A directory with very many names has them in its own order.
        """
        page: list[VolumeEntry] = []
        with _told(path or "/"):
            # Whoever does not read on holds this one open, and not all on the way to it.
            with located(self.directory(volume_id), path) as (parent, name):
                mode = mode_of(parent, name)
                if not mode:
                    raise _missing(path)
                is_directory = stat.S_ISDIR(mode)
                single = [] if is_directory else [_entry(parent, name, clean(path))]
                top = open_directory(parent, name) if is_directory else -1
            if not is_directory:
                yield single
                return
            try:
                for entry in self._below(top, ".", clean(path), recursive, 1, MAX_SORTED_BYTES):
                    page.append(entry)
                    if len(page) == PAGE:
                        yield page
                        page = []
            finally:
                os.close(top)
        if page:
            yield page

    def _below(
        self, parent: int, name: str, path: str, recursive: bool, depth: int, room: int
    ) -> Iterator[VolumeEntry]:
        check_depth(path, depth)
        try:
            directory = open_directory(parent, name)
        except FileNotFoundError:
            return  # gone meanwhile
        try:
            with os.scandir(directory) as found:
                names, size = some_names(found, room)
                for child in itertools.chain(names, (entry.name for entry in found)):
                    try:
                        entry = _entry(directory, child, f"{path}/{child}" if path else child)
                    except FileNotFoundError:
                        continue
                    yield entry
                    if recursive and entry.kind == VolumeEntryKind.DIRECTORY:
                        yield from self._below(directory, child, entry.path, True, depth + 1, room - size)
        finally:
            os.close(directory)

    def read(self, volume_id: str, path: str) -> Iterator[bytes]:
        """Yield a file's content in chunks, at least one; raise `NotFound`, or `InvalidRequest` if it is no file."""
        with _told(path), located(self.directory(volume_id), path) as (parent, name):
            mode = mode_of(parent, name)
            if not mode:
                raise _missing(path)
            if not stat.S_ISREG(mode):
                what = "a directory" if stat.S_ISDIR(mode) else "no plain file"
                raise InvalidRequest(f"{path!r} is {what}")
            descriptor = os.open(name, _READ, dir_fd=parent)
        # Whoever does not read on holds the file open, and not the directories on the way to it.
        with _told(path), os.fdopen(descriptor, "rb", buffering=0) as file:
            data = file.read(CHUNK)
            yield data
            while data := file.read(CHUNK):
                yield data

    # Writing

    def check(self, volume_id: str, path: str, key: str) -> tuple[bool, int]:
        """Return whether something is at a path, and how many bytes of that upload came earlier."""
        try:
            with _told(path), located(self.directory(volume_id), path) as (parent, name):
                exists = bool(mode_of(parent, name))
        except NotFound:
            exists = False
        try:
            return exists, self._part(volume_id, key).stat().st_size
        except FileNotFoundError:
            return exists, 0

    def write(self, chunk: VolumeChunk) -> bool:
        """Write a chunk; return whether the file is there now.

        Raises `AlreadyExists` where there is one and `force` is not set.
        """
        if not clean(chunk.path):
            raise InvalidRequest("the root of a volume can't be written as a file: name a file in it")
        if chunk.zeros > _MOST_ZEROS:
            raise InvalidRequest(f"{chunk.path!r} has a hole of {chunk.zeros} bytes: at most {_MOST_ZEROS} at a time")
        root = self.directory(chunk.volume_id)
        part = self._part(chunk.volume_id, chunk.key)
        with _told(chunk.path):
            with part.open("ab") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise AlreadyExists(f"{chunk.path!r} is being uploaded by another at this moment") from None
                if file.tell() != chunk.offset:
                    raise InvalidRequest(
                        f"{chunk.path!r}: {file.tell()} bytes of it have come, and what follows begins at "
                        f"{chunk.offset}: upload it again"
                    )
                file.write(chunk.data)
                if chunk.zeros:
                    file.truncate(chunk.offset + len(chunk.data) + chunk.zeros)
                if chunk.is_last:
                    os.fchmod(file.fileno(), 0o777 if chunk.executable else 0o666)
            if chunk.is_last:
                self._place(root, part, chunk.path, chunk.force)
        return chunk.is_last

    def _place(self, root: Path, part: Path, path: str, force: bool) -> None:
        with located(root, path, create=True) as (parent, name):
            if stat.S_ISDIR(mode_of(parent, name)):
                raise InvalidRequest(f"{path!r} is a directory: a file can't take its place")
            if force:
                os.rename(part, name, dst_dir_fd=parent)
                return
            try:
                os.link(part, name, dst_dir_fd=parent)
            except FileExistsError:
                raise AlreadyExists(f"{path!r} is in the volume already: force replaces it") from None
            part.unlink()

    def remove(self, volume_id: str, path: str, recursive: bool) -> None:
        """Remove a file or link, or a directory with all below; of the root, what is in it."""
        with _told(path or "/"), located(self.directory(volume_id), path, follow=False) as (parent, name):
            mode = mode_of(parent, name)
            if not mode:
                raise _missing(path)
            if not stat.S_ISDIR(mode):
                os.unlink(name, dir_fd=parent)
            elif not recursive:
                raise InvalidRequest(f"{path or '/'!r} is a directory: remove it recursively, with all that is in it")
            elif name != ".":
                remove_tree(parent, name)
            else:
                empty(parent)

    def copy(self, volume_id: str, sources: Sequence[str], destination: str, recursive: bool) -> int:
        """Copy within the volume as `cp` does; return how many files."""
        with _told(destination):
            return volume_copies.copy(self.directory(volume_id), sources, destination, recursive)

    def _part(self, volume_id: str, key: str) -> Path:
        if not _KEY.match(key) or not _ID.match(volume_id):
            raise InvalidRequest("an upload's key has 64 hexadecimal digits")
        return self._parts / f"{volume_id}-{key}"


def _entry(parent: int, name: str, path: str) -> VolumeEntry:
    status = os.stat(name, dir_fd=parent, follow_symlinks=False)
    kinds = {
        stat.S_IFREG: VolumeEntryKind.FILE,
        stat.S_IFDIR: VolumeEntryKind.DIRECTORY,
        stat.S_IFLNK: VolumeEntryKind.LINK,
    }
    kind = kinds.get(stat.S_IFMT(status.st_mode), VolumeEntryKind.OTHER)
    shown = os.fsencode(path).decode(errors="replace")
    if shown != path:
        # A name that is no text can't be asked for by clients: neither the file nor what is below.
        path, kind = shown, VolumeEntryKind.OTHER
    return VolumeEntry(
        path=path,
        kind=kind,
        size=status.st_size if kind == VolumeEntryKind.FILE else 0,
        modified_at_ms=max(0, status.st_mtime_ns // 1_000_000),
        executable=kind == VolumeEntryKind.FILE and bool(status.st_mode & stat.S_IXUSR),
    )


def _unbound(place: Path) -> None:
    """Take a mount away. Its directory goes only when it is empty: what is mounted there belongs to a volume."""
    with suppress(OSError):
        unbind(place)
    try:
        place.rmdir()
    except OSError as error:
        log.warning("%s could not be removed: %s", place, error.strerror)


def _missing(path: str) -> NotFound:
    return NotFound(f"{path or '/'!r} is not in the volume")


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Turn what the disk says into what the person can do about it."""
    try:
        yield
    except PermissionError as error:
        raise Unready(
            f"{what}: the service may not reach it ({error.strerror}): containers write as users of their own; let the "
            "service run as root, or the containers as the service's user"
        ) from error
    except FileNotFoundError:
        raise NotFound(f"{what!r} is not in the volume: it has gone meanwhile") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Exhausted(f"{what}: the disk that volumes are on is full") from error
        raise InvalidRequest(f"{what}: {error.strerror}") from error
