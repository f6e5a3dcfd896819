"""Builds a web site of all pages with mkdocs-material, into `.dev/site`: `./dev docs --site`.

The pages are copied first, with the examples and other files of the repository that they link to, so that each link
works within the site. Who reads it asks no other server: fonts are the system's, and search runs in the browser.
"""

import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from docs.make_llms import HERE, LLMS, sections

ROOT = HERE.parent
WORK = ROOT / ".dev" / "site-source"
SITE = ROOT / ".dev" / "site"
_UPWARD = re.compile(r"\[([^\]]+)\]\((\.\./[^)#]+)(?:#[^)]*)?\)")


def settings() -> dict[str, Any]:
    """Return what mkdocs is told; the order of pages is the index's."""
    nav: list[Any] = [{"All pages": "index.md"}]
    nav += [{heading: [{name: path} for name, path, _ in pages]} for heading, pages in sections()]
    return {
        "site_name": "Wherry",
        "docs_dir": "pages",
        "site_dir": str(SITE),
        "use_directory_urls": False,
        "nav": nav,
        "theme": {
            "name": "material",
            "font": False,
            "features": [
                "navigation.sections",
                "navigation.top",
                "toc.follow",
                "search.highlight",
                "content.code.copy",
            ],
            "palette": [
                {"media": "(prefers-color-scheme: light)", "scheme": "default"},
                {"media": "(prefers-color-scheme: dark)", "scheme": "slate"},
            ],
        },
        "extra": {"generator": False},
        "plugins": ["search"],
        "markdown_extensions": [
            "tables",
            "sane_lists",
            "pymdownx.superfences",
            "pymdownx.highlight",
            # Headings have the names that links on GitHub use.
            {"toc": {"permalink": True, "slugify": "SLUGIFY"}},
        ],
        "validation": {
            "nav": {"omitted_files": "warn", "not_found": "warn"},
            "links": {"not_found": "warn", "anchors": "warn", "absolute_links": "warn", "unrecognized_links": "warn"},
        },
    }


def copy_pages() -> None:
    """Copy all pages, and what they link to outside of docs/, below one folder."""
    pages = WORK / "pages"
    shutil.rmtree(WORK, ignore_errors=True)
    for page in sorted(HERE.rglob("*.md")):
        place = pages / page.relative_to(HERE)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(_UPWARD.sub(partial(_copied, page), page.read_text()))
    for other in [LLMS, *HERE.glob("*.svg"), *HERE.glob("*.png")]:
        shutil.copy(other, pages)


def _copied(page: Path, link: re.Match[str]) -> str:
    """Return a link for the site: a file outside of docs/ is copied beside the pages, a folder becomes plain text."""
    text, target = link.groups()
    source = (page.parent / target).resolve()
    if source.is_relative_to(HERE):
        return link[0]
    if not source.is_file():
        return text
    # Another page would become one of the site's own, with links that lead nowhere.
    name = Path("files", source.relative_to(ROOT))
    name = name.with_name(f"{name.name}.txt") if name.suffix == ".md" else name
    (WORK / "pages" / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, WORK / "pages" / name)
    return f"[{text}]({'../' * (len(page.relative_to(HERE).parts) - 1)}{name})"


def main() -> None:
    """Build; a warning, such as a link that leads nowhere, is an error."""
    copy_pages()
    text = yaml.safe_dump(settings(), sort_keys=False)
    slugify = "!!python/object/apply:pymdownx.slugs.slugify\n        kwds: {case: lower}"
    (WORK / "mkdocs.yml").write_text(text.replace("SLUGIFY", slugify))
    command = [sys.argv[1], "build", "--strict", "--quiet", "--config-file", str(WORK / "mkdocs.yml")]
    done = subprocess.run(command, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, check=False)
    if done.returncode:
        sys.exit("the site was not built: see the warnings above")


if __name__ == "__main__":
    main()
