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


def ports(**given: Sequence[int]) -> list[messages.SandboxPort]:
    """Return the ports of several parameters; raise InvalidError for what is no list of ports."""
    found: dict[int, str] = {}
    for name, numbers in given.items():
        if isinstance(numbers, (str, bytes, int)) or not hasattr(numbers, "__iter__"):
            raise InvalidError(f"{name} is {numbers!r}: it must be a list of ports, for example [8000]")
        for item in numbers:
            port = int(checks.number(name, item, 1, 65535, "", 0, whole=True))
            if port in found:
                where = name if found[port] == name else f"{found[port]} and {name}"
                raise InvalidError(f"port {port} is named twice, in {where}: each port has one tunnel, name it once")
            found[port] = name
    return [messages.SandboxPort(port=port, encrypted=name != "unencrypted_ports") for port, name in found.items()]


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
