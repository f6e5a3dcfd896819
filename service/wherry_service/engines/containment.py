"""What the one who runs the service decides about all containers that run code of others."""

import asyncio
import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from wherry_service.engines.engine import Engine, EngineStatus
from wherry_service.errors import Unready

log = logging.getLogger(__name__)

RUNTIME = "WHERRY_CONTAINERS_RUNTIME"
SANDBOX_RUNTIME = "WHERRY_SANDBOX_RUNTIME"
# Seconds that the engine gets to say what it has.
ANSWER_WITHIN_S = 5.0
# Names of containerd's own, which engines know without an entry in their configuration.
_BUILT_IN = "io.containerd."


@dataclass(frozen=True, slots=True)
class Containment:
    """What holds for the containers of functions, of builds' functions and of shells, and for sandboxes."""

    # The OCI runtime, as the engine's configuration names it; "": the engine's default.
    runtime: str = ""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "Containment":
        """Read the WHERRY_CONTAINERS_ variables; raise `Unready` naming one that makes no sense."""
        return cls(runtime=read_runtime(environ, RUNTIME))

    @property
    def mark(self) -> str:
        """What is equal for services whose containers are contained alike; "": as the engine has it."""
        return self.runtime


def read_runtime(environ: Mapping[str, str], name: str) -> str:
    """Return the runtime that a variable names, "" for none; raise `Unready` for what is no name."""
    runtime = environ.get(name, "")
    if runtime and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", runtime):
        raise Unready(f"{name} is {runtime!r}: it must be a runtime's name, for example runsc")
    return runtime


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
