"""The pages on the inside name what there is: files, tests, classes and their parts, and each other."""

import ast
import builtins
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from wherry_proto.services import METHODS

ROOT = Path(__file__).parents[2]
PAGES = sorted([*(ROOT / "docs/internals").glob("*.md"), ROOT / "CONTRIBUTING.md"])
SOURCES = ("client", "service", "images", "protos", "tests", "chaos", "benchmarks", "docs", "ci")
# Classes that are not ours.
OTHERS = {*dir(builtins), "PickleBuffer"}
# What programs write where they run.
WRITTEN = {"faults.txt"}
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


@cache
def files() -> list[str]:
    return [str(path.relative_to(ROOT)) for folder in SOURCES for path in (ROOT / folder).rglob("*.*")]


@cache
def classes() -> dict[str, set[str]]:
    """Return what there is in each class, by its name; of classes of one name, of all of them."""
    found: dict[str, set[str]] = {}
    bases: dict[str, set[str]] = {}
    for name in files():
        if not name.endswith(".py") or "_pb2" in name:
            continue
        for node in ast.walk(ast.parse((ROOT / name).read_text())):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, set()).update(_parts(node))
                bases.setdefault(node.name, set()).update(base.id for base in node.bases if isinstance(base, ast.Name))
    return {name: parts.union(*(found.get(base, ()) for base in bases[name])) for name, parts in found.items()}


def _parts(node: ast.ClassDef) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
            yield inner.name
        elif isinstance(inner, ast.Attribute):
            yield inner.attr
        elif isinstance(inner, ast.Name):
            yield inner.id


def code(page: Path) -> set[str]:
    """Return what the page has in code's letters within its sentences."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return set(re.findall(r"`([^`\n]+)`", text))


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"there is no {target}"


@each_page
def test_files_that_it_names_are_there(page: Path) -> None:
    for text in code(page):
        for name in re.findall(r"(?<![\w/.*-])[\w/-]+\.(?:py|proto|md|txt)\b", text):
            there = any(f"/{file}".endswith(f"/{name}") for file in files()) or (ROOT / name).exists()
            assert there or name in WRITTEN, f"there is no {name}"


@each_page
def test_classes_that_it_names_are_there(page: Path) -> None:
    for text in code(page):
        if text in METHODS:
            continue
        match = re.fullmatch(r"([A-Z][a-z]\w*)(?:\.(\w+))?(?:\(\))?", text)
        if match is None or match[1] in OTHERS:
            continue
        parts = classes().get(match[1])
        assert parts is not None, f"there is no class {match[1]}"
        assert match[2] is None or match[2] in parts, f"{match[1]} has no {match[2]}"
