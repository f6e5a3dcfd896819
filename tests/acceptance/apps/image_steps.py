"""Functions that run while an image is built."""

from pathlib import Path

WORDS = ["one"]


def make(folder: str, word: str = "none") -> None:
    Path(folder, "made").write_text(f"{word} {WORDS}")
    print("making it")
