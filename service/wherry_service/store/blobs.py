"""Blobs as files: payloads too large for a message ("bl-…") and source files by content ("sha256:…")."""

import asyncio
import contextlib
import filecmp
import hashlib
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import tenacity

from wherry_service.errors import AlreadyExists, InvalidRequest, NotFound, Unready
from wherry_service.ids import new_id
from wherry_service.store.asked import Asked
from wherry_service.store.checked import Checked

log = logging.getLogger(__name__)

CHUNK = 1 << 20
# Seconds between two attempts to reach a store that does not answer, at most.
RETRY_EVERY_S = 30.0
_PAYLOAD_ID = re.compile(r"bl-[0-9A-HJKMNP-TV-Z]{26}\Z")
_CONTENT_ID = re.compile(r"sha256:[0-9a-f]{64}\Z")
_CONTENT = "sha256:"
_MODE = 0o644
# Contents that are deleted at once; who asks for one meanwhile waits.
_AT_ONCE = 200


class BlobStore:
    """Blobs in a directory. Methods block for as long as the file system does.

    A content is read against its hash before it is given to anyone; one that has changed on the disk is removed, and
    missing from then on, so that it is sent again.

    `BucketBlobStore` keeps those that must last in a bucket as well, and files here only for a while.
    """

    def __init__(self, root: Path, now: Callable[[], float] = time.time) -> None:
        self._asked = Asked(root / "asked", now)
        self._checked = Checked()
        self._payloads = root / "payloads"
        self._contents = root / "contents"
        self.handover_dir = root / "handover"
        for directory in (self._payloads, self._contents, self.handover_dir):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def begin(self) -> None:
        """See that blobs can be kept; raise `Unready`, which says why not."""

    def close(self) -> None:
        """End what is still being done."""

    def path(self, blob_id: str) -> Path:
        """Return where a blob is or would be; raise `InvalidRequest` for anything that is not a blob id."""
        if _PAYLOAD_ID.match(blob_id):
            return self._payloads / blob_id
        if _CONTENT_ID.match(blob_id):
            digest = blob_id.removeprefix("sha256:")
            return self._contents / digest[:2] / digest
        raise InvalidRequest(f"{blob_id[:80]!r} is not a blob id")

    def is_here(self, blob_id: str) -> bool:
        """Return whether its file is here, so that nobody has to wait for it."""
        return self.path(blob_id).exists()

    def fetch(self, blob_id: str) -> Path:
        """Return its file, brought here if need be; raise `NotFound` if there is no such blob."""
        path = self.path(blob_id)
        if not self._is_whole(blob_id, path):
            raise _missing(blob_id)
        return path

    def _is_whole(self, blob_id: str, path: Path) -> bool:
        """Return whether a blob's file is there, with the content that its id names; remove one that has another."""
        if not blob_id.startswith(_CONTENT):
            return path.exists()
        try:
            if self.has_content(blob_id, path):
                return True
        except FileNotFoundError:
            return False
        log.error("content %s was changed on the disk: it is removed, and asked for again where it is needed", blob_id)
        path.unlink(missing_ok=True)
        return False

    def has_content(self, blob_id: str, path: Path) -> bool:
        """Return whether a file, which may be a link to a blob's or a copy, has a content. Raises FileNotFoundError."""
        return self._checked.holds(blob_id.removeprefix(_CONTENT), path)

    def keep(self, blob_id: str) -> None:
        """See that a blob outlasts what is kept of it here, before something that lasts refers to it."""
        self.fetch(blob_id)

    def size(self, blob_id: str) -> int:
        """Return its size in bytes; raise `NotFound` if there is no such blob."""
        try:
            return self.path(blob_id).stat().st_size
        except FileNotFoundError:
            raise _missing(blob_id) from None

    def missing(self, blob_ids: Iterable[str]) -> list[str]:
        """Return those that are not here; contents that are stay for a while from now on, whoever uses them."""
        blob_ids = list(blob_ids)
        self._note(blob_ids)
        return self._missing(blob_ids)

    def _missing(self, blob_ids: list[str]) -> list[str]:
        return [blob_id for blob_id in blob_ids if not self._is_whole(blob_id, self.path(blob_id))]

    def adopt(self, blob_id: str, file_name: str) -> int:
        """Take over a file of the hand-over directory as that blob, without copying; return its size."""
        if Path(file_name).name != file_name or file_name.startswith("."):
            raise InvalidRequest(f"{file_name[:80]!r} is not the name of a file in the hand-over directory")
        return self.take_file(blob_id, self.handover_dir / file_name)

    def take_file(self, blob_id: str, file: Path) -> int:
        """Move a regular file in as that blob; return its size. Links and devices are refused."""
        target = self.path(blob_id)
        if not target.name.startswith("bl-"):
            raise InvalidRequest("only payloads are handed over as files; source files are put in chunks")
        try:
            status = file.lstat()
        except FileNotFoundError:
            raise NotFound(f"no file {file.name!r} was handed over for blob {blob_id}") from None
        if not os.path.isfile(file) or file.is_symlink() or status.st_nlink != 1:
            raise InvalidRequest(f"{file.name!r} is not a regular file of its own")
        os.replace(file, target)
        return status.st_size

    def put(self, blob_id: str, chunks: Iterable[bytes]) -> int:
        """Write a blob; content is checked against a content id. Return its size."""
        with self.writer(blob_id) as writer:
            for chunk in chunks:
                writer.write(chunk)
            return writer.commit()

    def writer(self, blob_id: str) -> "BlobWriter":
        """Open a blob for writing; it appears when committed."""
        self._note([blob_id])
        return BlobWriter(blob_id, self.path(blob_id), self.handover_dir, self._checked)

    def read(self, blob_id: str) -> Iterator[bytes]:
        """Yield a blob's bytes in chunks of at most 1 MiB."""
        with self.fetch(blob_id).open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk

    def lend(self, blob_id: str, target: Path | str, directory: int | None = None) -> None:
        """Make a blob appear at a path, below `directory` if that is given: a hard link where that can be, else a copy.

        Who has it there must not be able to write it. Raises FileExistsError for a path that is taken.
        """
        source = self.fetch(blob_id)
        try:
            if blob_id.startswith(_CONTENT) and source.stat().st_mode & 0o777 != _MODE:
                source.chmod(_MODE)  # of an earlier version, as its umask had it
            os.link(source, target, dst_dir_fd=directory)
            if blob_id.startswith(_CONTENT):
                # It has one more name now, which is a change like any other.
                self._checked.note(blob_id.removeprefix(_CONTENT), source)
        except FileNotFoundError:
            raise _missing(blob_id) from None
        except FileExistsError:
            raise
        except OSError:
            _copy_new(source, target, directory)

    def copy(self, blob_id: str, target: Path) -> None:
        """Copy a blob, so that what is done to the copy does not touch it."""
        shutil.copyfile(self.fetch(blob_id), target)

    def clone(self, blob_id: str) -> str:
        """Put a payload under another id as well, and return that: the one can be deleted without the other."""
        clone_id = new_id("bl")
        if not _PAYLOAD_ID.match(blob_id):
            raise InvalidRequest(f"{blob_id[:80]!r} is not the id of a value's blob")
        self.lend(blob_id, self.path(clone_id))
        return clone_id

    def delete(self, blob_id: str) -> None:
        """Delete a blob; a missing one is fine."""
        self.path(blob_id).unlink(missing_ok=True)

    def sweep(self, keep: set[str], older_than_s: float) -> int:
        """Delete payloads that nothing refers to and that are older than that; return how many."""
        limit = time.time() - older_than_s
        removed = 0
        for directory in (self._payloads, self.handover_dir):
            for file in directory.iterdir():
                with contextlib.suppress(FileNotFoundError):  # taken or deleted at this moment
                    if file.name not in keep and file.stat().st_mtime < limit:
                        file.unlink()
                        removed += 1
        return removed

    def sweep_contents(self, keep: set[str], older_than_s: float) -> int:
        """Delete contents that are not in `keep` and that nobody sent or asked for in that time; return how many."""
        removed = 0
        doomed = [blob_id.removeprefix(_CONTENT) for blob_id in self._all_contents() if blob_id not in keep]
        for begin in range(0, len(doomed), _AT_ONCE):
            with self._asked.old(doomed[begin : begin + _AT_ONCE], older_than_s) as old:
                self._delete_contents([_CONTENT + digest for digest in old])
                removed += len(old)
        return removed

    def _all_contents(self) -> set[str]:
        return {_CONTENT + path.name for path in self._contents.glob("??/*")}

    def _delete_contents(self, blob_ids: list[str]) -> None:
        for blob_id in blob_ids:
            self.path(blob_id).unlink(missing_ok=True)

    def _note(self, blob_ids: Iterable[str]) -> None:
        self._asked.note(self.path(blob_id).name for blob_id in blob_ids if not _PAYLOAD_ID.match(blob_id))

    def trim(self, in_use: set[str]) -> int:
        """Remove files from here that are kept elsewhere, if they are too many; return how many."""
        return 0


async def keep_patiently(blobs: BlobStore, blob_ids: Iterable[str]) -> None:
    """Keep blobs, however long the store does not answer. A missing one is for those to find out who read it."""
    for blob_id in blob_ids:
        await _patiently(blobs.keep, blob_id)


async def bring_patiently(blobs: BlobStore, blob_id: str) -> None:
    """Bring a blob's file here, however long the store does not answer; the same of a missing one."""
    await _patiently(blobs.fetch, blob_id)


async def _patiently(work: Callable[[str], object], blob_id: str) -> None:
    async for attempt in tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception_type(Unready),
        wait=tenacity.wait_exponential(0.5, max=RETRY_EVERY_S),
        before_sleep=_log_retry,
    ):
        with attempt:
            try:
                await asyncio.to_thread(work, blob_id)
            except NotFound as error:
                log.warning("%s", error)


def _log_retry(state: tenacity.RetryCallState) -> None:
    if state.outcome is not None:
        log.warning("attempt %d: %s", state.attempt_number, state.outcome.exception())


def _missing(blob_id: str) -> NotFound:
    return NotFound(f"blob {blob_id} does not exist or was taken already")


def _copy_new(source: Path, target: Path | str, directory: int | None) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with (
        source.open("rb", buffering=0) as have,
        os.fdopen(os.open(target, flags, _MODE, dir_fd=directory), "wb", buffering=0) as want,
    ):
        shutil.copyfileobj(have, want, CHUNK)


class BlobWriter:
    """A blob being written, in a file beside the blobs until `commit`."""

    def __init__(self, blob_id: str, target: Path, directory: Path, checked: Checked) -> None:
        self._checked = checked
        self._blob_id = blob_id
        self._target = target
        self._part = directory / f"{new_id('bl')}.part"
        self._file = self._part.open("wb")
        # It is lent to users of containers, whatever the service's umask is.
        os.fchmod(self._file.fileno(), _MODE)
        self._digest = hashlib.sha256()
        self._size = 0

    def __enter__(self) -> "BlobWriter":
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()
        self._part.unlink(missing_ok=True)

    def write(self, data: bytes) -> None:
        if self._blob_id.startswith("sha256:"):
            self._digest.update(data)
        self._file.write(data)
        self._size += len(data)

    def commit(self) -> int:
        """Put the blob in its place; raise `InvalidRequest` if its content is not what its id says.

        A value is written once: sent again it must be the same, else `AlreadyExists` is raised.
        """
        self._file.close()
        if self._blob_id.startswith("sha256:") and self._digest.hexdigest() != self._blob_id.removeprefix("sha256:"):
            raise InvalidRequest(f"the content sent for {self._blob_id} has another hash: it changed on the way")
        self._target.parent.mkdir(exist_ok=True)
        if not self._blob_id.startswith(_CONTENT):
            self._put_once()
            return self._size
        os.replace(self._part, self._target)
        self._checked.note(self._blob_id.removeprefix(_CONTENT), self._target)
        return self._size

    def _put_once(self) -> None:
        try:
            os.link(self._part, self._target)
        except FileExistsError:
            # Who knows a value's id may not have others read something else.
            if not filecmp.cmp(self._part, self._target, shallow=False):
                raise AlreadyExists(f"value {self._blob_id} was sent before, and was another one") from None
        except PermissionError:
            # A file system without links.
            os.replace(self._part, self._target)
