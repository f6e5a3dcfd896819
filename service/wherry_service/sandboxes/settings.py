"""What the one who runs the service decides about sandboxes."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from wherry_service.engines.containment import RUNTIME, SANDBOX_RUNTIME, read_runtime
from wherry_service.errors import Unready

DEFAULT_PIDS = 1024
DEFAULT_LOG_MIB = 32
DEFAULT_FROM_FUNCTIONS = 64
KEEP_ENDED_S = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """The settings of all sandboxes of a service."""

    # The OCI runtime, as the engine's configuration names it; "": the engine's default.
    runtime: str = ""
    # Processes and threads that one may have.
    pids_limit: int = DEFAULT_PIDS
    # MiB of each one's output that are kept at least; twice that at most.
    log_mib: int = DEFAULT_LOG_MIB
    # Where tunnels listen.
    tunnel_host: str = "127.0.0.1"
    # Of one app, at a time, when code in a container asks for one more.
    most_from_functions: int = DEFAULT_FROM_FUNCTIONS

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "SandboxSettings":
        """Read the WHERRY_SANDBOX_ variables; raise `Unready` naming one that makes no sense."""
        return cls(
            runtime=read_runtime(environ, SANDBOX_RUNTIME) or read_runtime(environ, RUNTIME),
            pids_limit=_number(environ, "WHERRY_SANDBOX_PIDS", DEFAULT_PIDS, 16, 1 << 20),
            log_mib=_number(environ, "WHERRY_SANDBOX_LOG_MIB", DEFAULT_LOG_MIB, 1, 1 << 14),
            most_from_functions=_number(environ, "WHERRY_SANDBOX_FROM_FUNCTIONS", DEFAULT_FROM_FUNCTIONS, 0, 1 << 20),
            tunnel_host=environ.get("WHERRY_SANDBOX_TUNNEL_HOST", "") or "127.0.0.1",
        )


def _number(environ: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    given = environ.get(name, "")
    if not given:
        return default
    if not given.isdecimal() or not low <= int(given) <= high:
        raise Unready(f"{name} is {given!r}: it must be a whole number from {low} to {high}")
    return int(given)
