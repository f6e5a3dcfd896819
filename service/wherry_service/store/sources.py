"""Source trees: which files, by content, a container finds under its source directory."""

import hashlib
import json
import os
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
                    removed += 1
                    continue
            kept |= {row[1] for row in json.loads(path.read_text())}
        return removed + self._blobs.sweep_contents(kept, older_than_s)

    def exists(self, source_id: str) -> bool:
        return self._path(source_id).exists()

    def write_to(self, source_id: str, directory: Path, linked: bool = False) -> None:
        """Write the tree's files below an existing directory, as copies; or linked, where nobody may write them."""
        try:
            rows = json.loads(self._path(source_id).read_text())
        except FileNotFoundError:
            raise NotFound(f"source tree {source_id} does not exist") from None
        for path, blob_id, executable in rows:
            target = directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if linked and not executable:
                self._blobs.lend(blob_id, target)
            else:
                self._blobs.copy(blob_id, target)
            target.chmod(0o755 if executable else 0o644)

    def _path(self, source_id: str) -> Path:
        if not source_id.startswith("so-") or not source_id[3:].isalnum():
            raise InvalidRequest(f"{source_id[:64]!r} is not the id of a source tree")
        return self._root / f"{source_id}.json"


def _checked(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\0" in path:
        raise InvalidRequest(f"source path {path[:200]!r} is not relative to the tree's root")
    return str(PurePosixPath(path))
