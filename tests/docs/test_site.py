"""The site is built without a warning, has every page, and asks no other server."""

import json
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
SITE = ROOT / ".dev/site"


def test_the_site_is_built() -> None:
    done = subprocess.run([ROOT / "dev", "docs", "--site"], capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {page.relative_to(ROOT / "docs").with_suffix(".html") for page in (ROOT / "docs").rglob("*.md")}
    assert [page for page in pages if not (SITE / page).exists()] == []
    words = json.loads((SITE / "search/search_index.json").read_text())
    assert any("debian_slim" in each["text"] for each in words["docs"])
    loaded = [
        link
        for page in SITE.rglob("*.html")
        for link in re.findall(r'(?:<script[^>]* src|<link[^>]* href|<img[^>]* src)="([^"]+)"', page.read_text())
    ]
    assert [link for link in loaded if re.match(r"https?://", link)] == []
