"""Python blocks without a name, run as they stand, one after the other, with what their page takes for granted."""

import ast
import asyncio
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import wherry
from tests.acceptance.service import OwnService
from tests.docs.pages import ROOT, sections

BLOCK = re.compile(r"(^`[\w./-]+`:\n\n)?^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PLAIN = """
app = wherry.App("page")

@app.function()
def f(*arguments):
    return arguments[0]

work = inner = f
x, xs = 7, [1, 2]
"""
# By page: what its blocks take for granted. Programs with names are modules beside it.
GIVEN = {
    "calls.md": PLAIN,
    "classes.md": PLAIN + "import greeter\ngreeter.app.deploy()",
    "concurrency.md": PLAIN
    + """
Vector = list[float]
many_texts = ["a", "bb"]

class Model:
    def encode(self, texts):
        return [[float(len(text))] for text in texts]

model = Model()
""",
    "functions.md": PLAIN + "image = wherry.Image.debian_slim()",
    "getting-started.md": "from hello import app, norm",
    "images.md": PLAIN + "def download(name): return b''",
    "schedules.md": "",
    "serve.md": 'app = wherry.App("my-app")\n\n@app.function()\ndef work(x): return x\n\napp.deploy()',
    "shell.md": PLAIN,
    "storage.md": PLAIN
    + """
import os
from pathlib import Path
wherry.Queue.delete("work", allow_missing=True)
""",
    "web.md": PLAIN
    + """
import subprocess
import requests
image = wherry.Image.debian_slim()
shop = wherry.App("shop")

@shop.server(port=8000, unauthenticated=True)
@wherry.sessioned()
class Room:
    @wherry.enter()
    def start(self):
        subprocess.Popen(["python3", "-m", "http.server", "8000"])

shop.deploy()
url = wherry.Server.from_name("shop", "Room").get_url()
""",
}
# Run elsewhere: by tests of the page, or not at all, with the reason.
ELSEWHERE = {
    "cookbook.md": "its programs have names",
    "deploy.md": "its programs have names",
    "http-api.md": "its programs have names",
    "editors.md": "it shows what type checkers refuse: tests/typing",
    "notebooks.md": "tests/acceptance/test_notebooks.py",
    "reference.md": "it has signatures, no programs",
    "replay.md": "tests/acceptance/test_replay.py",
    "sandboxes.md": "tests/acceptance/test_sandbox_page.py",
}


def blocks(page: Path) -> list[str]:
    return [text for name, text in BLOCK.findall(page.read_text()) if not name]


def test_every_page_is_run_or_says_where() -> None:
    with_programs = {page.name for page in (ROOT / "docs").glob("*.md") if blocks(page)}
    assert sorted(with_programs - {*GIVEN, *ELSEWHERE}) == []


@pytest.mark.parametrize("name", GIVEN)
def test_blocks_of_a_page_run(service: OwnService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for folder in ("models", "templates"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "file.txt").write_text("one\n")
    (tmp_path / "my_library.py").write_text("")
    for section in sections(f"docs/{name}"):
        for file, text in section.files.items():
            (tmp_path / file).write_text(text)
    names: dict[str, Any] = {"wherry": wherry, "__name__": "page"}
    exec(GIVEN[name], names)
    app = names.get("app", wherry.App("page"))

    def run() -> None:
        for text in blocks(ROOT / "docs" / name):
            code = compile(text, name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            if code.co_flags & inspect.CO_COROUTINE:
                asyncio.run(eval(code, names))
            else:
                exec(code, names)

    if name == "getting-started.md":
        run()
        return
    with app.run():
        run()
        if "main" in names:
            asyncio.run(names["main"]())
