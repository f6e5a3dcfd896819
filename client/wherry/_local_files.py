"""Files of this machine, as an image or a mount names them."""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wherry._ignore import Either, Ignored, lines_of, matcher
from wherry._source import SourceFile
from wherry.exception import InvalidError


def file_of(what: str, local: str, name: str | None = None) -> SourceFile:
    """Return a file, under its own or another name; raise InvalidError if it is none."""
    path = Path(local)
    if not path.is_file():
        told = "is a directory" if path.is_dir() else "does not exist"
        raise InvalidError(f"{what}: {local} {told}")
    return _read(what, name or path.name, path)


def files_below(what: str, local: str, ignored: Ignored) -> list[SourceFile]:
    """Return a directory's files, ordered by path, without what is ignored.

    Links are followed where they lead to files; raises InvalidError if there is no such directory.
    """
    root = Path(local)
    if not root.is_dir():
        told = "is a file" if root.exists() else "does not exist"
        raise InvalidError(f"{what}: {local} {told}")
    return [_read(what, path, root / path) for path in sorted(walk(root, ignored))]


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


def walk(root: Path, ignored: Ignored | None = None) -> Iterator[str]:
    """Yield the relative paths of the files below a directory. What is left out is neither looked into nor read."""
    for folder, folders, names in os.walk(root):
        below = Path(folder).relative_to(root)
        folders.sort()
        if ignored is not None:
            folders[:] = [name for name in folders if not ignored.is_whole((below / name).as_posix())]
        for name in names:
            relative = (below / name).as_posix()
            if not (ignored is not None and ignored(relative)) and Path(folder, name).is_file():
                yield relative


def _read(what: str, name: str, path: Path) -> SourceFile:
    try:
        return SourceFile(name, path)
    except OSError as error:
        raise InvalidError(f"{what}: {path} can't be read: {error.strerror}") from None
