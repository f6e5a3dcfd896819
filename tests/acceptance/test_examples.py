"""Each example does what it says."""

import subprocess
import sys
from pathlib import Path

from tests.acceptance.service import OwnService

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(service: OwnService, name: str, *args: str) -> str:
    """Run an example as its first lines say, and return what it printed."""
    command = [sys.executable, "-m", "wherry.cli.main", "run", "-q", str(EXAMPLES / name), *args]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_every_example_is_run_here() -> None:
    source = Path(__file__).read_text()
    assert [path.name for path in EXAMPLES.glob("*.py") if f'"{path.name}"' not in source] == []


def test_census(service: OwnService) -> None:
    printed = run(service, "census.py")
    assert "modules of the containers' standard library" in printed
    assert "warm calls per second" in printed


def test_word_count(service: OwnService) -> None:
    printed = run(service, "word_count.py", "--top", "3").splitlines()
    assert "words" in printed[0]
    assert len(printed) == 5


def test_pipeline(service: OwnService) -> None:
    printed = run(service, "pipeline.py", "--module", "textwrap").splitlines()
    assert printed[0].startswith("textwrap: 6 definitions")
    assert any(line.split()[1:] == ["self"] for line in printed)


def test_flaky(service: OwnService) -> None:
    printed = run(service, "flaky.py", "--items", "6").splitlines()
    assert printed[0].startswith("6 items, ")
    assert len(printed) == 7
    assert any("●●" in line for line in printed)


def test_call_graph(service: OwnService) -> None:
    printed = run(service, "call_graph.py").splitlines()
    assert printed[0] == "{'index': 2, 'about': 3, 'news': 2, 'lost': 'not found'}"
    names = [line.replace("│", "").split()[1:3] for line in printed[1:]]
    assert names[0] == ["site", "success"]
    assert names.count(["words", "success"]) == 3
    assert names.count(["words", "failure"]) == 1
    assert names.count(["fetch", "failure"]) == 1


def test_classify(service: OwnService) -> None:
    printed = run(service, "classify.py").splitlines()
    assert printed[0].startswith("trained on")
    assert [line.split()[0] for line in printed[1:]] == ["prose", "python", "prose", "python"]


def test_crawler(service: OwnService) -> None:
    printed = run(service, "crawler.py", "--pages", "40", "--containers", "3").splitlines()
    assert printed[0].startswith("40 pages, ")
    assert printed[1] == "asked for more than once: 0"
    shares = [int(word) for word in printed[2].replace(",", "").split() if word.isdigit()]
    assert sum(shares) == 40


def test_web(service: OwnService) -> None:
    printed = run(service, "web.py").splitlines()
    assert printed[0] == '{"hello":"you"}'
    assert printed[1] == "['data:', '0', 'data:', '1', 'data:', '2']"
    assert printed[2] == "desserts"
    assert len(printed) == 4


def test_code_interpreter(service: OwnService) -> None:
    printed = run(service, "code_interpreter.py").splitlines()
    assert [line.partition(":")[0] for line in printed if ": fine: " in line] == ["a sum", "a file", "the file again"]
    assert [line.partition(":")[0] for line in printed if "stopped after 5 s" in line] == [
        "no end",
        "output without end",
    ]
    assert next(line for line in printed if line.startswith("a way out")).endswith("Network is unreachable")
    assert next(line for line in printed if line.startswith("the host's files")).endswith("'/etc/shadow'")
    assert run(service, "code_interpreter.py", "--snippet", "print(6 * 7)") == "yours: fine: 42\n"
