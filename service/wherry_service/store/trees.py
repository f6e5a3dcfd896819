"""Trees of files as clients send them: what they may hold, and how they are laid down on disk.

A client may be hostile, and the service writes as root: nothing is ever written through a link that a client has named.
"""

from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from wherry_proto.messages import SourceFile
from wherry_service.errors import InvalidRequest

_MOST_LINK = 4095
_MOST_MODE = 0o7777


def checked(what: str, files: Sequence[SourceFile]) -> list[SourceFile]:
    """Return the entries of a tree, their paths normalized, links last; raise `InvalidRequest` for what can't be."""
    found: dict[PurePosixPath, SourceFile] = {}
    for file in files:
        path = PurePosixPath(file.path)
        if not path.parts or path.is_absolute() or ".." in path.parts or "\0" in file.path:
            raise InvalidRequest(f"{what} {file.path[:200]!r} is not relative to the tree's root")
        if sum((bool(file.link), file.directory, bool(file.blob_id))) != 1:
            raise InvalidRequest(f"{what} {file.path[:200]!r} must have a content, or be a link or a directory")
        if "\0" in file.link or len(file.link) > _MOST_LINK or file.mode > _MOST_MODE:
            raise InvalidRequest(f"{what} {file.path[:200]!r} leads to, or allows, what can't be")
        if (known := found.get(path)) is not None and (known.link or file.link):
            raise InvalidRequest(f"{what} {file.path[:200]!r} is there twice, once as a link")
        found[path] = file
    for path, file in found.items():
        for parent in path.parents:
            if (above := found.get(parent)) is not None and not above.directory:
                raise InvalidRequest(f"{what} {file.path[:200]!r} is below {above.path[:200]!r}, which is no directory")
    return sorted(files, key=lambda file: bool(file.link))


def permissions(file: SourceFile) -> int:
    """Return the permission bits of a file or directory."""
    return file.mode or (0o755 if file.executable or file.directory else 0o644)


def lay_down(target: Path, file: SourceFile, write: Callable[[SourceFile, Path], None]) -> None:
    """Make one entry of a checked tree, those with links last; `write` makes what has a content."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if file.link:
        target.symlink_to(file.link)
    elif file.directory:
        target.mkdir(exist_ok=True)
        target.chmod(permissions(file))
    else:
        write(file, target)
