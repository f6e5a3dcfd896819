"""Whether what is mounted here is there for the engine, too; and mounts of directories that are open."""

import ctypes
import os
import socket
import struct
from pathlib import Path

DEFAULT = "unix:///var/run/docker.sock"
_CREDENTIALS = struct.Struct("3i")
_BIND = 4096
_DETACH = 2
_libc = ctypes.CDLL(None, use_errno=True)


def is_beside(address: str | None = None) -> bool:
    """Return whether this process may mount, and the engine's socket belongs to a process with the same mounts.

    `address`: as DOCKER_HOST has it; None: what that says. An engine on another host, or a service in a container of
    its own, is not beside.
    """
    address = address or os.environ.get("DOCKER_HOST") or DEFAULT
    if not address.startswith("unix://") or os.geteuid() != 0:
        return False
    with socket.socket(socket.AF_UNIX) as asked:
        try:
            asked.connect(address.removeprefix("unix://"))
            raw = asked.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            pid, _, _ = _CREDENTIALS.unpack(raw)
            return pid > 0 and os.readlink(f"/proc/{pid}/ns/mnt") == os.readlink("/proc/self/ns/mnt")
        except OSError:
            return False


def bind(directory: int, place: Path) -> None:
    """Mount an open directory at an empty one; raise OSError."""
    source = f"/proc/self/fd/{directory}".encode()
    if _libc.mount(source, os.fsencode(place), None, ctypes.c_ulong(_BIND), None):
        raise _error(place)


def unbind(place: Path) -> None:
    """Take a mount away, also while it is used; raise OSError where there is none."""
    if _libc.umount2(os.fsencode(place), _DETACH):
        raise _error(place)


def _error(place: Path) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), str(place))
