"""A census of Python's standard library: every module of the containers' own, parsed in containers, in one table.

wherry run examples/census.py
"""

import ast
import socket
import sysconfig
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import wherry

app = wherry.App("census", image=wherry.Image.debian_slim())

CONTAINERS = 4
LONGEST = 10
BLOCKS = (
    ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.Match,
    ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef,
)  # fmt: skip


class Counts(TypedDict):
    """What is counted of one module."""

    module: str
    lines: int
    functions: int
    classes: int
    nesting: int
    longest: list[tuple[int, str]]
    container: str


@app.function()
def modules() -> list[str]:
    """List the modules of the container's own standard library, as paths below its root."""
    root = library()
    others = {"site-packages", "dist-packages"}
    return sorted(str(path.relative_to(root)) for path in root.rglob("*.py") if others.isdisjoint(path.parts))


@app.function(max_containers=CONTAINERS)
def parse(module: str) -> Counts:
    """Parse one module, in a container."""
    return count(module, (library() / module).read_text(errors="replace"))


@app.function()
def texts(names: list[str]) -> list[str]:
    """Return the modules' source, so that another interpreter can do the same work."""
    return [(library() / name).read_text(errors="replace") for name in names]


@app.function()
def nothing() -> None:
    """Do nothing: what is left is the cost of a call."""


@app.local_entrypoint()
def main() -> None:
    """Take the census, print it, and say what it cost."""
    names = modules.remote()
    began = time.perf_counter()
    census = list(parse.map(names))
    seconds = time.perf_counter() - began
    show(census)

    sources = texts.remote(names)
    began = time.perf_counter()
    here = [count(name, text) for name, text in zip(names, sources, strict=True)]
    alone = time.perf_counter() - began

    containers = len({counts["container"] for counts in census})
    lines = sum(counts["lines"] for counts in here)
    print(f"{len(census)} modules in {seconds:.2f} s by {containers} containers, the time they took to start included")
    print(f"{len(here)} modules ({lines:,} lines, the same text) in {alone:.2f} s by one local process")
    print(f"{warm_calls_per_second():,.0f} warm calls per second, one after the other")


def library() -> Path:
    """Return where this interpreter's standard library is."""
    return Path(sysconfig.get_path("stdlib"))


def count(module: str, text: str) -> Counts:
    """Parse one module and count what is in it."""
    tree = ast.parse(text)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    lengths = sorted(((f.end_lineno or f.lineno) - f.lineno + 1, f"{f.name} ({module})") for f in functions)
    return Counts(
        module=module,
        lines=text.count("\n"),
        functions=len(functions),
        classes=sum(isinstance(node, ast.ClassDef) for node in ast.walk(tree)),
        nesting=nesting(tree),
        longest=lengths[-LONGEST:],
        container=socket.gethostname(),
    )


def nesting(node: ast.AST) -> int:
    """Return how many blocks stand inside one another at the deepest place."""
    deepest = 0
    for child in ast.iter_child_nodes(node):
        # An elif is an if in the else of another, but it is not a level deeper.
        is_elif = isinstance(node, ast.If) and isinstance(child, ast.If) and node.orelse == [child]
        deepest = max(deepest, nesting(child) - is_elif)
    return deepest + isinstance(node, BLOCKS)


def show(census: Sequence[Counts]) -> None:
    """Print the tables."""
    from rich.console import Console  # noqa: PLC0415 - start-up cost: the containers have no rich, and import this file too
    from rich.table import Table  # noqa: PLC0415 - start-up cost: as above

    table = Table(
        "", "in all", "most in one module", title=f"{len(census)} modules of the containers' standard library"
    )
    for what in ("lines", "functions", "classes", "nesting"):
        most = max(census, key=lambda counts: counts[what])
        total = "" if what == "nesting" else f"{sum(counts[what] for counts in census):,}"
        table.add_row(what, total, f"{most[what]:,}  {most['module']}")
    longest = Table("lines", "function", title=f"The {LONGEST} longest functions")
    for lines, name in sorted((row for counts in census for row in counts["longest"]), reverse=True)[:LONGEST]:
        longest.add_row(str(lines), name)
    console = Console()
    console.print(table, longest)


def warm_calls_per_second() -> float:
    """Call a function that does nothing for a second."""
    nothing.remote()
    calls, began = 0, time.perf_counter()
    while (passed := time.perf_counter() - began) < 1:
        nothing.remote()
        calls += 1
    return calls / passed
