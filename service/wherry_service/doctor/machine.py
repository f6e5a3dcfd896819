"""This machine without its engine: disk, memory, the state directory, ports, GPUs."""

import errno
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from wherry_service.doctor.finding import Finding, well, wrong
from wherry_service.ingress.settings import DEFAULT_PORT

GIB = 1 << 30
# A disk is short with less than this, or with less than a tenth of it where that is not plenty.
LEAST_DISK = 2 * GIB
PLENTY_DISK = 20 * GIB
LEAST_MEMORY = GIB // 2
_ROOM = "wherry image prune; docker builder prune"
_NVIDIA_WITHIN_S = 15.0


def existing(path: Path) -> Path:
    """Return a directory, or the nearest above it that exists."""
    return next((place for place in (path, *path.parents) if place.is_dir()), Path("/"))


def disk(name: str, place: Path, usage: Callable[[Path], tuple[int, int, int]] = shutil.disk_usage) -> Finding:
    """Look at the disk below a directory."""
    total, _, free = usage(place)
    said = f"{_gib(free)} of {_gib(total)} are free ({place})"
    if free < LEAST_DISK or (free < total / 10 and free < PLENTY_DISK):
        return wrong(name, said, _ROOM)
    return well(name, said)


def memory(path: Path = Path("/proc/meminfo")) -> Finding:
    """Look at this machine's memory."""
    try:
        rows = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
        total, free = (int(rows[key].split()[0]) << 10 for key in ("MemTotal", "MemAvailable"))
    except (OSError, KeyError, ValueError, IndexError):
        return well("Memory", "this system does not say how much is free")
    said = f"{_gib(free)} of {_gib(total)} are free"
    if free < LEAST_MEMORY:
        return wrong("Memory", said, "end what is not needed: ps -e --sort=-rss -o rss,pid,comm | head")
    return well("Memory", said)


def state_directory(state_dir: Path, longest: int) -> Finding:
    """Look whether the service can keep its files there; `longest`: bytes that its path may have."""
    length = len(os.fsencode(os.path.realpath(state_dir)))
    mend = "export WHERRY_STATE_DIR=$HOME/.wherry"
    if length > longest:
        told = f"the path of {state_dir} has {length} bytes, and sockets below it leave room for {longest}"
        return wrong("State directory", told, mend)
    place = existing(state_dir)
    probe = place / f".doctor-{os.getpid()}"
    try:
        probe.touch(mode=0o600)
        probe.unlink()
    except OSError as error:
        return wrong("State directory", f"{place} can't be written: {error.strerror}", mend)
    missing = "" if place == state_dir else ", which the first start makes"
    return well("State directory", f"{state_dir}{missing}")


def ports(wanted: Iterable[tuple[str, str, int]], *, is_served: bool) -> list[Finding]:
    """Look at ports, each (setting, host, port): whether the service can have them, or has them."""
    found: list[Finding] = []
    for setting, host, port in wanted:
        name = f"Port {port}"
        taken = _taken(host, port)
        if is_served or not taken:
            found.append(well(name, f"{'is in use' if taken else 'is free'} ({setting})"))
        elif setting == "http.port" and port == DEFAULT_PORT:
            found.append(well(name, "is another program's: web endpoints get another port"))
        else:
            found.append(wrong(name, f"can't be listened on: {taken} ({setting})", f"ss -ltnp 'sport = :{port}'"))
    return found


def _taken(host: str, port: int) -> str:
    """Return why a port can't be listened on; "" if it can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), port))
        except OSError as error:
            return "another program has it" if error.errno == errno.EADDRINUSE else str(error.strerror)
    return ""


def gpus(runtimes: Mapping[str, object] | None, which: Callable[[str], str | None] = shutil.which) -> Finding:
    """Look at NVIDIA's driver, and at Docker's part of it; `runtimes`: of the engine, None if it does not answer."""
    if which("nvidia-smi") is None:
        return well("GPU", "this machine has no NVIDIA driver, so functions get no GPU")
    listed, count = _listed_gpus()
    if not count:
        return wrong("GPU", f"nvidia-smi lists none: {listed}", "nvidia-smi -L")
    if runtimes is None or "nvidia" in runtimes or which("nvidia-container-runtime-hook"):
        return well("GPU", listed)
    return wrong(
        "GPU",
        f"{listed}; Docker can't give them to containers",
        "apt-get install nvidia-container-toolkit && nvidia-ctk runtime configure --runtime=docker && "
        "systemctl restart docker",
    )


def _listed_gpus() -> tuple[str, int]:
    try:
        done = subprocess.run(
            ["nvidia-smi", "-L"],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_NVIDIA_WITHIN_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error), 0
    lines = [line for line in done.stdout.splitlines() if line.startswith("GPU ")]
    if done.returncode or not lines:
        return (done.stderr or done.stdout).strip().splitlines()[-1] if (done.stderr or done.stdout).strip() else "", 0
    return "; ".join(line.partition(" (UUID")[0] for line in lines), len(lines)


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"
