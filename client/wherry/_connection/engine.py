"""Which engine a service that is started here would use. The service's own code says so, in a process of its own."""

import importlib.util
import json
import subprocess
import sys

_WITHIN_S = 20.0


def engine_here() -> str:
    """Return address and origin of the engine, or why there is none; "" where the service is not installed."""
    if importlib.util.find_spec("wherry_service") is None:
        return ""
    command = [sys.executable, "-P", "-m", "wherry_service.engines.endpoint"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_WITHIN_S)
        found = json.loads(done.stdout)
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return ""
    return str(found["error"]) or f"{found['address']} ({found['origin']})"
