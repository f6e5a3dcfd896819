"""How busy the GPUs of this host are, and how much of their memory is used, as `nvidia-smi` says."""

import shutil
import subprocess
from typing import NamedTuple

_COMMAND = (
    "nvidia-smi", "--query-gpu=index,uuid,utilization.gpu,memory.used", "--format=csv,noheader,nounits",
)  # fmt: skip
# Seconds that it gets.
WITHIN_S = 10.0


class GpuUse(NamedTuple):
    """What is used of one GPU: a part of its time, from 0 to 1, and bytes of its memory."""

    busy: float
    memory_bytes: int


def look() -> dict[str, GpuUse]:
    """Return what is used of each GPU, by its number and by its UUID; {} where nobody knows. Blocks."""
    if shutil.which(_COMMAND[0]) is None:
        return {}
    try:
        done = subprocess.run(_COMMAND, capture_output=True, text=True, check=True, timeout=WITHIN_S)
    except (OSError, subprocess.SubprocessError):
        return {}
    return read(done.stdout)


def read(text: str) -> dict[str, GpuUse]:
    """Return what its lines say; a GPU of which it does not know all is left out."""
    found: dict[str, GpuUse] = {}
    for line in text.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) == 4 and parts[2].isdigit() and parts[3].isdigit():
            use = GpuUse(int(parts[2]) / 100, int(parts[3]) << 20)
            found[parts[0]] = found[parts[1]] = use
    return found
