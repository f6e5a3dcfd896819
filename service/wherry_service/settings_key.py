"""One key of the settings: what it is called, what it means, and how its value is read."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from wherry_service.errors import InvalidRequest

_SIZE = re.compile(r"(\d+)\s*(?:([KMGT])(i?)B?|B)?\Z", re.IGNORECASE)
_KINDS: dict[str, tuple[Any, str]] = {
    "text": (str, "text"),
    "path": (Path, "a path"),
    "whole": (int, "a whole number"),
    "number": (float, "a number"),
}


class SettingsError(InvalidRequest):
    """A setting is wrong; the message says which, where it comes from, and what is allowed."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key."""

    key: str
    default: Any
    doc: str
    # "text", "path", "whole", "number", "size", "list", "mapping", or "switch": text, on or off.
    kind: str = "text"
    choices: tuple[str, ...] = ()
    # The environment's name for it, where that is not made of the key.
    variable: str = ""
    # The field of `Settings`; "" for what is passed on to a room.
    name: str = ""

    def read(self, value: Any, place: str) -> Any:
        """Return a value as the service keeps it; raise `SettingsError`, which begins with `place`, if it is none."""
        if self.kind == "mapping":
            return _mapping(value, place)
        for said, word in ((False, "off"), (True, "on")):
            if value is said and word in self.choices:
                value = word  # YAML's reading of a bare `off` or `on`
        if self.kind == "switch" and isinstance(value, bool):
            value = "on" if value else "off"
        if self.kind == "list" and isinstance(value, list):
            value = ",".join(map(str, value))
        if self.kind == "size" and not isinstance(value, bool | dict | list):
            return read_size(place, str(value))
        make, named = _KINDS.get(self.kind, _KINDS["text"])
        try:
            if isinstance(value, bool | dict | list):
                raise TypeError
            result = make(str(value))
        except (TypeError, ValueError):
            raise SettingsError(f"{place} is {value!r}, and should be {named}") from None
        if self.choices and result not in self.choices:
            raise SettingsError(f"{place} is {value!r}, and should be one of {', '.join(self.choices)}")
        return result


def _mapping(value: Any, place: str) -> dict[str, str]:
    """Return options by name, of a mapping or its text; raise `SettingsError` naming the one that is no text."""
    try:
        tree = yaml.safe_load(value) if isinstance(value, str) else value
    except yaml.YAMLError:
        tree = None
    if not isinstance(tree, dict):
        raise SettingsError(f"{place} is {value!r}, and should be options by name: {{type: nfs, …}}")
    for name, one in tree.items():
        if not isinstance(name, str) or isinstance(one, bool | dict | list) or one is None:
            raise SettingsError(f"{place}.{name} is {one!r}, and should be text: write it in quotes")
    return {name: str(one) for name, one in tree.items()}


def read_size(name: str, text: str) -> int:
    """Return bytes of "500000", "200MB" or "2GiB"; raise `SettingsError` naming the setting."""
    match = _SIZE.match(text.strip())
    if match is None:
        raise SettingsError(f"{name} is {text!r}, which is no size: write bytes, or for example 200MB or 2GiB")
    number, unit, binary = match.groups()
    power = "KMGT".index(unit.upper()) + 1 if unit else 0
    scale: int = (1024 if binary else 1000) ** power
    return int(number) * scale
