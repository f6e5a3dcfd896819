"""What of this machine containers get as they start: it is part of no image, so a change of it builds nothing."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from wherry._base.mounted import Mounted
from wherry._publish.ignore import matcher
from wherry._publish.local_files import file_of, files_below, module_files
from wherry._publish.shipping import put_tree, send
from wherry._publish.source import SourceFile
from wherry_proto.messages import LocalMount

if TYPE_CHECKING:
    from wherry._connection.client import Client
    from wherry._define.recipe import Recipe
    from wherry.mount import Mount

Mounts = tuple[Mounted, ...]


def mounts_together(image: "Recipe | None", mounts: "Iterable[Mount]") -> Mounts:
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


def local_mounts(client: "Client", mounts: Mounts) -> list[LocalMount]:
    """Send what `Image.add_local_file` and `add_local_dir` name, and return where containers are to have it.

    Raises InvalidError for what is not there.
    """
    found: list[LocalMount] = []
    for mounted, files in mounted_files(mounts):
        sent, seconds = send(client, files)
        if sent:
            client.listener.screen.step(f"Sent {sent} of {len(files)} files for {mounted.remote} in {seconds:.1f} s")
        is_file = mounted.kind == "file"
        found.append(LocalMount(remote_path=mounted.remote, source_id=put_tree(client, files), is_file=is_file))
    return found


def mounted_files(mounts: Mounts) -> Iterator[tuple[Mounted, list[SourceFile]]]:
    """Yield each file and directory that is mounted, with its files as they are now."""
    for mounted in mounts:
        if mounted.kind == "file":
            yield mounted, [file_of("Image.add_local_file", mounted.local, mounted.remote.rpartition("/")[2])]
        elif mounted.kind == "dir":
            yield mounted, files_below("Image.add_local_dir", mounted.local, matcher(mounted.ignore))
