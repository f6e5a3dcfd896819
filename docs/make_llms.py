"""Writes docs/llms.txt, and the list of pages in extras/skill/SKILL.md, from docs/index.md: `./dev docs [--check]`."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from docs.made_page import write

HERE = Path(__file__).parent
INDEX = HERE / "index.md"
LLMS = HERE / "llms.txt"
SKILL = HERE.parent / "extras" / "skill" / "SKILL.md"
LIST = "## Pages\n"
SUMMARY = """Wherry is self-hosted. A service on one Linux machine with Docker runs Python functions in containers:
calls, maps, schedules, web endpoints and sandboxes. The API follows that of Modal's Python SDK. The pages are Markdown
files in the folder `docs` of the repository, beside this list.
"""


def sections() -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """Yield each heading of the index with its pages: title, path and what it is about."""
    for part in INDEX.read_text().split("\n## ")[1:]:
        pages = re.findall(r"^- \[(.+?)\]\((.+?)\): (.+)$", part, re.MULTILINE)
        yield part.splitlines()[0], pages


def llms() -> str:
    """Return the text of llms.txt; end if the index lacks a page."""
    listed = {path for _, pages in sections() for _, path, _ in pages}
    lacking = sorted({str(page.relative_to(HERE)) for page in HERE.rglob("*.md")} - listed - {INDEX.name})
    if lacking:
        sys.exit(f"docs/index.md lacks lines of the form `- [Title](page.md): what it is about` for {lacking}")
    title, sentence = INDEX.read_text().split("\n\n")[:2]
    parts = [f"{title}\n\n> {sentence}\n\n{SUMMARY}"]
    for heading, pages in sections():
        parts.append(f"\n## {heading}\n\n")
        parts += [f"- [{name}]({path}): {about}\n" for name, path, about in pages]
    return "".join(parts)


def skill() -> str:
    """Return the skill's text, with all pages at its end."""
    head, _, _ = SKILL.read_text().partition(LIST)
    parts = [head, LIST, "\n"]
    for heading, pages in sections():
        parts.append(f"{heading}:\n\n")
        parts += [f"- [{name}](../../docs/{path}): {about}\n" for name, path, about in pages]
        parts.append("\n")
    return "".join(parts).rstrip() + "\n"


if __name__ == "__main__":
    write(LLMS, llms, "python -m docs.make_llms", __doc__)
    write(SKILL, skill, "python -m docs.make_llms", __doc__)
