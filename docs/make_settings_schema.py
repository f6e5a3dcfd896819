"""Writes the JSON schema of the settings file: `python -m docs.make_settings_schema [--check]`."""

import json
from pathlib import Path
from typing import Any

from docs.made_page import write
from wherry_service.settings import FIELDS
from wherry_service.settings_key import Key

PLACE = Path(__file__).parents[1] / "client/wherry/cli/settings.schema.json"
COMMAND = "python -m docs.make_settings_schema"
_SIZE = r"^\s*\d+\s*([KMGTkmgt]i?[Bb]?|[Bb])?\s*$"
_TYPES: dict[str, dict[str, Any]] = {
    "text": {"type": ["string", "number"]},
    "path": {"type": "string"},
    "whole": {"type": "integer"},
    "number": {"type": "number"},
    "size": {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": _SIZE}]},
    "switch": {"type": ["string", "boolean"]},
    "list": {"anyOf": [{"type": "array", "items": {"type": ["string", "number"]}}, {"type": "string"}]},
    "mapping": {"type": "object", "additionalProperties": {"type": ["string", "number"]}},
}


def schema() -> dict[str, Any]:
    """Return the schema: what `wherry server run --config` takes."""
    top = _group({})
    top |= {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Settings of the Wherry service",
        "description": "docs/configuration.md has all keys, their variables and their defaults.",
    }
    for key, item in FIELDS.items():
        *above, name = key.split(".")
        group = top
        for part in above:
            group = group["properties"].setdefault(part, _group({}))
        group["properties"][name] = _property(item)
    return top


def _group(properties: dict[str, Any]) -> dict[str, Any]:
    # A group, or a key, without a value counts as one that is not there.
    return {"type": ["object", "null"], "additionalProperties": False, "properties": properties}


def _property(item: Key) -> dict[str, Any]:
    if item.choices:
        # A bare `off` is false in YAML, and `on` true.
        bare = [said for said, word in ((False, "off"), (True, "on")) if word in item.choices]
        kind: dict[str, Any] = {"enum": [*item.choices, *bare]}
    else:
        kind = _TYPES[item.kind]
    described: dict[str, Any] = {"description": item.doc, "anyOf": [kind, {"type": "null"}]}
    if item.default not in (None, "") and not isinstance(item.default, dict):
        described["default"] = item.default
    return described


def text() -> str:
    """Return the file's text."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    write(PLACE, text, COMMAND, __doc__)
