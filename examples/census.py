"""A census of Python's standard library: every module of the container's own, parsed in containers, in one table.

wherry run examples/census.py
"""

import ast
import os
import socket
import sysconfig
import time
from pathlib import Path
from typing import TypedDict

import wherry

app = wherry.App("census")
image = wherry.Image.debian_slim()

LONGEST = 10


class Module(TypedDict):
    """What is counted of one module."""

    name: str
    lines: int
    functions: int
    classes: int
    nesting: int
    longest: list[tuple[int, str]]
    container: str


def standard_library() -> list[str]:
    """Return the paths of all modules of this interpreter's standard library."""
    root = Path(sysconfig.get_path("stdlib"))
    packages = ("site-packages", "dist-packages")
    return sorted(str(path) for path in root.rglob("*.py") if not any(part in packages for part in path.parts))


def nesting(node: ast.AST) -> int:
    """Return how deep blocks stand inside one another."""
    deeper = isinstance(node, (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.FunctionDef, ast.ClassDef))
    return deeper + max((nesting(child) for child in ast.iter_child_nodes(node)), default=0)


def count(path: str) -> Module:
    """Parse one module and count what is in it."""
    text = Path(path).read_text(errors="replace")
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):  # the library's own tests of the parser hold wrong programs
        tree = ast.Module(body=[], type_ignores=[])
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    lengths = sorted(((f.end_lineno or f.lineno) - f.lineno + 1, f"{Path(path).name}:{f.name}") for f in functions)
    return Module(
        name=path,
        lines=text.count("\n"),
        functions=len(functions),
        classes=sum(isinstance(node, ast.ClassDef) for node in ast.walk(tree)),
        nesting=nesting(tree),
        longest=lengths[-LONGEST:],
        container=f"{socket.gethostname()}:{os.getpid()}",
    )


@app.function(image=image)
def modules() -> list[str]:
    """List the modules of the container's own standard library."""
    return standard_library()


@app.function(image=image, concurrency_limit=4)
def parse(path: str) -> Module:
    """Parse one module, in a container."""
    return count(path)


@app.function(image=image)
def ping() -> None:
    """Do nothing: what a warm call costs."""


@app.local_entrypoint()
def main() -> None:
    """Take the census and print it."""
    from rich.console import Console
    from rich.table import Table

    paths = modules.remote()
    began = time.perf_counter()
    census = list(parse.map(paths))
    seconds = time.perf_counter() - began

    table = Table(
        "", "in all", "most in one module", title=f"{len(census)} modules of the containers' standard library"
    )
    for what in ("lines", "functions", "classes", "nesting"):
        most = max(census, key=lambda module: module[what])
        total = "" if what == "nesting" else f"{sum(module[what] for module in census):,}"
        table.add_row(what, total, f"{most[what]:,}  {Path(most['name']).name}")
    longest = Table("lines", "function", title=f"The {LONGEST} longest functions")
    every = sorted((row for module in census for row in module["longest"]), reverse=True)
    for lines, name in every[:LONGEST]:
        longest.add_row(str(lines), name)
    console = Console()
    console.print(table)
    console.print(longest)

    ping.remote()
    calls, began = 0, time.perf_counter()
    while time.perf_counter() - began < 1.0:
        ping.remote()
        calls += 1

    containers = len({module["container"] for module in census})
    here = standard_library()
    began = time.perf_counter()
    for path in here:
        count(path)
    local = time.perf_counter() - began
    print(f"{len(census)} modules in {seconds:.2f} s by {containers} containers, their start included")
    print(f"{len(here)} modules of this interpreter in {local:.2f} s in one local process")
    print(f"{calls} warm calls per second, one after the other")
