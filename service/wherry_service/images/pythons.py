"""Which Python an image has: that of the program that asks for it where it can be had, else the nearest there is."""

import copy
import re

from wherry_proto.messages import ImageDefinition
from wherry_service.errors import InvalidRequest
from wherry_service.images.base import DEFAULT_PYTHON, SUITES

# Of a `debian_slim` that names no version: the program's own, as "3.12". It is settled first, and part of no identity.
NEAR = "near_python"
_VERSION = re.compile(r"3\.(\d{1,3})\Z")


def nearest(wanted: str, has_any: bool) -> str:
    """Return the version that `debian_slim` gets for a program of that one; of two as near, the newer.

    `has_any`: others than Debian's can be had, from a registry. Raises `InvalidRequest` for what is no version.
    """
    found = _VERSION.match(wanted)
    if found is None:
        raise InvalidRequest(f"debian_slim: {wanted[:20]!r} is no version of Python such as 3.12")
    if has_any or wanted in SUITES:
        return wanted
    minor = int(found[1])
    return min(SUITES, key=lambda version: (abs(_minor(version) - minor), -_minor(version)))


def settled(definition: ImageDefinition, has_any: bool) -> ImageDefinition:
    """Return the definition with the version that its base gets, where it left that open; its identity is made of it.

    Raises `InvalidRequest` for what is no version.
    """
    first = definition.steps[0] if definition.steps else None
    if first is None or NEAR not in first.options:
        return definition
    first = copy.copy(first)
    first.options = {name: value for name, value in first.options.items() if name != NEAR}
    if first.kind == "debian_slim" and not first.options.get("python_version"):
        version = nearest(definition.steps[0].options[NEAR], has_any)
        # The default one is not named, as programs before did not name it: their images are the same.
        if version != DEFAULT_PYTHON:
            first.options["python_version"] = version
    return ImageDefinition(steps=[first, *definition.steps[1:]])


def python_of(definition: ImageDefinition) -> str:
    """Return which Python runs functions in an image, as "3.11"; "" where its definition does not say."""
    first, *rest = definition.steps
    for step in reversed(rest):
        if step.kind == "add_python" and step.args:
            return _short(step.args[0])
    if first.kind != "debian_slim":
        return ""
    return _short(first.options.get("python_version") or DEFAULT_PYTHON)


def _short(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _minor(version: str) -> int:
    return int(version.partition(".")[2])
