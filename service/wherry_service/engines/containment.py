"""What the one who runs the service decides about all containers that run code of others."""

import asyncio
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass

from wherry_service.engines.engine import Engine, EngineStatus
from wherry_service.errors import Unready
from wherry_service.settings_key import read_size

log = logging.getLogger(__name__)

RUNTIME = "WHERRY_CONTAINERS_RUNTIME"
SANDBOX_RUNTIME = "WHERRY_SANDBOX_RUNTIME"
MEMORY_LIMIT = "WHERRY_CONTAINERS_MEMORY_LIMIT"
USER = "WHERRY_CONTAINERS_USER"
# The largest that an engine with `userns-remap` is sure to have; the two beyond it mean nobody.
MOST_ID = 65533
# Below that not even the runner starts.
LEAST_MIB = 64
# Seconds that the engine gets to say what it has.
ANSWER_WITHIN_S = 5.0
# Names of containerd's own, which engines know without an entry in their configuration.
_BUILT_IN = "io.containerd."


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """How much memory a container may use."""

    # None: all that the host has.
    mib: int | None
    # Whether it is the service's, since the container asked for none.
    is_default: bool = False

    def __bool__(self) -> bool:
        """Whether there is one."""
        return self.mib is not None

    def __str__(self) -> str:
        """Return it as the end of "ran out of memory"; "" where there is none."""
        if not self.mib:
            return ""
        if not self.is_default:
            return f" at its limit of {self.mib} MiB"
        return (
            f" at this server's limit of {self.mib} MiB for containers that ask for none (containers.memory_limit): "
            "give it one of its own with memory=(request, limit)"
        )


NO_LIMIT = MemoryLimit(None)


@dataclass(frozen=True, slots=True)
class Containment:
    """What holds for the containers of functions, of builds' functions and of shells, and for sandboxes."""

    # The OCI runtime, as the engine's configuration names it; "": the engine's default.
    runtime: str = ""
    # MiB that a container may use which asks for no limit; 0: all that the host has.
    memory_limit_mib: int = 0
    # "UID:GID" of functions, shells and sandboxes; "": root, or the image's user.
    user: str = ""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], shared_mib: int) -> "Containment":
        """Read the WHERRY_CONTAINERS_ variables; raise `Unready` naming one that makes no sense.

        `shared_mib`: the memory that containers of this host may share.
        """
        return cls(
            runtime=read_runtime(environ, RUNTIME),
            memory_limit_mib=_memory_limit(environ, shared_mib),
            user=_user(environ),
        )

    def memory_limit(self, limit_mib: int | None, request_mib: int | None) -> "MemoryLimit":
        """Return what a container gets that asks for these, in MiB; what is set aside for it, it may use."""
        if limit_mib or not self.memory_limit_mib:
            return MemoryLimit(limit_mib) if limit_mib else NO_LIMIT
        return MemoryLimit(max(self.memory_limit_mib, request_mib or 0), is_default=True)

    def found_limit(self, mib: int | None) -> MemoryLimit:
        """Return the limit that a container of an earlier life has, in MiB."""
        return MemoryLimit(mib, is_default=mib == self.memory_limit_mib) if mib else NO_LIMIT

    @property
    def mark(self) -> str:
        """What is equal for services whose containers are contained alike; "": as the engine has it."""
        return " ".join(filter(None, (self.runtime, self.user)))


def read_runtime(environ: Mapping[str, str], name: str) -> str:
    """Return the runtime that a variable names, "" for none; raise `Unready` for what is no name."""
    runtime = environ.get(name, "")
    if runtime and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", runtime):
        raise Unready(f"{name} is {runtime!r}: it must be a runtime's name, for example runsc")
    return runtime


def _user(environ: Mapping[str, str]) -> str:
    given = environ.get(USER, "")
    if not given:
        return ""
    match = re.fullmatch(r"(\d{1,5})(?::(\d{1,5}))?", given)
    if match is None or not 1 <= int(match[1]) <= MOST_ID or int(match[2] or 1) > MOST_ID:
        raise Unready(
            f"{USER} is {given!r}: write UID or UID:GID in numbers, since a name is not in every image, such as "
            f"1000:1000; from 1 to {MOST_ID}. Unset: root, or the image's user"
        )
    return f"{int(match[1])}:{int(match[2] or match[1])}"


def _memory_limit(environ: Mapping[str, str], shared_mib: int) -> int:
    given = environ.get(MEMORY_LIMIT, "")
    if not given:
        return shared_mib
    mib = read_size(MEMORY_LIMIT, given) + (1 << 20) - 1 >> 20
    if 0 < mib < LEAST_MIB:
        raise Unready(f"{MEMORY_LIMIT} is {given}: it is at least {LEAST_MIB}MiB, or 0 for no limit")
    return mib


def check_runtimes(environ: Mapping[str, str], status: EngineStatus) -> None:
    """Raise `Unready` naming the first variable with a runtime that this engine does not have."""
    if not status.reachable or not status.runtimes:
        return
    for name in (RUNTIME, SANDBOX_RUNTIME):
        runtime = environ.get(name, "")
        if runtime and runtime not in status.runtimes and not runtime.startswith(_BUILT_IN):
            known = ", ".join(sorted(one for one in status.runtimes if not one.startswith(_BUILT_IN)))
            raise Unready(
                f"{name} is {runtime!r}, and this engine has no such runtime, only {known}: add it to the engine's "
                "configuration (docs/security.md, gVisor) and restart the engine, or leave the setting out"
            )


async def check_engine(engine: Engine, environ: Mapping[str, str]) -> None:
    """Raise `Unready` if the engine answers, and lacks a runtime that the variables name."""
    if not any(environ.get(name) for name in (RUNTIME, SANDBOX_RUNTIME)):
        return
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            status = await engine.status()
    except TimeoutError:
        status = EngineStatus(reachable=False, error="the engine is slow")
    check_runtimes(environ, status)
    if not status.reachable:
        log.warning("whether the engine has the runtimes of the settings can't be checked: %s", status.error)
