"""Source trees: which files, by content, a container finds under its source directory."""

import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path, PurePosixPath

from wherry_proto.messages import SourceFile
from wherry_service.errors import InvalidRequest, NotFound
from wherry_service.store.blobs import BlobStore


class SourceStore:
    """Source trees as small JSON files beside the blobs. Methods block for as long as the file system does."""

    def __init__(self, root: Path, blobs: BlobStore, now: Callable[[], float] = time.time) -> None:
        self._root = root
        self._blobs = blobs
        self._now = now
        # So that a tree is not deleted at the moment in which somebody records it again.
        self._lock = threading.Lock()
        self._trees = root / "trees"
        self._laying = threading.Lock()
        root.mkdir(parents=True, exist_ok=True, mode=0o700)

    def put(self, files: Sequence[SourceFile]) -> str:
        """Record a tree and return its id, "so-" and a hash of paths and contents.

        Raises `InvalidRequest` for a path that leaves the tree or a content that has not been sent.
        """
        rows = sorted((_checked(file.path), file.blob_id, file.executable) for file in files)
        if missing := self._blobs.missing({row[1] for row in rows}):
            raise InvalidRequest(f"{len(missing)} files of the source tree have not been sent, first {missing[0]}")
        text = json.dumps(rows, separators=(",", ":"))
        source_id = "so-" + hashlib.sha256(text.encode()).hexdigest()[:26]
        path = self._path(source_id)
        with self._lock:
            if not path.exists():
                part = path.with_suffix(".part")
                part.write_text(text)
                part.replace(path)
            os.utime(path, (self._now(), self._now()))
        return source_id

    def note_sent(self, source_id: str, sender: str) -> None:
        """Note who has sent a tree, and so has all that is in it; it stays for the service's later lives."""
        with self._lock:
            self._sent(source_id, sender).touch()

    def was_sent(self, source_id: str, sender: str) -> bool:
        """Whether that sender has sent the tree; not, for what is no id of one."""
        try:
            return self._sent(source_id, sender).exists()
        except InvalidRequest:
            return False

    def sweep(self, trees: AbstractSet[str], contents: AbstractSet[str], older_than_s: float) -> int:
        """Delete trees and files that are in no use, and that nobody sent or asked for in that time; return how many.

        `trees`, `contents`: the ids of those in use. What a tree that stays names stays too.
        """
        kept = set(contents)
        removed = 0
        for path in self._root.glob("so-*.json"):
            with self._lock:
                if path.stem not in trees and path.stat().st_mtime < self._now() - older_than_s:
                    path.unlink()
                    for sent in self._root.glob(f"{path.stem}.*.sent"):
                        sent.unlink()
                    removed += 1
                    continue
            kept |= {row[1] for row in json.loads(path.read_text())}
        self._sweep_laid_out()
        return removed + self._blobs.sweep_contents(kept, older_than_s)

    def _sweep_laid_out(self) -> None:
        with self._laying:
            for place in self._trees.glob("so-*"):
                if not (self._root / f"{place.stem}.json").exists():
                    shutil.rmtree(place, ignore_errors=True)

    def exists(self, source_id: str) -> bool:
        return self._path(source_id).exists()

    def write_to(self, source_id: str, directory: Path) -> None:
        """Write the tree's files below an existing directory, as copies; raise `NotFound`."""
        for path, blob_id, executable in self._rows(source_id):
            target = directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            self._blobs.copy(blob_id, target)
            target.chmod(0o755 if executable else 0o644)

    def laid_out(self, source_id: str, is_file: bool = False) -> Path:
        """Return a directory with the tree's files, or its only file; raise `NotFound`.

        It is one for all who have the tree, and its files are those of the store: it is for mounting it read-only, by
        whoever can't come to it in another way.
        """
        rows = self._rows(source_id)
        place = self._trees / source_id
        with self._laying:
            if not self._is_laid_out(place, rows):
                self._lay_out(place, rows)
        return place / rows[0][0] if is_file else place

    def _is_laid_out(self, place: Path, rows: Sequence[tuple[str, str, bool]]) -> bool:
        if not place.exists():
            return False
        try:
            return all(self._blobs.has_content(blob_id, place / path) for path, blob_id, _ in rows)
        except OSError:
            return False

    def _lay_out(self, place: Path, rows: Sequence[tuple[str, str, bool]]) -> None:
        part = place.with_suffix(".part")
        for left in (part, place):
            if left.exists():
                shutil.rmtree(left)
        part.mkdir(parents=True)
        for path, blob_id, executable in rows:
            target = part / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if executable:
                self._blobs.copy(blob_id, target)
                target.chmod(0o755)
            else:
                self._blobs.lend(blob_id, target)
        part.rename(place)

    def _rows(self, source_id: str) -> list[tuple[str, str, bool]]:
        try:
            rows: list[tuple[str, str, bool]] = json.loads(self._path(source_id).read_text())
        except FileNotFoundError:
            raise NotFound(f"source tree {source_id} does not exist") from None
        return rows

    def _sent(self, source_id: str, sender: str) -> Path:
        digest = hashlib.sha256(sender.encode()).hexdigest()[:26]
        return self._path(source_id).with_suffix(f".{digest}.sent")

    def _path(self, source_id: str) -> Path:
        if not source_id.startswith("so-") or not source_id[3:].isalnum():
            raise InvalidRequest(f"{source_id[:64]!r} is not the id of a source tree")
        return self._root / f"{source_id}.json"


def _checked(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\0" in path:
        raise InvalidRequest(f"source path {path[:200]!r} is not relative to the tree's root")
    return str(PurePosixPath(path))
