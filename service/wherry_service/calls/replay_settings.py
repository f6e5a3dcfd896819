"""What the service's environment says about inputs that failed and are kept."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from wherry_service.errors import Unready

MAX_INPUTS = 10_000
MAX_BYTES = 1 << 30
KEEP_DAYS = 30.0
_DAY_MS = 86_400_000
_MOST_INPUTS = 1_000_000
_MOST_DAYS = 3650.0


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """How much is kept of spawned and scheduled inputs that failed."""

    # 0: none is kept.
    max_inputs: int = MAX_INPUTS
    # Of their arguments together.
    max_bytes: int = MAX_BYTES
    # 0: however old they are.
    keep_days: float = KEEP_DAYS

    @property
    def keep_ms(self) -> int:
        """The same in milliseconds."""
        return int(self.keep_days * _DAY_MS)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "ReplaySettings":
        """Read WHERRY_REPLAY_…; raise `Unready`, which names the variable, for nonsense."""
        return cls(
            int(_number(environ, "WHERRY_REPLAY_MAX_INPUTS", MAX_INPUTS, _MOST_INPUTS)),
            int(_number(environ, "WHERRY_REPLAY_MAX_BYTES", MAX_BYTES, 1 << 50)),
            _number(environ, "WHERRY_REPLAY_KEEP_DAYS", KEEP_DAYS, _MOST_DAYS),
        )


def _number(environ: Mapping[str, str], name: str, default: float, most: float) -> float:
    text = environ.get(name, "")
    try:
        value = float(text) if text else float(default)
    except ValueError:
        value = -1.0
    if not 0 <= value <= most:
        raise Unready(f"{name} is {text[:64]!r}: it must be a number from 0 to {most:g}")
    return value
