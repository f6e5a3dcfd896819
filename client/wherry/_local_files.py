"""Files of this machine, as an image or a mount names them."""

import importlib.util
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from wherry._source import SourceFile
from wherry.exception import InvalidError

Ignored = Callable[[str], bool]


def file_of(what: str, local: str, name: str | None = None) -> SourceFile:
    """Return a file, under its own or another name; raise InvalidError if it is none."""
    path = Path(local)
    if not path.is_file():
        told = "is a directory" if path.is_dir() else "does not exist"
        raise InvalidError(f"{what}: {local} {told}")
    return _read(what, name or path.name, path)


def files_below(what: str, local: str, ignore: Any) -> list[SourceFile]:
    """Return a directory's files, ordered by path, without what `ignore` names.

    Links are followed where they lead to files; raises InvalidError if there is no such directory.
    """
    root = Path(local)
    if not root.is_dir():
        told = "is a file" if root.exists() else "does not exist"
        raise InvalidError(f"{what}: {local} {told}")
    ignored = matcher(ignore)
    return [_read(what, path, root / path) for path in sorted(_walk(root)) if not ignored(path)]


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
        for path in sorted(_walk(Path(location))):
            if not ignored(path) and "__pycache__" not in path.split("/"):
                found.setdefault(f"{name}/{path}", _read(what, f"{name}/{path}", Path(location, path)))
    return list(found.values())


def matcher(ignore: Any, extra: Iterable[str] = ()) -> Ignored:
    """Return what says whether a path is ignored; patterns are those of a .dockerignore, the last that matches counts.

    A function is asked with each relative path, as `pathlib.Path`.
    """
    if callable(ignore):
        ask = ignore
        return lambda path: bool(ask(Path(path)))
    patterns = [*extra, *ignore]
    if not patterns:
        return lambda path: False
    from pathspec import PathSpec  # only where something is ignored

    # A .dockerignore's patterns begin at the root; git's would match at any depth.
    rooted = [_rooted(pattern.strip()) for pattern in patterns if pattern.strip() and not pattern.startswith("#")]
    spec = PathSpec.from_lines("gitignore", rooted)
    return spec.match_file


def docker_ignored(folder: str, ignore: Any) -> Ignored:
    """Return what a folder's .dockerignore ignores, and `ignore` besides."""
    own = Path(folder, ".dockerignore")
    lines = own.read_text(encoding="utf-8").splitlines() if own.is_file() else []
    if not callable(ignore):
        return matcher(ignore, lines)
    first, second = matcher((), lines), matcher(ignore)
    return lambda path: first(path) or second(path)


def _rooted(pattern: str) -> str:
    negated = "!" if pattern.startswith("!") else ""
    rest = pattern.removeprefix("!").strip().removeprefix("./").lstrip("/")
    return f"{negated}{rest}" if rest.startswith("**") else f"{negated}/{rest}"


def _walk(root: Path) -> Iterator[str]:
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in names:
            path = Path(folder, name)
            if path.is_file():
                yield path.relative_to(root).as_posix()


def _read(what: str, name: str, path: Path) -> SourceFile:
    try:
        return SourceFile(name, path)
    except OSError as error:
        raise InvalidError(f"{what}: {path} can't be read: {error.strerror}") from None
