"""The files below a directory of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from wherry.exception import InvalidError


class Ignored(Protocol):
    """What is left out: told a path relative to the directory, with slashes."""

    def __call__(self, path: str, /) -> bool:
        """Whether a path is left out."""

    def is_whole(self, path: str, /) -> bool:
        """Whether all that is below a path is left out."""


def link_in(root: Path, place: Path) -> str:
    """Return where a link leads, as it can be said within the tree; "" if its content is to be taken instead."""
    target = os.readlink(place)
    inside = os.path.normpath(place.parent / target)
    if inside == str(root) or inside.startswith(f"{root}{os.sep}"):
        return target if not os.path.isabs(target) else os.path.relpath(inside, place.parent)
    return "" if place.is_file() else target


def walk(root: Path, ignored: Ignored | None = None, *, with_links: bool = True) -> Iterator[str]:
    """Yield the relative paths of the files below a directory. What is left out is neither looked into nor read.

    Without `with_links` links that stay links are left out.
    """
    for folder, _, names in folders_below(root, ignored):
        for name in names:
            place = folder / name
            relative = place.relative_to(root).as_posix()
            if (
                not (ignored is not None and ignored(relative))
                and place.is_file()
                and (with_links or not place.is_symlink() or not link_in(root, place))
            ):
                yield relative


def folders_below(root: Path, ignored: Ignored | None) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yield each directory with the names of what is in it, but for directories of which all is ignored."""

    def refuse(error: OSError) -> None:
        raise InvalidError(f"{error.filename} can't be read: {error.strerror}") from None

    for folder, folders, names in os.walk(root, onerror=refuse):
        below = Path(folder).relative_to(root)
        folders.sort()
        if ignored is not None:
            folders[:] = [name for name in folders if not ignored.is_whole((below / name).as_posix())]
        yield Path(folder), folders, names
