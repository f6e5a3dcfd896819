"""A definition's identity: the same steps have the same image id on any machine."""

import base64
import hashlib
import json
import re

from wherry_proto.messages import ImageDefinition, ImageStep
from wherry_service.errors import InvalidRequest

MAX_STEPS = 200
# Of these the order of the arguments means nothing.
_UNORDERED = frozenset({"apt_install", "pip_install"})
_BASES = frozenset({"debian_slim", "from_registry", "from_id"})
_ID = re.compile(r"im-[a-z2-7]{26}\Z")
_OTHERS = frozenset({"run_commands", "env", "workdir", *_UNORDERED})


def image_id(definition: ImageDefinition) -> str:
    """Return "im-" and a hash of the definition; raise `InvalidRequest` if it is none."""
    check(definition)
    if len(definition.steps) == 1 and definition.steps[0].kind == "from_id":
        return definition.steps[0].args[0]
    rows = [_canonical(step) for step in definition.steps]
    digest = hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).digest()
    return "im-" + base64.b32encode(digest).decode().lower()[:26]


def check(definition: ImageDefinition) -> None:
    """Raise `InvalidRequest` unless the definition is a base followed by steps this service knows."""
    steps = definition.steps
    if not steps or steps[0].kind not in _BASES:
        raise InvalidRequest("an image begins with debian_slim, from_registry or from_id")
    if steps[0].kind == "from_id" and not (len(steps[0].args) == 1 and _ID.match(steps[0].args[0])):
        raise InvalidRequest(f"from_id: {' '.join(steps[0].args)[:80]!r} is not the id of an image")
    if len(steps) > MAX_STEPS:
        raise InvalidRequest(f"an image has at most {MAX_STEPS} steps, got {len(steps)}")
    for step in steps[1:]:
        if step.kind not in _OTHERS:
            raise InvalidRequest(f"this service does not know the image step {step.kind[:40]!r}")
    for step in steps:
        for text in (*step.args, *step.options, *step.options.values()):
            if "\0" in text:
                raise InvalidRequest(f"image step {step.kind}: a text contains a NUL character")


def _canonical(step: ImageStep) -> list[object]:
    args = sorted(set(step.args)) if step.kind in _UNORDERED else list(step.args)
    return [step.kind, args, sorted(step.options.items())]
