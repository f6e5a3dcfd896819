"""The user's source: which files a container needs to import the functions, as `python file.py` would see them."""

import ast
import functools
import hashlib
import os
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import BinaryIO

from wherry._base.code import script_name
from wherry.exception import InvalidError

_SKIPPED = frozenset(("__pycache__", "node_modules"))
_COMPILED = frozenset((".so", ".pyd", ".pyc"))
# Bytes of a file that are in memory at once.
_PIECE = 1 << 20


class SourceFile:
    """A file to ship: its path in the tree, where it is here, and its content's hash.

    A link (`link`: where it leads) and an empty directory have no content, and no hash.
    """

    __slots__ = ("blob_id", "directory", "executable", "link", "local", "mode", "path", "size")

    def __init__(self, path: str, local: Path, *, link: str = "", directory: bool = False, mode: int = 0) -> None:
        self.path = path
        self.local = local
        self.link = link
        self.directory = directory
        # Permission bits where they matter, 0: those that `executable` stands for.
        self.mode = mode
        self.size = 0
        self.blob_id = ""
        self.executable = False
        if not link and not directory:
            self.read()
            self.executable = os.access(self.local, os.X_OK)

    def read(self, copy: BinaryIO | None = None) -> None:
        """Read the content as it is now, and write it to `copy`."""
        digest, size = hashlib.sha256(), 0
        with self.local.open("rb", buffering=0) as file:
            while data := file.read(_PIECE):
                digest.update(data)
                size += len(data)
                if copy is not None:
                    copy.write(data)
        self.size, self.blob_id = size, f"sha256:{digest.hexdigest()}"


def source_files(modules: Iterable[ModuleType]) -> tuple[list[SourceFile], Path | None]:
    """List what to ship for the modules that define functions, ordered by path; and the root of the first.

    For a module: its file, or the whole of its top-level package; then, from the same tree, the local modules that
    these import, wherever the import stands. Not the standard library, nor what is installed.
    """
    found: dict[str, Path] = {}
    first_root: Path | None = None
    for module in modules:
        located = _locate(module)
        if located is None:
            continue
        root, top, own = located
        first_root = first_root or root
        _add(found, root, top, own)
    return list(_read(found)), first_root


def _read(found: dict[str, Path]) -> Iterator[SourceFile]:
    for path, local in sorted(found.items()):
        try:
            yield SourceFile(path, local)
        except FileNotFoundError:
            continue  # it was there a moment ago
        except OSError as error:
            raise InvalidError(f"{local}, which belongs to your code, can't be read: {error.strerror}") from None


def _locate(module: ModuleType) -> tuple[Path, str, Path] | None:
    """Return the root of a module's tree, the name of its top-level module or package, and its file; None without one.

    As Python itself looks for modules: a script's beside the file that a link to it leads to, others as they are.
    """
    file = getattr(module, "__file__", None)
    if not file:
        return None
    path = Path(os.path.abspath(file))
    spec = getattr(module, "__spec__", None)
    name = spec.name if module.__name__ == "__main__" and spec is not None else module.__name__
    if name == "__main__":
        path = path.resolve()
        return path.parent, script_name(str(path)), path
    parents = name.count(".") + (1 if path.name == "__init__.py" else 0)
    return path.parents[parents], name.partition(".")[0], path


def _add(found: dict[str, Path], root: Path, top: str, own: Path) -> None:
    waiting = [top]
    seen: set[str] = set()
    if own.parent == root and own.suffix not in _COMPILED and not is_installed(own) and own.is_file():
        # Under its module's name, whatever the file is called.
        found[f"{top}.py"] = own
        waiting = list(_imports(own))
        seen.add(top)
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for local in _files_of(root, name):
            found[local.relative_to(root).as_posix()] = local
            if local.suffix == ".py":
                waiting.extend(_imports(local))


def _files_of(root: Path, name: str) -> Iterator[Path]:
    """Yield the files of a top-level module or package of this tree; nothing if it is not of this tree."""
    package, module = root / name, root / f"{name}.py"
    if module.is_file() and not is_installed(module):
        yield module
    elif package.is_dir() and not is_installed(package) and _is_package(package, name):
        yield from _walk(package)


def _is_package(folder: Path, name: str) -> bool:
    """Whether Python has, or would have, a package in that folder: it may be one of data with a package's name."""
    if (folder / "__init__.py").exists():
        return True
    try:
        places = list(sys.modules[name].__path__)
    except (KeyError, AttributeError, TypeError):
        return False
    return any(os.path.realpath(place) == os.path.realpath(folder) for place in places)


def _walk(folder: Path) -> Iterator[Path]:
    # Python imports what is behind links to directories; one that leads back up would have no end.
    above = {str(folder): {os.path.realpath(folder)}}
    for path, folders, files in os.walk(folder, followlinks=True):
        within = above.pop(path)
        folders[:] = sorted(
            name
            for name in folders
            if name not in _SKIPPED
            and not name.startswith(".")
            and not Path(path, name, "pyvenv.cfg").exists()
            and os.path.realpath(os.path.join(path, name)) not in within
        )
        for name in folders:
            inner = os.path.join(path, name)
            above[inner] = within | {os.path.realpath(inner)}
        for name in sorted(files):
            local = Path(path, name)
            if not name.startswith(".") and not name.endswith((".pyc", ".pyo")) and local.is_file():
                yield local


def _imports(file: Path) -> frozenset[str]:
    """Return the top-level names that a file imports, anywhere in it."""
    status = file.stat()
    return _imports_of(file, status.st_mtime_ns, status.st_size)


@functools.lru_cache(4096)
def _imports_of(file: Path, mtime_ns: int, size: int) -> frozenset[str]:
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return frozenset()  # Python will say so itself, in the container
    names: set[str] = set()
    # An import is a statement: no expression needs to be looked into, and those are most of a tree.
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.module and not node.level:
                names.add(node.module.partition(".")[0])
        else:
            for part in ("body", "orelse", "finalbody", "handlers", "cases"):
                inner = getattr(node, part, None)
                if isinstance(inner, list):
                    waiting.extend(inner)
    return frozenset(names)


def is_installed(path: Path) -> bool:
    """Whether a path is part of Python or of a place where packages are installed, also behind links."""
    paths = sysconfig.get_paths()
    libraries = {paths["stdlib"], paths["platstdlib"], paths["purelib"], paths["platlib"], site.getusersitepackages()}
    return any(
        {"site-packages", "dist-packages"} & set(place.parts)
        or any(place.is_relative_to(library) for library in libraries)
        for place in {path, path.resolve()}
    )
