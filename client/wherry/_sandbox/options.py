"""Checks of what sandboxes are made of and told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wherry._base import checks
from wherry._base.elsewhere import meet
from wherry.exception import InvalidError
from wherry_proto import messages

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def resources(cpu: Any, memory: Any) -> messages.Resources:
    """Return what `cpu=` and `memory=` ask for; raise InvalidError."""
    cpu_request, cpu_limit = checks.pair("cpu", cpu, 0.01, 1024, "cores")
    memory_request, memory_limit = checks.pair("memory", memory, 16, 1 << 24, "MiB", whole=True)
    return messages.Resources(
        cpu_request=cpu_request,
        cpu_limit=cpu_limit,
        memory_request_mib=int(memory_request),
        memory_limit_mib=int(memory_limit),
    )


def ports(name: str, given: Sequence[int]) -> list[messages.SandboxPort]:
    """Return the ports of a parameter; raise InvalidError."""
    numbers = [int(checks.number(name, port, 1, 65535, "", 0, whole=True)) for port in given]
    return [messages.SandboxPort(port=port, encrypted=name == "encrypted_ports") for port in numbers]


def strings(what: str, parts: Sequence[str]) -> list[str]:
    """Return a command's parts; raise InvalidError unless they are strings."""
    for part in parts:
        if not isinstance(part, str):
            raise InvalidError(f"{what} must be strings, got {part!r}: give each as an argument of its own")
    return list(parts)


def tags_of(tags: Mapping[str, str] | None) -> dict[str, str]:
    """Return tags; raise InvalidError unless names and values are strings."""
    for name, value in (tags or {}).items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise InvalidError(f"tags has {name!r}: {value!r}: names and values must be strings")
    return dict(tags or {})


def variables(env: Mapping[str, str | None] | None) -> dict[str, str]:
    """Return the variables of `env=`, without those that are None; raise InvalidError."""
    return checks.environment({name: value for name, value in (env or {}).items() if value is not None})


def meet_all(**given: Any) -> None:
    """Warn of each parameter that is given and means nothing here."""
    for name, value in given.items():
        if value:
            meet(name, 4)
