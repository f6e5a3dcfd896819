"""Files of this machine, as an image or a mount names them."""

import importlib.util
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wherry._base.walk import folders_below, link_in, walk
from wherry._publish.ignore import Either, Ignored, lines_of, matcher
from wherry._publish.source import SourceFile
from wherry.exception import InvalidError


def file_of(what: str, local: str, name: str | None = None) -> SourceFile:
    """Return a file, under its own or another name; raise InvalidError if it is none."""
    path = Path(local)
    if not path.is_file():
        told = "is a directory" if path.is_dir() else "does not exist"
        raise InvalidError(f"{what}: {local} {told}")
    return _read(what, name or path.name, path)


# Those that come of a usual umask: whether it is executable says all.
_USUAL_MODES = frozenset((0o644, 0o664, 0o666, 0o755, 0o775, 0o777))


def files_below(what: str, local: str, ignored: Ignored, *, with_modes: bool = False) -> list[SourceFile]:
    """Return what is below a directory, ordered by path, without what is ignored.

    Links stay links, but for those to files outside, which are followed; empty directories stay too. `with_modes`: with
    the permissions of what not everybody may read. Raises InvalidError if there is no such directory.
    """
    root = Path(local)
    if not root.is_dir():
        told = "is a file" if root.exists() else "does not exist"
        raise InvalidError(f"{what}: {local} {told}")
    found = [_read(what, path, root / path) for path in walk(root, ignored, with_links=False)]
    found += _without_content(root, ignored)
    if with_modes:
        for file in found:
            if not file.link and (mode := stat.S_IMODE(file.local.stat().st_mode)) not in _USUAL_MODES:
                file.mode = mode
    return sorted(found, key=lambda file: file.path)


def _without_content(root: Path, ignored: Ignored) -> Iterator[SourceFile]:
    """Yield the links that stay links, and the empty directories."""
    for folder, folders, names in folders_below(root, ignored):
        for name in (*folders, *names):
            place = folder / name
            relative = place.relative_to(root).as_posix()
            if place.is_symlink():
                if not ignored(relative) and (link := link_in(root, place)):
                    yield SourceFile(relative, place, link=link)
            elif name in folders and not ignored(relative) and not os.listdir(place):
                yield SourceFile(relative, place, directory=True)


def module_files(what: str, name: str, ignore: Any) -> list[SourceFile]:
    """Return the files of a module or package that can be imported here, under its name."""
    if "." in name:
        raise InvalidError(f"{what}: {name!r} is inside a package; name the whole, {name.partition('.')[0]!r}")
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None or (spec.origin in (None, "built-in", "frozen") and not spec.submodule_search_locations):
        raise InvalidError(f"{what}: no module {name!r} with source can be imported here")
    if not spec.submodule_search_locations:
        assert spec.origin is not None
        file = Path(spec.origin)
        return [_read(what, file.name, file)]
    ignored = matcher(ignore)
    found: dict[str, SourceFile] = {}
    for location in spec.submodule_search_locations:
        for path in sorted(walk(Path(location), ignored)):
            if "__pycache__" not in path.split("/"):
                found.setdefault(f"{name}/{path}", _read(what, f"{name}/{path}", Path(location, path)))
    return list(found.values())


def docker_ignored(folder: str, ignore: Any, dockerfile: str | None = None) -> Ignored:
    """Return what a folder's .dockerignore leaves out, and `ignore` besides.

    Beside a Dockerfile of another name, NAME.dockerignore is read instead of it, as Docker does.
    """
    own = Path(folder, ".dockerignore")
    if dockerfile is not None and (named := Path(f"{dockerfile}.dockerignore")).is_file():
        own = named
    lines: list[str] = []
    if own.is_file():
        try:
            lines = lines_of(own.read_text(encoding="utf-8-sig"))
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidError(f"{own} can't be read: {error}") from None
    return Either(matcher((), lines), matcher(ignore)) if callable(ignore) else matcher(ignore, lines)


def _read(what: str, name: str, path: Path) -> SourceFile:
    try:
        return SourceFile(name, path)
    except OSError as error:
        raise InvalidError(f"{what}: {path} can't be read: {error.strerror}") from None
