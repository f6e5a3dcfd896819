"""Programs and command lines of all pages: they can be read, and name what exists.

What they do when they run is for `./dev test docs`, and for the tests of single pages.
"""

import ast
import importlib
import importlib.util
import inspect
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

import wherry
from tests.docs.pages import ROOT, Section, is_shown, sections
from wherry._base.elsewhere import ROWS
from wherry.cli.main import commands

# Made by programs: signatures, and a table of what does not exist.
MADE = {"reference.md", "from-modal.md"}
FOUND = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "extras").rglob("*.md"))]
PAGES = [page for page in FOUND if page.name not in MADE]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# Its programs belong together; test_testing.py runs them.
TOGETHER = {"testing.md"}
NAMED = [
    section
    for page in PAGES
    if page.name not in TOGETHER
    for section in sections(str(page.relative_to(ROOT)))
    if section.files
]
# Handles that pages call by these names, without a line that makes them.
USUAL = {"app": wherry.App, "sandbox": wherry.Sandbox, "image": wherry.Image}
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def programs(page: Path) -> list[str]:
    return [text for language, text in BLOCK.findall(page.read_text()) if language == "python"]


def parsed(text: str) -> ast.Module:
    return compile(text, "page", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def found(node: ast.expr) -> Any:
    """Return what an expression such as `wherry.Image.debian_slim` names; raise AttributeError if nothing."""
    if isinstance(node, ast.Name):
        return wherry if node.id == "wherry" else USUAL.get(node.id)
    if isinstance(node, ast.Attribute):
        owner = found(node.value)
        if owner is None or not (isinstance(owner, ModuleType | type) or callable(owner)):
            return None
        if isinstance(owner, ModuleType) and not hasattr(owner, node.attr):
            return importlib.import_module(f"{owner.__name__}.{node.attr}")
        # What an object has, as `app.name`, its class need not have.
        return getattr(owner, node.attr) if ast.unparse(node).startswith("wherry.") else getattr(owner, node.attr, None)
    return None


def wrong_names(text: str) -> Iterator[str]:
    """Yield what a program names of Wherry's that does not exist."""
    for node in ast.walk(parsed(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "wherry":
            module = importlib.import_module(node.module or "")
            yield from (f"{node.module}.{name.name}" for name in node.names if not hasattr(module, name.name))
        elif isinstance(node, ast.Attribute):
            try:
                found(node)
            except (AttributeError, ModuleNotFoundError):
                yield ast.unparse(node)


def wrong_arguments(text: str) -> Iterator[str]:
    """Yield keywords that what is called does not take."""
    for node in ast.walk(parsed(text)):
        if not isinstance(node, ast.Call):
            continue
        try:
            called = found(node.func)
            called = wherry.App.function if called == wherry.App.cls else called  # it takes the same
            parameters = inspect.signature(called).parameters if called is not None else {}
        except (AttributeError, ModuleNotFoundError, TypeError, ValueError):
            continue
        # `private` takes those of other programs' insides: names that begin with an underscore.
        open_ended = any(each.kind is each.VAR_KEYWORD and name != "private" for name, each in parameters.items())
        if parameters and not open_ended:
            for keyword in node.keywords:
                if keyword.arg and keyword.arg not in parameters:
                    yield f"{ast.unparse(node.func)}({keyword.arg}=…)"


def command_lines(page: Path) -> Iterator[str]:
    """Yield the command lines of a page that begin with `wherry`, of blocks and within sentences."""
    text = page.read_text()
    for language, block in BLOCK.findall(text):
        if language in {"", "sh", "bash", "console"}:
            for line in block.replace("\\\n", " ").splitlines():
                if match := re.match(r"^(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?(wherry .*)$", line):
                    yield match[1]
    for line in re.findall(r"`(wherry [^`\n]+)`", BLOCK.sub("", text)):
        yield line.replace("\\|", "|")
    yield from re.findall(r"\$\((wherry [^)\n]+)\)", text)


def wrong_command(line: str) -> str | None:
    """Return what is wrong with a command line, None if nothing is."""
    line = re.sub(r"\$\([^)]*\)", "VALUE", line)
    line = re.split(r"\s(?:#|\||<|>|&&)\s|\s<<", f"{line} ")[0].strip()
    words = (shlex.split(line) if line.count("'") % 2 == 0 else line.split())[1:]
    here: Any = commands()
    while hasattr(here, "commands") and words and not words[0].startswith("-"):
        if words[0] in {"…", "COMMAND"}:
            return None
        names = words[0].split("|")
        for name in names:
            if name not in here.commands:
                return f"{line}: no command {name}"
        here, words = here.commands[names[0]], words[1:]
    options = {name for each in here.params for name in (*each.opts, *each.secondary_opts)} | {"-h", "--help"}
    for word in words:
        name = word.split("=")[0].strip("[](),.:")
        if word == "--" or (here.name in {"run", "exec"} and (name == "-" or not name.startswith("-"))):
            return None  # the rest belongs to what is run
        short = re.fullmatch(r"-\w\w+", name) and all(f"-{letter}" in options for letter in name[1:])
        for each in name.split("|"):
            if len(each) > 1 and each.startswith("-") and not short and each not in options:
                return f"{line}: no option {each}"
    return None


@each_page
def test_programs_name_what_exists(page: Path) -> None:
    wrong = [name for text in programs(page) for name in [*wrong_names(text), *wrong_arguments(text)]]
    assert wrong == []


@each_page
def test_commands_name_what_exists(page: Path) -> None:
    assert [wrong for line in command_lines(page) if (wrong := wrong_command(line))] == []


def test_commands_in_errors_about_modal_exist() -> None:
    texts = [f"{row.why} {row.instead}" for row in ROWS]
    lines = [line for text in texts for line in re.findall(r"`(wherry [^`]+)`", text)]
    assert len(lines) > 5
    assert [wrong for line in lines if (wrong := wrong_command(line))] == []


def test_what_does_not_exist_is_found() -> None:
    assert list(wrong_names("wherry.Image.debian()\nfrom wherry.gpu import Z80\nwherry.nothing\nwherry.mock")) == [
        "wherry.gpu.Z80",
        "wherry.nothing",
        "wherry.mock",
        "wherry.Image.debian",
    ]
    text = "@app.function(memroy=1)\ndef f(): ...\nwherry.Retries(max_retries=1, often=2)"
    assert sorted(wrong_arguments(text)) == ["app.function(memroy=…)", "wherry.Retries(often=…)"]
    assert wrong_command("wherry app list --fast") == "wherry app list --fast: no option --fast"
    assert wrong_command("wherry image list|shw") == "wherry image list|shw: no command shw"
    assert wrong_command("wherry run a.py --of-mine") is None
    assert wrong_command("wherry app stop $(wherry app list --json)") is None


@each_page
def test_settings_can_be_read(page: Path) -> None:
    for language, text in BLOCK.findall(page.read_text()):
        if language == "json":
            json.loads(text)
        elif language == "yaml":
            yaml.safe_load(text)


@pytest.mark.parametrize("section", NAMED, ids=lambda section: section.name)
def test_programs_with_names_load(section: Section, tmp_path: Path) -> None:
    for name, text in section.files.items():
        if name.endswith(".py"):
            (tmp_path / name).write_text(text)
            spec = importlib.util.spec_from_file_location(f"page_{Path(name).stem}", tmp_path / name)
            assert spec is not None
            assert spec.loader is not None
            spec.loader.exec_module(importlib.util.module_from_spec(spec))


def test_what_is_shown_is_compared() -> None:
    assert is_shown("a …\nb\n", "a long tail\nb\n")
    assert is_shown("…\nb\n", "one\ntwo\nb\n")
    assert is_shown("…\nb\n", "b\n")
    assert not is_shown("a\n", "a\nb\n")
    assert not is_shown("a.c\n", "abc\n")
    assert not is_shown("", "a\n")
