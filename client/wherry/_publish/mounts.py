"""What of this machine containers get as they start: it is part of no image, so a change of it builds nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry._base.words import counted
from wherry._publish.ignore import matcher
from wherry._publish.local_files import file_of, files_below, module_files
from wherry._publish.resolver import Want
from wherry._publish.shipping import put_tree, send
from wherry_proto.messages import LocalMount

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from wherry._base.mounted import Mounted
    from wherry._connection.client import Client
    from wherry._define.recipe import Recipe
    from wherry._publish.resolver import Resolver
    from wherry._publish.source import SourceFile
    from wherry.mount import Mount

    Mounts = tuple[Mounted, ...]


class LocalFiles(Want[LocalMount]):
    """A file or directory that `Image.add_local_file` and `add_local_dir` name, sent; InvalidError if it is missing."""

    STAGE = 3

    __slots__ = ("_mounted",)

    def __init__(self, mounted: Mounted) -> None:
        super().__init__(mounted)
        self._mounted = mounted

    def bring_up(self, resolver: Resolver) -> LocalMount:
        mounted, client = self._mounted, resolver.client
        files = _files(mounted)
        sent, seconds = send(client, files)
        if sent:
            client.listener.screen.step(
                f"Sent {sent} of {counted(len(files), 'file')} for {mounted.remote} in {seconds:.1f} s"
            )
        is_file = mounted.kind == "file"
        return LocalMount(remote_path=mounted.remote, source_id=put_tree(client, files), is_file=is_file)


def mounts_together(image: Recipe | None, mounts: Iterable[Mount]) -> Mounts:
    """Return what an image, and mounts besides, give containers together."""
    own = image.mounted if image is not None else ()
    return (*own, *(item for mount in mounts for item in mount.mounted))


def module_mounts(mounts: Mounts) -> list[SourceFile]:
    """Return the files of modules that `Image.add_local_python_source` names."""
    return [
        file
        for mounted in mounts
        if mounted.kind == "module"
        for file in module_files("Image.add_local_python_source", mounted.local, mounted.ignore)
    ]


def local_mounts(mounts: Mounts) -> list[LocalFiles]:
    """Return the files and directories among mounts."""
    return [LocalFiles(mounted) for mounted in mounts if mounted.kind != "module"]


def modules_at(client: Client, mounts: Mounts, place: str) -> list[LocalMount]:
    """Send what `Image.add_local_python_source` names, and return where a container is to have it: below `place`."""
    files = module_mounts(mounts)
    if not files:
        return []
    send(client, files)
    return [LocalMount(remote_path=place, source_id=put_tree(client, files))]


def mounted_files(mounts: Mounts) -> Iterator[tuple[Mounted, list[SourceFile]]]:
    """Yield each file and directory that is mounted, with its files as they are now."""
    for mounted in mounts:
        if mounted.kind != "module":
            yield mounted, _files(mounted)


def _files(mounted: Mounted) -> list[SourceFile]:
    if mounted.kind == "file":
        return [file_of("Image.add_local_file", mounted.local, mounted.remote.rpartition("/")[2])]
    return files_below("Image.add_local_dir", mounted.local, matcher(mounted.ignore))
