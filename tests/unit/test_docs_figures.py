"""What README and the comparison say in figures is what the last benchmark measured."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/performance.md").read_text()
README = " ".join((ROOT / "README.md").read_text().split())
COMPARISON = " ".join((ROOT / "docs/comparison.md").read_text().split())


def ratio(name: str) -> str:
    (found,) = re.findall(rf"^\| {re.escape(name)} \| ([\d.]+) \|", PAGE, re.MULTILINE)
    return str(found)


def p50(name: str) -> float:
    (found,) = re.findall(rf"^\| {name} \| ([\d.,]+) \|", PAGE, re.MULTILINE)
    return float(found.replace(",", ""))


def test_the_readme_claims_what_was_measured() -> None:
    assert "takes less than 0.5 ms, less than a third of a Ray task" in README
    assert p50("remote") < 0.5
    assert float(ratio("warm call over a Ray task, p50")) < 1 / 3
    assert "takes at most 10 % longer than Docker needs to start the bare container" in README
    assert float(ratio("first call over the engine's bare create and start")) <= 1.1
    assert "An idle container takes less than 7 MiB" in README
    assert float(ratio("memory of an idle container, MiB")) < 7


def test_the_comparison_claims_what_was_measured() -> None:
    assert "took less than a third of the time of a Ray task, and less than two thirds of the time of" in COMPARISON
    assert float(ratio("warm call over a Ray task, p50")) < 1 / 3
    assert float(ratio("warm call over a Ray actor's call, p50")) < 2 / 3
    assert "ran at more than 15 times the rate of Ray tasks" in COMPARISON
    assert float(ratio("map of 10,000, rate over Ray tasks")) > 15
