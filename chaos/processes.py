"""Processes of this machine: found, and given signals without ever meeting another that has their number by now."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


class Process:
    """One process. A number that is given anew later is not it."""

    def __init__(self, pid: int) -> None:
        """Raises ProcessLookupError when there is none of that number."""
        self.pid = pid
        self._file = os.pidfd_open(pid)

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError, OSError):
            os.close(self._file)

    def send(self, number: int) -> bool:
        """Give it a signal; return whether it was there to get it."""
        try:
            signal.pidfd_send_signal(self._file, number)
        except ProcessLookupError:
            return False
        return True


def commands() -> Iterator[tuple[int, list[str]]]:
    """Give all processes with their command lines."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                line = Path("/proc", entry, "cmdline").read_bytes().rstrip(b"\0")
                if line:
                    yield int(entry), [os.fsdecode(word) for word in line.split(b"\0")]


def service_process(state_dir: Path) -> Process | None:
    """Return the service of a state directory, also one that is only starting."""
    for pid, words in commands():
        if "wherry_service" in words and str(state_dir) in words:
            with contextlib.suppress(ProcessLookupError):
                return Process(pid)
    return None


def memory_mib(pid: int) -> float:
    """Return the resident memory of a process in MiB; 0 when it is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0


def open_files(pid: int) -> int:
    """Return how many descriptors a process has; 0 when it is gone."""
    with contextlib.suppress(OSError):
        return len(os.listdir(f"/proc/{pid}/fd"))
    return 0


def until(condition: Callable[[], T], what: str, deadline_s: float) -> T:
    """Wait for a condition, and return its first true value. Raises TimeoutError that says what there was not."""
    deadline = time.monotonic() + deadline_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {deadline_s:g} s: {what}")
        time.sleep(0.05)
    return value
