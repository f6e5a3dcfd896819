"""Values of ARG lines, where lines of a Dockerfile are steps of an image."""

import re
import shlex
from collections.abc import Mapping

_ARG = re.compile(r"^([ \t]*ARG[ \t]+)(.+)$", re.IGNORECASE | re.MULTILINE)


def with_args(lines: tuple[str, ...], values: Mapping[str, str]) -> tuple[str, ...]:
    """Return the lines, each name that an ARG line declares having its value from `values`, if it is there."""

    def declared(found: re.Match[str]) -> str:
        try:
            words = shlex.split(found[2])
        except ValueError:
            return found[0]  # the builder says what is wrong with it
        if not any(word.partition("=")[0] in values for word in words):
            return found[0]
        return found[1] + " ".join(_declared(*word.partition("="), values) for word in words)

    return tuple(_ARG.sub(declared, line) for line in lines)


def _declared(name: str, given: str, default: str, values: Mapping[str, str]) -> str:
    if name in values:
        return f"{name}={_quoted(values[name], '$')}"
    # A default may name other arguments.
    return f"{name}={_quoted(default, '')}" if given else name


def _quoted(value: str, also: str) -> str:
    return '"' + re.sub(rf'([\\"{re.escape(also)}])', r"\\\1", value) + '"'
