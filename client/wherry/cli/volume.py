"""`wherry volume` and `wherry nfs`: directories that functions and programs share."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from wherry._base.words import counted
from wherry._objects.volume_download import Download
from wherry._objects.volume_files import VolumeFiles
from wherry._objects.volume_upload import UploadBatch
from wherry._screen.harmless import in_one_line
from wherry._screen.table import Column, Kind, size_of
from wherry.cli import _shared
from wherry.cli._common import (
    ALLOW_MISSING_OPTION,
    ENVIRONMENT_OPTION,
    JSON_OPTION,
    NEVER_ASKS_OPTION,
    YES_OPTION,
    confirm,
    show_json,
    time_of,
)
from wherry.cli._listing import Listing, show_rows
from wherry.cli._usage import UsageError
from wherry.network_file_system import NetworkFileSystem
from wherry.output import screen_for_stderr
from wherry.volume import FileEntry, FileEntryType, Volume
from wherry_proto.messages import ObjectInfo

# What programs of 2023 and 2024 import from here.
FileType = FileEntryType

_NAME = typer.Argument(help="Name of it.")
_FORCE = typer.Option(False, "-f", "--force", help="Replace what is there.")
_RECURSIVE = typer.Option(False, "-r", "--recursive", help="Directories, too, with all below.")


Found = Callable[[str, str | None], VolumeFiles]
"""Returns the one of a name, in an environment."""


def group_of(cls: type[VolumeFiles], name: str, what: str) -> typer.Typer:
    """Return the commands for one kind of directories."""
    group = typer.Typer(help=f"Manage {what} that programs share.", no_args_is_help=True)

    def found(name: str, environment: str | None) -> VolumeFiles:
        return cls.lookup(name, environment_name=environment)

    _add_whole(group, cls, name, found)
    _add_files(group, found)
    return group


def _add_whole(group: typer.Typer, cls: type[VolumeFiles], command: str, found: Found) -> None:
    """Add what is done with such a directory as a whole."""

    @group.command()
    def create(name: str = _NAME, environment: str | None = ENVIRONMENT_OPTION, as_json: bool = JSON_OPTION) -> None:
        """Create one if it does not exist."""
        _shared.make(cls, name, environment, as_json)

    @group.command("list")
    @_shared.listed(cls, command=command).command()
    def list_all(environment: str | None = ENVIRONMENT_OPTION, *, listing: Listing[ObjectInfo]) -> None:
        """List those of an environment."""
        listing.show(lambda: _shared.objects(cls, environment))

    @group.command()
    def delete(
        name: str = _NAME,
        yes: bool = YES_OPTION,
        allow_missing: bool = ALLOW_MISSING_OPTION,
        force: bool = typer.Option(False, "-f", "--force", help="Also while functions use it."),
        environment: str | None = ENVIRONMENT_OPTION,
        as_json: bool = JSON_OPTION,
    ) -> None:
        """Delete one with all it holds."""
        with _shared.missing_allowed(allow_missing):
            one = found(name, environment)
        confirm(f"Delete {cls._kind} {name} with all its files?", yes)
        info = one.discard(force)
        if as_json:
            show_json({f"{cls._kind}_id": info.object_id, "name": name})
        else:
            typer.echo(f"Deleted {cls._kind} {name}.")

    @group.command()
    def rename(
        name: str = _NAME,
        new_name: str = typer.Argument(help="The name it is to have."),
        yes: bool = NEVER_ASKS_OPTION,
        environment: str | None = ENVIRONMENT_OPTION,
    ) -> None:
        """Rename one; its files stay."""
        cls.rename(name, new_name, environment_name=environment)
        typer.echo(f"{name} is called {new_name} now.")


def _add_files(group: typer.Typer, found: Found) -> None:
    """Add what is done with its files."""

    @group.command()
    def ls(
        name: str = _NAME,
        path: str = typer.Argument("/", help="Path in it."),
        recursive: bool = _RECURSIVE,
        environment: str | None = ENVIRONMENT_OPTION,
        as_json: bool = JSON_OPTION,
    ) -> None:
        """List a directory."""
        entries = found(name, environment).listdir(path, recursive=recursive)
        if as_json:
            show_json(
                [
                    {
                        "path": entry.path,
                        "type": entry.type.name.lower(),
                        "size": entry.size,
                        "modified_at": time_of(entry.mtime * 1000),
                    }
                    for entry in entries
                ]
            )
            return
        if not entries:
            typer.echo(f"{path} of {name} is empty.", err=True)
            return
        show_rows(
            Column[FileEntry]("path", lambda entry: _shown(entry.path, entry.type)),
            Column[FileEntry]("size", lambda entry: entry.size, Kind.SIZE, leaves=1),
            Column[FileEntry]("modified", lambda entry: entry.mtime * 1000, Kind.TIME, leaves=2),
            rows=entries,
        )

    @group.command()
    def put(
        name: str = _NAME,
        local: str = typer.Argument(help="File or directory here."),
        remote: str = typer.Argument("/", help="Path in it; one that ends with / is a directory."),
        force: bool = _FORCE,
        environment: str | None = ENVIRONMENT_OPTION,
    ) -> None:
        """Upload a file, or a directory with all below. Given again, it goes on where it broke off."""
        one = found(name, environment)
        batch = UploadBatch(one, force, "--force")
        if Path(local).is_dir():
            into_it = remote.endswith("/")
            inner = f"{remote}{Path(local).resolve().name}" if into_it else remote
            batch.put_directory(local, inner)
        else:
            batch.put_file(local, remote)
        with _bar(f"Uploading {local}", batch.size) as report:
            batch.upload(report)
        typer.echo(f"Uploaded {counted(len(batch), 'file')} ({size_of(batch.size) or '0 B'}) to {name}.", err=True)

    @group.command()
    def get(
        name: str = _NAME,
        remote: str = typer.Argument(help="File or directory in it."),
        local: str = typer.Argument(".", help="Where it goes here; - writes a file to standard output."),
        force: bool = _FORCE,
        environment: str | None = ENVIRONMENT_OPTION,
    ) -> None:
        """Download a file, or a directory with all below."""
        one = found(name, environment)
        if local == "-":
            for data in one.read_file(remote):
                sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            return
        download = Download(one, remote, local, force)
        with _bar(f"Downloading {remote}", download.size) as report:
            download.run(report)
        for path in download.skipped:
            typer.echo(f"Left out {in_one_line(path)}: it is a link, no plain file, or its name is no text.", err=True)
        size = size_of(download.size) or "0 B"
        typer.echo(f"Downloaded {counted(len(download.files), 'file')} ({size}) to {download.target}.", err=True)

    @group.command()
    def cp(
        name: str = _NAME,
        paths: list[str] = typer.Argument(help="Paths in it; the last is where the others go."),
        recursive: bool = _RECURSIVE,
        environment: str | None = ENVIRONMENT_OPTION,
    ) -> None:
        """Copy within it, as cp does."""
        if len(paths) < 2:
            raise UsageError("cp takes at least two paths: what is copied, and where it goes")
        count = found(name, environment).copy_files(paths[:-1], paths[-1], recursive=recursive)
        typer.echo(f"Copied {counted(count, 'file')}.", err=True)

    @group.command()
    def rm(
        name: str = _NAME,
        path: str = typer.Argument(help="File or directory in it."),
        recursive: bool = _RECURSIVE,
        yes: bool = YES_OPTION,
        environment: str | None = ENVIRONMENT_OPTION,
    ) -> None:
        """Remove a file, or with -r a directory.

        It asks before it removes a directory with all below.
        """
        one = found(name, environment)
        if recursive:
            confirm(f"Remove {path} of {name} with all below?", yes)
        one.remove_file(path, recursive=recursive)


def _shown(path: str, kind: FileEntryType) -> str:
    return path + {FileEntryType.DIRECTORY: "/", FileEntryType.SYMLINK: "@"}.get(kind, "")


@contextmanager
def _bar(what: str, size: int) -> Iterator[Callable[[int], None]]:
    """Show how far a transfer is: what is sent may be asked for on standard output."""
    transfer = screen_for_stderr().transfer(what, size)
    try:
        yield transfer.advance
    finally:
        transfer.end()


volumes = group_of(Volume, "volume", "volumes: directories")
file_systems = group_of(NetworkFileSystem, "nfs", "network file systems: directories")
