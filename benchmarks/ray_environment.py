"""Ray in an environment of its own, so that its packages meet none of ours."""

import json
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ENVIRONMENT = HERE.parent / ".dev" / "ray"
INSTALL_TIMEOUT_S = 900
RUN_TIMEOUT_S = 300


def measure_ray(rounds: int, many: int) -> dict[str, Any] | str:
    """Return Ray's times, or a sentence that says why there are none."""
    python = ENVIRONMENT / "bin" / "python"
    try:
        if not python.exists():
            print("installing Ray into an environment of its own, once …", file=sys.stderr)
            venv.create(ENVIRONMENT, with_pip=True, clear=True)
            install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "ray"]
            subprocess.run(install, check=True, timeout=INSTALL_TIMEOUT_S, capture_output=True)
        command = [str(python), str(HERE / "ray_peer.py"), str(rounds), str(many)]
        done = subprocess.run(command, check=True, timeout=RUN_TIMEOUT_S, capture_output=True, text=True)
        found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        detail = (getattr(error, "stderr", b"") or b"")[-300:]
        return f"Ray could not be measured here: {type(error).__name__} {error} {detail!r}"
    return found
