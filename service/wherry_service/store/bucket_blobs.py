"""Blobs in a bucket, for those that must last; the others never leave this host."""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from wherry_service.errors import NotFound, ServiceError, Unready
from wherry_service.ids import new_id
from wherry_service.store.blobs import BlobStore, BlobWriter
from wherry_service.store.bucket import Bucket
from wherry_service.store.checked import Checked

log = logging.getLogger(__name__)

OWNER = "owner"
# Seconds since somebody asked for a file for which it stays: whoever was told of it may be about to open it.
STAYS_S = 600.0
_ASK_AT_ONCE = 8


class BucketBlobStore(BlobStore):
    """Writes files here, as its base does, and into a bucket when they are to be kept.

    A payload that is kept, and each content, lies in the bucket and, until `trim` removes it, in `cache` here. What
    goes before anything durable names it, such as an argument of a running call, is never sent. The bucket has the
    same paths as the directory.
    """

    def __init__(self, root: Path, bucket: Bucket, cache_bytes: int, now: Callable[[], float] = time.time) -> None:
        super().__init__(root, now)
        self._root = root
        self._cache = root / "cache"
        self._bucket = bucket
        self._cache_bytes = cache_bytes
        self._threads = ThreadPoolExecutor(_ASK_AT_ONCE, thread_name_prefix="blobs")
        # One after the other, beside everything else.
        self._deleting = ThreadPoolExecutor(1, thread_name_prefix="blobs-delete")
        # So that a deletion knows whether its blob is on the way into the bucket.
        self._lock = threading.Lock()
        for name in ("payloads", "contents"):
            (self._cache / name).mkdir(parents=True, exist_ok=True, mode=0o700)

    def begin(self) -> None:
        own = self._own_name()
        try:
            owner = b"".join(self._bucket.get(OWNER)).decode(errors="replace")
        except FileNotFoundError:
            self._bucket.put(OWNER, own.encode())
            return
        if owner != own:
            raise Unready(
                "WHERRY_BLOBS_URL names a folder of a bucket that belongs to another service, which would delete what "
                f"it does not know: name another folder. If that service has moved here, delete the object {OWNER!r}"
            )

    def close(self) -> None:
        # What is not deleted any more, the next life's sweep finds.
        for threads in (self._threads, self._deleting):
            threads.shutdown(wait=True, cancel_futures=True)

    def settle(self) -> None:
        """Wait until what was to be deleted is deleted."""
        self._deleting.submit(int).result()

    def is_here(self, blob_id: str) -> bool:
        return self._found(blob_id) is not None

    def fetch(self, blob_id: str) -> Path:
        found = self._found(blob_id)
        if found is not None:
            # Those that nobody asked for the longest time go first.
            with contextlib.suppress(OSError):
                os.utime(found)
                if blob_id.startswith("sha256:"):
                    self._checked.note(blob_id.removeprefix("sha256:"), found)
            return found
        target = self._cached(blob_id)
        part = self.handover_dir / f"{new_id('bl')}.part"
        try:
            with part.open("wb") as file:
                for chunk in self._bucket.get(self._key(blob_id)):
                    file.write(chunk)
            target.parent.mkdir(exist_ok=True)
            os.replace(part, target)
        except FileNotFoundError:
            raise NotFound(f"blob {blob_id} does not exist or was taken already") from None
        finally:
            part.unlink(missing_ok=True)
        if not self._is_whole(blob_id, target):
            self._bucket.delete([self._key(blob_id)])
            raise NotFound(f"blob {blob_id} was changed in the bucket: it is sent again where it is needed")
        return target

    def keep(self, blob_id: str) -> None:
        path = self.path(blob_id)
        if not path.exists():
            if self._cached(blob_id).exists() or self._bucket.size(self._key(blob_id)) is not None:
                return
            raise NotFound(f"blob {blob_id} does not exist or was taken already")
        try:
            self._bucket.put_file(self._key(blob_id), path)
        except FileNotFoundError:
            raise NotFound(f"blob {blob_id} was deleted while it was being kept") from None
        target = self._cached(blob_id)
        target.parent.mkdir(exist_ok=True)
        with self._lock:
            try:
                os.replace(path, target)
                return
            except FileNotFoundError:
                if target.exists():
                    return  # another kept it, too
        # It was deleted meanwhile.
        self._bucket.delete([self._key(blob_id)])

    def size(self, blob_id: str) -> int:
        found = self._found(blob_id)
        size = found.stat().st_size if found is not None else self._bucket.size(self._key(blob_id))
        if size is None:
            raise NotFound(f"blob {blob_id} does not exist or was taken already")
        return size

    def _missing(self, blob_ids: list[str]) -> list[str]:
        absent = [blob_id for blob_id in blob_ids if not self.is_here(blob_id)]
        sizes = self._threads.map(lambda blob_id: self._bucket.size(self._key(blob_id)), absent)
        return [blob_id for blob_id, size in zip(absent, sizes, strict=True) if size is None]

    def writer(self, blob_id: str) -> BlobWriter:
        if blob_id.startswith("bl-"):
            return super().writer(blob_id)
        self._note([blob_id])
        return _KeptWriter(blob_id, self.path(blob_id), self.handover_dir, self._checked, self)

    def delete(self, blob_id: str) -> None:
        with self._lock:
            path, cached = self.path(blob_id), self._cached(blob_id)
            if path.exists():
                path.unlink(missing_ok=True)
                return
            cached.unlink(missing_ok=True)
        with contextlib.suppress(RuntimeError):  # the service ends: the next life's sweep finds it
            self._deleting.submit(self._delete_kept, [blob_id])

    def _delete_kept(self, blob_ids: list[str]) -> None:
        try:
            self._bucket.delete([self._key(blob_id) for blob_id in blob_ids])
        except ServiceError as error:
            log.warning("%d blobs stay until the next sweep: %s", len(blob_ids), error)

    def sweep(self, keep: set[str], older_than_s: float) -> int:
        """Delete payloads that nothing refers to; keep what is referred to and came before there was a bucket."""
        limit = time.time() - older_than_s
        for path in self._files("payloads", self._root):
            with contextlib.suppress(FileNotFoundError):
                if path.name in keep and path.stat().st_mtime < limit:
                    self._keep_old(path.name)
        for path in self._files("contents", self._root):
            self._keep_old(f"sha256:{path.name}")
        removed = super().sweep(keep, older_than_s)
        try:
            doomed = [
                key.rpartition("/")[2]
                for key, written in self._bucket.list("payloads")
                if key.rpartition("/")[2] not in keep and written.timestamp() < limit
            ]
            self._bucket.delete(self._key(blob_id) for blob_id in doomed)
        except ServiceError as error:
            log.warning("blobs in the bucket could not be swept: %s", error)
            return removed
        for blob_id in doomed:
            self._cached(blob_id).unlink(missing_ok=True)
        return removed + len(doomed)

    def _all_contents(self) -> set[str]:
        try:
            kept = {f"sha256:{key.rpartition('/')[2]}" for key, _ in self._bucket.list("contents")}
        except ServiceError as error:
            log.warning("source files in the bucket could not be swept: %s", error)
            return set()
        return super()._all_contents() | kept

    def _delete_contents(self, blob_ids: list[str]) -> None:
        # First those here: what is left in the bucket after an error is seen as there, and can be fetched.
        super()._delete_contents(blob_ids)
        for blob_id in blob_ids:
            self._cached(blob_id).unlink(missing_ok=True)
        self._bucket.delete([self._key(blob_id) for blob_id in blob_ids])

    def _keep_old(self, blob_id: str) -> None:
        try:
            self.keep(blob_id)
        except ServiceError as error:
            log.warning("blob %s is on this host alone: %s", blob_id, error)

    def trim(self, in_use: set[str]) -> int:
        files: list[tuple[float, int, Path]] = []
        for folder in ("payloads", "contents"):
            for path in self._files(folder, self._cache):
                with contextlib.suppress(FileNotFoundError):
                    status = path.stat()
                    files.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in files)
        limit = time.time() - STAYS_S
        removed = 0
        for used, size, path in sorted(files):
            if total <= self._cache_bytes or used > limit:
                break
            if path.name not in in_use:
                path.unlink(missing_ok=True)
                total -= size
                removed += 1
        return removed

    def _own_name(self) -> str:
        """Return what tells this service from others that might use the same bucket."""
        file = self._root / OWNER
        try:
            return file.read_text()
        except FileNotFoundError:
            part = file.with_suffix(".part")
            part.write_text(new_id("sv"))
            part.replace(file)
            return file.read_text()

    def _found(self, blob_id: str) -> Path | None:
        for path in (self.path(blob_id), self._cached(blob_id)):
            if self._is_whole(blob_id, path):
                return path
        return None

    def _key(self, blob_id: str) -> str:
        return self.path(blob_id).relative_to(self._root).as_posix()

    def _cached(self, blob_id: str) -> Path:
        return self._cache / self._key(blob_id)

    @staticmethod
    def _files(folder: str, root: Path) -> Iterator[Path]:
        for path in (root / folder).rglob("*"):
            if path.is_file():
                yield path


class _KeptWriter(BlobWriter):
    """Writes a content, which is in the bucket when it is committed."""

    def __init__(self, blob_id: str, target: Path, directory: Path, checked: Checked, store: BucketBlobStore) -> None:
        super().__init__(blob_id, target, directory, checked)
        self._kept_id = blob_id
        self._store = store

    def commit(self) -> int:
        size = super().commit()
        self._store.keep(self._kept_id)
        return size
