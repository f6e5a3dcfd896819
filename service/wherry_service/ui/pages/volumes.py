"""Volumes: what they hold, directory by directory, and their files."""

from contextlib import aclosing
from urllib.parse import quote

from wherry_proto.messages import (
    ObjectInfo,
    ObjectListRequest,
    VolumeEntriesRequest,
    VolumeEntry,
    VolumeEntryKind,
    VolumeReadRequest,
)
from wherry_service.api.callers import follow
from wherry_service.ids import check_id
from wherry_service.ui import words
from wherry_service.ui.page import Asked, Data, Feed, Page
from wherry_service.ui.table import Cell, Column, identity, table, when, word
from wherry_service.ui.web import Response, WebError

# Bytes of a file that a browser is given; larger ones are for `wherry volume get`.
MOST_OF_A_FILE = 64 << 20
_KINDS = {
    VolumeEntryKind.FILE: "file",
    VolumeEntryKind.DIRECTORY: "directory",
    VolumeEntryKind.LINK: "link",
}
_COLUMNS = (
    Column("Name", lambda one: Cell(one.name, f"/volumes/{one.object_id}/files")),
    Column("Id", lambda one: identity(one.object_id)),
    Column("Made", lambda one: when(one.created_at_ms)),
)


async def of_all(asked: Asked) -> Data:
    """Return the volumes that have a name."""
    listed = await asked.ask("Volumes.List", ObjectListRequest(environment=asked.environment))

    def row_id(one: ObjectInfo) -> str:
        return one.object_id

    empty, command = "There is no volume with a name.", "wherry volume create NAME"
    return {"heading": "Volumes", "tables": [table("", _COLUMNS, listed.objects, row_id, empty, command)]}


async def of_one(asked: Asked) -> Data:
    """Return what is in one directory of a volume."""
    volume_id, path = _asked_for(asked)
    request = VolumeEntriesRequest(volume_id=volume_id, path=f"/{path}")
    entries: list[VolumeEntry] = []
    async with aclosing(follow(asked.caller, "Volumes.Entries", request)) as found:
        async for some in found:
            entries += some.entries
    entries.sort(key=lambda one: (one.kind != VolumeEntryKind.DIRECTORY, one.path))
    files, file = f"/volumes/{volume_id}/files", f"/volumes/{volume_id}/file"

    def link(one: VolumeEntry) -> str:
        below = one.path.strip("/")
        if one.kind == VolumeEntryKind.DIRECTORY:
            return f"{files}/{below}"
        return f"{file}/{below}" if one.kind == VolumeEntryKind.FILE and one.size <= MOST_OF_A_FILE else ""

    columns = (
        Column("Name", lambda one: Cell(one.path.strip("/").rpartition("/")[2], link(one))),
        Column("Kind", lambda one: word(_KINDS.get(one.kind, "other"))),
        Column(
            "Size",
            lambda one: word(words.size(one.size) if one.kind == VolumeEntryKind.FILE else ""),
            number=True,
        ),
        Column("Changed", lambda one: when(one.modified_at_ms)),
    )

    def row_id(one: VolumeEntry) -> str:
        return quote(one.path, safe="")

    above = path.rpartition("/")[0]
    return {
        "heading": f"Volume {volume_id}" + (f": /{path}" if path else ""),
        "above": {
            "path": (f"{files}/{above}" if above else files) if path else "/volumes",
            "query": {},
            "text": "The directory above" if path else "All volumes",
        },
        "note": f"Files of more than {words.size(MOST_OF_A_FILE)} are for the command line: wherry volume get.",
        "tables": [table("", columns, entries, row_id, "There is nothing in it.")],
    }


async def file(asked: Asked) -> Response:
    """Return a file, to be saved: a browser shows nothing of it."""
    volume_id, path = _asked_for(asked)
    request = VolumeReadRequest(volume_id=volume_id, paths=[f"/{path}"])
    data = bytearray()
    async with aclosing(follow(asked.caller, "Volumes.Read", request)) as pieces:
        async for piece in pieces:
            data += piece.data
            if len(data) > MOST_OF_A_FILE:
                raise WebError(413, f"A browser is given at most {words.size(MOST_OF_A_FILE)}: use wherry volume get.")
    name = quote(path.rpartition("/")[2], safe="")
    headers = [
        (b"content-disposition", f"attachment; filename*=UTF-8''{name}".encode()),
        (b"cache-control", b"no-store"),
    ]
    return Response(bytes(data), kind="application/octet-stream", headers=headers)


def _asked_for(asked: Asked) -> tuple[str, str]:
    volume_id = check_id(asked.parts["volume"], "vo", "volume id")
    return volume_id, asked.parts.get("path", "").strip("/")


PAGES = (
    Page("/volumes", "list.html", of_all, live=("tables",), section="Volumes"),
    Page("/volumes/{volume}/files", "list.html", of_one, section="Volumes"),
    Page("/volumes/{volume}/files/{path*}", "list.html", of_one, section="Volumes"),
)
FEEDS = (Feed("/volumes/{volume}/file/{path*}", file),)
