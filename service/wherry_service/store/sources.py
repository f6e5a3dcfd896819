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
from typing import Any

from wherry_proto.messages import SourceFile
from wherry_service.errors import InvalidRequest, NotFound
from wherry_service.store.blobs import BlobStore
from wherry_service.store.trees import checked, lay_down, permissions


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
        rows = sorted(_row(file) for file in checked("source path", files))
        if missing := self._blobs.missing({row[1] for row in rows if row[1]}):
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
            kept |= {row[1] for row in json.loads(path.read_text()) if row[1]}
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
        for file in self._files(source_id):
            lay_down(directory / file.path, file, self._copy)

    def _copy(self, file: SourceFile, target: Path) -> None:
        self._blobs.copy(file.blob_id, target)
        target.chmod(permissions(file))

    def _lend(self, file: SourceFile, target: Path) -> None:
        if file.executable or file.mode:
            self._copy(file, target)
        else:
            self._blobs.lend(file.blob_id, target)

    def laid_out(self, source_id: str, is_file: bool = False) -> Path:
        """Return a directory with the tree's files, or its only file; raise `NotFound`.

        It is one for all who have the tree, and its files are those of the store: it is for mounting it read-only, by
        whoever can't come to it in another way.
        """
        files = self._files(source_id)
        if is_file and (len(files) != 1 or not files[0].blob_id):
            raise InvalidRequest(f"source tree {source_id} is not a single file")
        place = self._trees / source_id
        with self._laying:
            if not self._is_laid_out(place, files):
                self._lay_out(place, files)
        return place / files[0].path if is_file else place

    def _is_laid_out(self, place: Path, files: Sequence[SourceFile]) -> bool:
        if not place.exists():
            return False
        try:
            return all(self._is_there(place / file.path, file) for file in files)
        except OSError:
            return False

    def _is_there(self, place: Path, file: SourceFile) -> bool:
        if file.link:
            return os.readlink(place) == file.link
        return place.is_dir() if file.directory else self._blobs.has_content(file.blob_id, place)

    def _lay_out(self, place: Path, files: Sequence[SourceFile]) -> None:
        part = place.with_suffix(".part")
        for left in (part, place):
            if left.exists():
                shutil.rmtree(left)
        part.mkdir(parents=True)
        for file in files:
            lay_down(part / file.path, file, self._lend)
        part.rename(place)

    def _files(self, source_id: str) -> list[SourceFile]:
        """Return a tree's entries, links last."""
        try:
            rows: list[list[Any]] = json.loads(self._path(source_id).read_text())
        except FileNotFoundError:
            raise NotFound(f"source tree {source_id} does not exist") from None
        return sorted((_file(row) for row in rows), key=lambda file: bool(file.link))

    def _sent(self, source_id: str, sender: str) -> Path:
        digest = hashlib.sha256(sender.encode()).hexdigest()[:26]
        return self._path(source_id).with_suffix(f".{digest}.sent")

    def _path(self, source_id: str) -> Path:
        if not source_id.startswith("so-") or not source_id[3:].isalnum():
            raise InvalidRequest(f"{source_id[:64]!r} is not the id of a source tree")
        return self._root / f"{source_id}.json"


def _row(file: SourceFile) -> tuple[Any, ...]:
    plain = (str(PurePosixPath(file.path)), file.blob_id, file.executable)
    return (*plain, file.link, file.mode) if file.link or file.directory or file.mode else plain


def _file(row: Sequence[Any]) -> SourceFile:
    path, blob_id, executable = row[:3]
    link, mode = row[3:] or ("", 0)
    return SourceFile(
        path=path, blob_id=blob_id, executable=executable, link=link, directory=not (blob_id or link), mode=mode
    )
