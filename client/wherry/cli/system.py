"""`wherry system`: what takes room on the service's machine, and making some."""

from typing import Any

import typer

from wherry._base.words import counted
from wherry._connection.client import default_client
from wherry._screen.table import Column, Table, size_of
from wherry.cli._common import JSON_OPTION, YES_OPTION, confirm, say, say_sentence, show_json, tell
from wherry.cli._disk import described, lines, warnings
from wherry_proto.messages import (
    ImagePruneRequest,
    ImagePruneResponse,
    ServerDisk,
    ServerDiskRequest,
    ServerInfo,
    ServerInfoRequest,
    ServerPruneCacheRequest,
    ServerPruneCacheResponse,
)

group = typer.Typer(help="Manage disk space.", no_args_is_help=True)

_WHAT = {
    "volumes": "volumes",
    "blobs": "large values, source files",
    "sources": "lists of source files",
    "database": "database",
    "logs": "logs",
    "builds": "files of builds",
    "containers": "files of containers",
    "settings": "keys, sockets, settings",
}
_TABLE: Table[tuple[str, int, str]] = Table(
    Column("what", lambda row: row[0]),
    Column("size", lambda row: size_of(row[1]) or "0 B"),
    Column("details", lambda row: row[2]),
)


@group.command()
def df(as_json: bool = JSON_OPTION) -> None:
    """Show what takes room on the service's machine.

    Example: wherry system df
    """
    client = default_client()
    state_dir = client.call("Server.Info", ServerInfoRequest(), ServerInfo).state_dir
    told = client.call("Server.Disk", ServerDiskRequest(), ServerDisk)
    if as_json:
        show_json(_described(told, state_dir))
        return
    rows = [
        (
            _WHAT.get(part.name, part.name),
            part.bytes,
            counted(part.files, "file") + ("" if part.complete else " and more"),
        )
        for part in told.parts
    ]
    if not told.engine_error:
        rows.append(("images", told.images_bytes, counted(told.num_images, "image")))
        unused = size_of(told.cache_unused_bytes) or "0 B"
        rows.append(("build cache", told.cache_bytes, f"{unused} unused; all builds"))
    if state_dir:
        say(f"State directory: {state_dir}")
    for line in _TABLE.plain(rows):
        say(line)
    if told.engine_error:
        say_sentence(f"Images and build cache: {told.engine_error}")
    for line in lines(told.disks):
        say_sentence(f"Disk: {line}")
    for line in warnings(told.disks):
        tell(line)


@group.command()
def prune(
    days: float | None = typer.Option(None, "--days", min=0, help="Not used for so many days; the service's setting."),
    everything: bool = typer.Option(False, "--all", help="All that nothing uses, however recent."),
    build_cache: bool = typer.Option(False, "--build-cache", help="Build cache too, of all builds on the engine."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Show what would be removed."),
    yes: bool = YES_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Remove images that nothing uses, and build cache.

    The service removes old logs, results and source files by itself. Volumes are never removed.

    Example: wherry system prune --build-cache --dry-run
    """
    older_than = 0.0 if everything else days if days is not None else -1.0
    images = _images(older_than, dry_run=True)
    cache_bytes = _cache(dry_run=True) if build_cache else 0
    removes = bool(images.removed or cache_bytes)
    if not as_json or (removes and not dry_run and not yes):
        for image in images.removed:
            typer.echo(f"{image.image_id}  {size_of(image.size_bytes)}  {image.summary}", err=True)
        typer.echo(
            f"{counted(len(images.removed), 'image')}, at most {size_of(images.freed_bytes) or '0 B'}"
            + (f"; build cache, {size_of(cache_bytes) or '0 B'}" if build_cache else ""),
            err=True,
        )
    if removes and not dry_run:
        confirm("Remove this?", yes)
        if images.removed:
            images = _images(older_than, dry_run=False)
        if cache_bytes:
            cache_bytes = _cache(dry_run=False)
    if as_json:
        show_json(
            {
                "removed": removes and not dry_run,
                "images": [image.image_id for image in images.removed],
                "images_bytes": images.freed_bytes,
                "cache_bytes": cache_bytes,
            }
        )
    elif not removes:
        typer.echo("There is nothing to remove.")
    elif not dry_run:
        typer.echo(f"Removed {counted(len(images.removed), 'image')}" + (" and build cache." if cache_bytes else "."))


def _images(older_than: float, dry_run: bool) -> ImagePruneResponse:
    request = ImagePruneRequest(older_than_days=older_than, dry_run=dry_run)
    return default_client().call("Images.Prune", request, ImagePruneResponse)


def _cache(dry_run: bool) -> int:
    request = ServerPruneCacheRequest(dry_run=dry_run)
    answer = default_client().call("Server.PruneCache", request, ServerPruneCacheResponse)
    return answer.freed_bytes


def _described(told: ServerDisk, state_dir: str) -> dict[str, Any]:
    return {
        "state_dir": state_dir,
        "parts": [
            {"name": part.name, "bytes": part.bytes, "files": part.files, "complete": part.complete}
            for part in told.parts
        ],
        "images": {"count": told.num_images, "bytes": told.images_bytes},
        "build_cache": {"bytes": told.cache_bytes, "unused_bytes": told.cache_unused_bytes},
        "engine_error": told.engine_error,
        "disks": described(told.disks),
    }
