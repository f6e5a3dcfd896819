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

_SKIPPED = frozenset(("__pycache__", "node_modules"))
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
            self._read()

    def _read(self) -> None:
        digest = hashlib.sha256()
        with self.local.open("rb", buffering=0) as file:
            while data := file.read(_PIECE):
                digest.update(data)
                self.size += len(data)
        self.blob_id = f"sha256:{digest.hexdigest()}"
        self.executable = os.access(self.local, os.X_OK)


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
        root, top = located
        first_root = first_root or root
        _add(found, root, top)
    return [SourceFile(path, local) for path, local in sorted(found.items())], first_root


def _locate(module: ModuleType) -> tuple[Path, str] | None:
    """Return the root of a module's tree and the name of its top-level module or package; None if it has no file."""
    file = getattr(module, "__file__", None)
    if not file:
        return None
    path = Path(file).resolve()
    spec = getattr(module, "__spec__", None)
    name = spec.name if module.__name__ == "__main__" and spec is not None else module.__name__
    if name == "__main__":
        return path.parent, path.stem
    parents = name.count(".") + (1 if path.name == "__init__.py" else 0)
    return path.parents[parents], name.partition(".")[0]


def _add(found: dict[str, Path], root: Path, top: str) -> None:
    waiting = [top]
    seen: set[str] = set()
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
    if module.is_file() and not _is_installed(module):
        yield module
    elif (
        package.is_dir() and not _is_installed(package) and (name in sys.modules or (package / "__init__.py").exists())
    ):
        yield from _walk(package)


def _walk(folder: Path) -> Iterator[Path]:
    for path, folders, files in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if name not in _SKIPPED and not name.startswith(".") and not Path(path, name, "pyvenv.cfg").exists()
        )
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


def _is_installed(path: Path) -> bool:
    """Whether a path is part of Python or of a place where packages are installed."""
    if {"site-packages", "dist-packages"} & set(path.parts):
        return True
    paths = sysconfig.get_paths()
    libraries = {paths["stdlib"], paths["platstdlib"], paths["purelib"], paths["platlib"], site.getusersitepackages()}
    return any(path.is_relative_to(library) for library in libraries)
