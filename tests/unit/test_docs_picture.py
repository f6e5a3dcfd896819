"""README's picture shows README's program, and nothing of the machine that it was made on."""

import re
from pathlib import Path
from xml.etree import ElementTree

from docs import make_picture

ROOT = Path(__file__).parents[2]
SVG = (ROOT / "docs/terminal.svg").read_text()


def shown(svg: str) -> str:
    """Return the picture's words without spaces, which stand between coloured pieces."""
    texts = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    return re.sub(r"\s", "", "".join(text.text or "" for text in texts))


def test_it_shows_the_readme_s_program_and_its_output() -> None:
    words = shown(SVG)
    assert re.sub(r"\s", "", make_picture.program()) in words
    for command in make_picture.COMMANDS:
        assert re.sub(r"\s", "", f"$ {command}") in words
    assert "49332833500" in words


def test_it_has_nothing_of_other_hosts_or_of_this_machine() -> None:
    assert re.findall(r"https?://[^\s\"<]+", SVG) == ["http://www.w3.org/2000/svg"]
    assert "/home/" not in SVG
    assert "/tmp/" not in SVG


def test_it_is_made_of_what_was_printed() -> None:
    svg = make_picture.picture([("wherry run hello.py", "\x1b[32mCreated\x1b[0m\n49\n")])
    assert "$wherryrunhello.pyCreated49" in shown(svg)
