"""The expressions of the dashboard and the alert rules that are shipped."""

import json
import re

import yaml

from wherry.cli._monitoring import ALERTS, GRAFANA

# What compares: without it an expression has a value also where all is well.
_COMPARED = re.compile(r"\s*(==|<|>)\s*[\d.]+")


def expressions() -> list[str]:
    """Return all of them, with what a viewer chooses filled in for everything."""
    panels = json.loads(GRAFANA.read_text())["panels"]
    found = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    chosen = {"$environment": ".*", "$app": ".*", "$function": ".*", "$job": "wherry", "$__rate_interval": "30s"}
    for name, value in chosen.items():
        found = [expr.replace(name, value) for expr in found]
    rules = [rule["expr"] for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    return found + rules


def without_comparisons(expression: str) -> str:
    """Return an alert's expression without what makes it one: it finds series wherever its metrics are there."""
    return _COMPARED.sub("", expression.partition(" unless ")[0])
