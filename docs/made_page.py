"""What all made pages have in common: each is written anew, or compared with what would be written."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path


def write(place: Path, page: Callable[[], str], command: str, about: str | None) -> None:
    """Write the page, or with --check fail if it is not what would be written; `command` is what people run."""
    parser = argparse.ArgumentParser(prog=command, description=about)
    parser.add_argument("--check", action="store_true")
    is_check = parser.parse_args().check
    text = page()
    if not is_check:
        place.write_text(text)
    elif not place.exists() or place.read_text() != text:
        sys.exit(f"docs/{place.name} is out of date: run {command}")
