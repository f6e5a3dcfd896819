"""The shape of the code: rooms (files), floors, circles, imports upward, long files, large classes, private reaches.

`./dev structure` prints it; `./dev lint` runs it with --check, which prints only what is wrong. Exit code 1 where files
import each other in a circle, or a lower floor imports a higher one. All imports count: also those inside functions and
those that only type checkers read. The floors are those that pyproject.toml tells import-linter.

A file of more than 500 lines, or a class of more than 30 methods or 15 attributes, says why in a comment
`# large: why`: in the first lines of the file, or directly above the class.
"""

import argparse
import ast
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {
    "wherry": ROOT / "client/wherry",
    "wherry_service": ROOT / "service/wherry_service",
    "wherry_runner": ROOT / "images/runner/wherry_runner",
}
MAX_LINES = 500
MAX_METHODS = 30
MAX_ATTRIBUTES = 15
# What says why something is large.
REASON = "# large:"
# Lines at a file's beginning in which it may say so.
HEAD = 5


@dataclass
class Class:
    """A class: where it is, and how much it has."""

    name: str
    methods: int
    attributes: int
    has_reason: bool

    @property
    def is_large(self) -> bool:
        """Whether it should say why."""
        return self.methods > MAX_METHODS or self.attributes > MAX_ATTRIBUTES


@dataclass
class Room:
    """A file: what it imports of its own package, by module, and what it holds."""

    name: str
    lines: int
    has_reason: bool
    imports: set[str] = field(default_factory=set)
    classes: list[Class] = field(default_factory=list)


def rooms_of(folder: Path) -> dict[str, Room]:
    """Return the modules of a package, by their dotted names."""
    paths = {_module_name(folder, path): path for path in sorted(folder.rglob("*.py"))}
    rooms: dict[str, Room] = {}
    for name, path in paths.items():
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines()
        tree = ast.parse(text)
        has_reason = any(line.startswith(REASON) for line in lines[:HEAD])
        room = rooms[name] = Room(name, len(lines), has_reason)
        room.imports = {found for found in _imports(tree, name, path, paths) if found != name}
        room.classes = [_class(node, lines) for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return rooms


def _module_name(folder: Path, path: Path) -> str:
    parts = path.relative_to(folder.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(tree: ast.AST, name: str, path: Path, known: Iterable[str]) -> Iterator[str]:
    """Yield the modules of the package that a module imports, wherever in it."""
    modules = set(known)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            above = ".".join(package.split(".")[: len(package.split(".")) + 1 - node.level]) if node.level else ""
            origin = ".".join(part for part in (above, node.module or "") if part)
            for alias in node.names:
                # A name is a module of a package, or something that a module has.
                inner = f"{origin}.{alias.name}"
                if inner in modules or origin in modules:
                    yield inner if inner in modules else origin


def _class(node: ast.ClassDef, lines: list[str]) -> Class:
    methods = {item.name for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)}
    attributes: set[str] = set()
    for item in node.body:
        if isinstance(item, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__slots__" for t in item.targets):
            attributes |= {str(part.value) for part in ast.walk(item.value) if isinstance(part, ast.Constant)}
        elif isinstance(item, ast.FunctionDef) and item.name == "__init__":
            attributes |= {
                part.attr
                for part in ast.walk(item)
                if isinstance(part, ast.Attribute)
                and isinstance(part.ctx, ast.Store)
                and isinstance(part.value, ast.Name)
                and part.value.id == "self"
            }
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) - 1
    above: list[str] = []
    while first and lines[first - 1].lstrip().startswith("#"):
        first -= 1
        above.append(lines[first].strip())
    return Class(node.name, len(methods), len(attributes), any(line.startswith(REASON) for line in above))


def circles_of(rooms: dict[str, Room]) -> list[list[str]]:
    """Return the groups of modules that import each other, directly or by way of others."""
    found: list[list[str]] = []
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []

    def visit(name: str) -> None:
        order[name] = lowest[name] = len(order)
        stack.append(name)
        for other in sorted(rooms[name].imports):
            if other not in order:
                visit(other)
                lowest[name] = min(lowest[name], lowest[other])
            elif other in stack:
                lowest[name] = min(lowest[name], order[other])
        if lowest[name] == order[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                found.append(sorted(group))

    for name in rooms:
        if name not in order:
            visit(name)
    return found


def floors_of(rooms: dict[str, Room]) -> int:
    """Return how many floors there are: the most modules above each other. Circles count as if they were cut."""
    heights: dict[str, int] = {}

    def height(name: str, below: frozenset[str]) -> int:
        if name not in heights:
            others = [other for other in rooms[name].imports if other not in below]
            heights[name] = 1 + max((height(other, below | {name}) for other in others), default=0)
        return heights[name]

    return max((height(name, frozenset()) for name in rooms), default=0)


def layers_of(package: str, settings: dict[str, object]) -> list[list[str]]:
    """Return a package's layers as import-linter is told them, the highest first, each its modules' names."""
    contracts = settings["tool"]["importlinter"]["contracts"]  # type: ignore[index]
    for contract in contracts:
        if contract["type"] == "layers" and contract["containers"] == [package]:
            return [[f"{package}.{name.strip('() ')}" for name in row.split(":")] for row in contract["layers"]]
    return []


def upward_of(rooms: dict[str, Room], layers: list[list[str]]) -> list[tuple[str, str]]:
    """Return the imports of a higher layer by a lower one, as pairs of modules."""
    rank = {name: number for number, row in enumerate(layers) for name in row}

    def rank_of(module: str) -> int | None:
        return rank.get(".".join(module.split(".")[:2]))

    found = []
    for room in rooms.values():
        for other in sorted(room.imports):
            lower, higher = rank_of(room.name), rank_of(other)
            if lower is not None and higher is not None and higher < lower:
                found.append((room.name, other))
    return found


def reaches_in(folder: Path) -> int:
    """Return how often code reaches for another object's private names, as ruff counts them."""
    ruff = Path(sys.executable).with_name("ruff")
    command = [str(ruff), "check", "--select", "SLF001", "--output-format", "json", "--exit-zero", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return len(json.loads(done.stdout))


def too_large(rooms: dict[str, Room]) -> list[str]:
    """Return what is too large and does not say why, a line for each."""
    found = []
    for room in rooms.values():
        if room.lines > MAX_LINES and not room.has_reason:
            found.append(f"{room.name}: {room.lines} lines, of at most {MAX_LINES}")
        for item in room.classes:
            if item.is_large and not item.has_reason:
                found.append(
                    f"{room.name}.{item.name}: {item.methods} methods, {item.attributes} attributes, of at most "
                    f"{MAX_METHODS} and {MAX_ATTRIBUTES}"
                )
    return found


def main() -> None:
    """Print each package's shape; exit with 1 where it is not as it has to be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="Print only what is wrong.")
    quiet = parser.parse_args().check
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    faults: list[str] = []
    for package, folder in PACKAGES.items():
        rooms = rooms_of(folder)
        circles = circles_of(rooms)
        upward = upward_of(rooms, layers_of(package, settings))
        large = too_large(rooms)
        faults += [f"{package}: {len(group)} files in one circle: {', '.join(group)}" for group in circles]
        faults += [f"{one} imports {other}, which is on a higher floor" for one, other in upward]
        faults += large
        if not quiet:
            _show(package, folder, rooms, circles, upward, large)
    for fault in faults:
        print(fault, file=sys.stderr)
    if faults and any("lines, of at most" in fault or "methods," in fault for fault in faults):
        print(f"past a limit: which two things is it? Or write why it is one, as `{REASON} why`", file=sys.stderr)
    sys.exit(1 if faults else 0)


def _show(
    package: str,
    folder: Path,
    rooms: dict[str, Room],
    circles: list[list[str]],
    upward: list[tuple[str, str]],
    large: list[str],
) -> None:
    longest = max(rooms.values(), key=lambda room: room.lines)
    classes = [(room, item) for room in rooms.values() for item in room.classes]
    methods_in, methods = max(classes, key=lambda pair: pair[1].methods)
    attributes_in, attributes = max(classes, key=lambda pair: pair[1].attributes)
    print(
        f"{package}: {len(rooms)} rooms, {sum(room.lines for room in rooms.values())} lines, {floors_of(rooms)} floors"
    )
    in_circles = sum(len(group) for group in circles)
    print(f"  circles {len(circles)} ({in_circles} rooms), imports upward {len(upward)}")
    print(f"  longest room: {longest.name}, {longest.lines} lines")
    print(f"  most methods: {methods_in.name}.{methods.name}, {methods.methods}")
    print(f"  most attributes: {attributes_in.name}.{attributes.name}, {attributes.attributes}")
    print(f"  reaches for private names, without a reason: {reaches_in(folder)}")
    for line in large:
        print(f"  past a limit, without a reason: {line}")


if __name__ == "__main__":
    main()
