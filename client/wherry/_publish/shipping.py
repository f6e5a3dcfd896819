"""Sends files of this machine to the service, each content once."""

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from wherry._base.words import counted
from wherry._connection.blobs import SHOWN_FROM
from wherry._publish.source import SourceFile as LocalFile
from wherry._publish.source import source_files
from wherry._screen.output import NoProgress
from wherry.exception import InvalidError
from wherry_proto.messages import BlobMissingRequest, BlobMissingResponse, SourceFile, SourceInfo, SourceTree

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wherry._connection.client import Client


def ship_modules(client: "Client", modules: list[Any], also: "Sequence[LocalFile]" = ()) -> "Shipped":
    """Send the source of modules, and other files for the same tree."""
    files, root = source_files(modules)
    merged = {file.path: file for file in (*also, *files)}
    found = [merged[path] for path in sorted(merged)]
    if not found:
        return Shipped([], "", root)
    sent, seconds = send(client, found)
    screen = client.listener.screen
    for file in found:
        screen.detail(f"source {file.path} ({file.size} bytes)")
    if sent:
        screen.step(f"Sent {sent} of {len(found)} source files in {seconds:.1f} s")
    return Shipped(found, put_tree(client, found), root)


class Shipped:
    """Source that the service has: the files, the id of the tree, and its root here."""

    __slots__ = ("files", "root", "source_id")

    def __init__(self, files: list[LocalFile], source_id: str, root: Path | None) -> None:
        self.files = files
        self.source_id = source_id
        self.root = root


def send(client: "Client", files: "Sequence[LocalFile]", *, as_read: bool = False) -> tuple[int, float]:
    """Send the contents that the service lacks; return how many, and the seconds it took.

    Of a file that changes meanwhile a later content is sent, and `blob_id` and `size` become that one's. `as_read`: the
    ids have been told already, so that is an error. Raises InvalidError, which names the file.
    """
    if not files:
        return 0, 0.0
    by_id: dict[str, list[LocalFile]] = {}
    for file in files:
        if file.blob_id:
            by_id.setdefault(file.blob_id, []).append(file)
    began = time.monotonic()
    request = BlobMissingRequest(blob_ids=list(by_id))
    missing = client.call("Blobs.Missing", request, BlobMissingResponse).blob_ids
    size = sum(by_id[blob_id][0].size for blob_id in missing)
    what = f"Sending {counted(len(missing), 'file')}"
    transfer = client.listener.screen.transfer(what, size) if size >= SHOWN_FROM else NoProgress()
    try:
        for blob_id in missing:
            for file in by_id[blob_id]:
                if _put(client, file, as_read, transfer.advance):
                    break  # the others have the same
    finally:
        transfer.end()
    return len(missing), time.monotonic() - began


def _put(client: "Client", file: LocalFile, as_read: bool, report: "Callable[[int], None]") -> bool:
    """Send a file's content; return whether it is the one that was read first."""
    try:
        try:
            with file.local.open("rb") as content:
                # What was written to its end since then (it is a log, perhaps) does not belong to it.
                client.blobs.put_content(file.blob_id, content, file.size, report)
            return True
        except InvalidError:
            with tempfile.TemporaryFile() as copy:
                before = file.blob_id
                file.read(copy)
                if file.blob_id == before:
                    raise
                if as_read:
                    raise InvalidError(
                        f"{file.local} changed while it was sent: try again when nothing writes to it, or leave it out"
                    ) from None
                copy.seek(0)
                client.blobs.put_content(file.blob_id, cast("BinaryIO", copy), file.size)
                return False
    except OSError as error:
        raise InvalidError(f"{file.local} could not be sent: {error.strerror}") from None


def put_tree(client: "Client", files: "Sequence[LocalFile]") -> str:
    """Record a tree of files that were sent; return its id."""
    tree = SourceTree(files=[described(file) for file in files])
    return client.call("Blobs.PutSource", tree, SourceInfo).source_id


def described(file: LocalFile) -> SourceFile:
    """Return a file as messages have it."""
    return SourceFile(
        path=file.path,
        blob_id=file.blob_id,
        size=file.size,
        executable=file.executable,
        link=file.link,
        directory=file.directory,
        mode=file.mode,
    )
