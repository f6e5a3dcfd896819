"""The dashboard and the alert rules that are shipped: fresh, and about metrics that there are."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs import make_grafana
from tests.monitoring import expressions
from wherry.cli._monitoring import ALERTS, GRAFANA
from wherry.cli.main import main

PAGE = Path(__file__).parents[3] / "docs/observability.md"


def printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["wherry", "server", "metrics", *options])
    with pytest.raises(SystemExit) as caught:
        main()
    out, err = capsys.readouterr()
    return int(caught.value.code or 0), out, err


def test_they_are_printed_as_they_are_shipped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert printed(monkeypatch, capsys, "--grafana") == (0, GRAFANA.read_text(), "")
    assert printed(monkeypatch, capsys, "--alerts") == (0, ALERTS.read_text(), "")
    for options in ([], ["--grafana", "--alerts"]):
        code, out, err = printed(monkeypatch, capsys, *options)
        assert (code, out) == (2, "")
        assert "say which file" in err


def test_the_dashboard_is_the_one_that_is_made() -> None:
    assert GRAFANA.read_text() == make_grafana.text(), f"run {make_grafana.COMMAND}"


def test_they_ask_for_metrics_that_the_page_has() -> None:
    page = PAGE.read_text()
    asked = {name for one in expressions() for name in re.findall(r"wherry_\w+", one)}
    known = {re.sub(r"_(bucket|count|sum)$", "", name) for name in asked}
    assert [name for name in sorted(known) if f"`{name}`" not in page] == []


def test_each_rule_says_what_is_wrong_and_what_to_do() -> None:
    rules: list[dict[str, Any]] = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
    assert len({rule["alert"] for rule in rules}) == len(rules) >= 8
    for rule in rules:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert {"summary", "description"} == rule["annotations"].keys()


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(GRAFANA.read_text())["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken
        taken |= cells
