"""Sends files of this machine to the service, each content once."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wherry._source import SourceFile as LocalFile
from wherry._source import source_files
from wherry_proto.messages import BlobMissingRequest, BlobMissingResponse, SourceFile, SourceInfo, SourceTree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wherry._client import Client


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


def send(client: "Client", files: "Sequence[LocalFile]") -> tuple[int, float]:
    """Send the contents that the service lacks; return how many, and the seconds it took."""
    if not files:
        return 0, 0.0
    by_id = {file.blob_id: file for file in files if file.blob_id}
    began = time.monotonic()
    request = BlobMissingRequest(blob_ids=list(by_id))
    missing = client.call("Blobs.Missing", request, BlobMissingResponse).blob_ids
    for blob_id in missing:
        client.blobs.put_file(blob_id, by_id[blob_id].local)
    return len(missing), time.monotonic() - began


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
