"""What `wherry init` writes runs; `wherry open` and `wherry logs` know what is deployed of it."""

import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "wherry.cli.main"]


def wherry(environment: dict[str, str], folder: Path, *words: str) -> str:
    ran = subprocess.run(
        [*COMMAND, *words], capture_output=True, text=True, timeout=60, cwd=folder, env=environment, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.mark.parametrize(
    ("template", "words", "shown"),
    [
        ("function", ["--count", "4"], ["squaring 3", "the sum is 14"]),
        ("class", ["--name", "Ada"], ["hello, Ada! (number 1)", "good evening, Ada! (number 1)"]),
        ("cron", [], ["the report of 20"]),
        ("queue", ["--workers", "2"], ["results: 20, for example 12 for 'job number 7'"]),
        ("sandbox", [], ["| hello from Python 3.", "| 45", "it ended with code 0"]),
    ],
)
def test_a_template_runs(
    environment: dict[str, str], tmp_path: Path, template: str, words: list[str], shown: list[str]
) -> None:
    wherry(environment, tmp_path, "init", "-t", template, "first.py")
    told = wherry(environment, tmp_path, "run", "first.py", *words)
    for text in shown:
        assert text in told


def test_the_web_page_answers_and_is_found(environment: dict[str, str], tmp_path: Path) -> None:
    wherry(environment, tmp_path, "init", "-t", "web", "init_page.py")
    wherry(environment, tmp_path, "deploy", "init_page.py")
    try:
        url = wherry(environment, tmp_path, "open", "init_page", "--print").strip()
        port = url.rpartition(":")[2]
        request = urllib.request.Request(f"http://127.0.0.1:{port}/a", headers={"Host": url.removeprefix("http://")})
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.read() == b"Hello from /a\n"
        assert wherry(environment, tmp_path, "logs", "init_page", "-n", "5") is not None
    finally:
        wherry(environment, tmp_path, "app", "stop", "init_page")
