"""Links of all pages lead to files and headings that exist, and every page can be found."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from docs import make_site

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for folder in (ROOT, ROOT / "docs", ROOT / "docs/internals", *(ROOT / "extras").glob("*/"))
    for page in folder.glob("*.md")
)
# Where a message, a comment or another text names a page, with a heading of it or without.
CODE = ("client", "service", "images", "protos", "chaos", "benchmarks", "examples", "ci", "tests")
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
NAMED = re.compile(r"\bdocs/[\w./-]+\.md(?:#[\w-]+)?")


@cache
def anchors(page: Path) -> set[str]:
    """Return the names of a page's headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", FENCE.sub("", page.read_text()), re.MULTILINE):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        number = 1
        while name in found:
            name, number = f"{name}-{number}", number + 1
        found.add(name)
    return found


def links(page: Path) -> Iterator[str]:
    """Return the relative links of a page."""
    text = re.sub(r"`[^`\n]*`", "`", FENCE.sub("", page.read_text()))
    for target in re.findall(r"\]\(\s*([^)\s]+)\s*\)", text):
        if not re.match(r"[a-z]+:", target):
            yield target


def broken(page: Path, target: str) -> str | None:
    """Return what is wrong with a link, None if nothing is."""
    file, _, anchor = target.partition("#")
    path = (page.parent / file).resolve() if file else page
    if not path.exists():
        return f"{target}: no such file"
    if anchor and path.suffix == ".md" and anchor not in anchors(path):
        return f"{target}: no such heading"
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert [wrong for target in links(page) if (wrong := broken(page, target))] == []


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page, other = tmp_path / "a.md", tmp_path / "b.md"
    page.write_text("[x](b.md#the-end) [y](c.md) [z](#here)\n## Here\n```\n[n](none.md)\n```\n")
    other.write_text("# `B`, the end\n")
    assert [broken(page, target) for target in links(page)] == [
        "b.md#the-end: no such heading",
        "c.md: no such file",
        None,
    ]
    assert broken(page, "b.md#b-the-end") is None


def test_pages_that_code_names_exist() -> None:
    wrong = []
    for folder in CODE:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in {".py", ".proto", ".yml", ".yaml", ".md", ".txt"} and "__pycache__" not in path.parts:
                for name in NAMED.findall(path.read_text(errors="replace")):
                    if problem := broken(ROOT / "README.md", name):
                        wrong.append(f"{path.relative_to(ROOT)}: {problem}")
    assert wrong == []


def test_the_index_has_every_page() -> None:
    listed = {target.partition("#")[0] for target in links(ROOT / "docs/index.md")}
    pages = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    assert sorted(pages - listed - {"index.md"}) == []


@pytest.mark.parametrize("name", ["docs/llms.txt", "extras/skill/SKILL.md"])
def test_lists_for_agents_have_every_page(name: str) -> None:
    listed = {(ROOT / name).parent.joinpath(target).resolve() for target in links(ROOT / name)}
    assert sorted({*(ROOT / "docs").rglob("*.md")} - listed - {ROOT / "docs/index.md"}) == []


def test_what_the_site_takes_along_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_site, "WORK", tmp_path)
    make_site.copy_pages()
    wrong = [
        f"{page.name}: {problem}"
        for page in sorted((tmp_path / "pages").rglob("*.md"))
        for target in links(page)
        if (problem := broken(page, target))
    ]
    assert wrong == []
    assert (tmp_path / "pages/files/examples/code_interpreter.py").exists()
    assert make_site.settings()["nav"][0] == {"All pages": "index.md"}
