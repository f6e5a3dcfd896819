"""The runner's own file descriptors, out of reach of programs that close all they find.

Daemons and their libraries do so: `os.closerange(3, 65536)`, or `os.close` in a loop. The runner's are high, where no
program's own come to be, and `os.close` and `os.closerange` leave them alone.
"""

from __future__ import annotations

import os
import posix
from select import epoll

# Above what most sweeps reach, and all below 4,096: the kernel's table of descriptors then has 32 KiB, not 64.
ROOM = 64
FIRST = 4096 - ROOM

_held: set[int] = set()
_close, _closerange = os.close, os.closerange


def move(fd: int) -> int:
    """Move a descriptor up, out of reach; return its new number. Where there is no room: its own."""
    for place in _places():
        if place not in _held and not _is_open(place):
            os.dup2(fd, place, inheritable=False)
            _close(fd)
            fd = place
            break
    _held.add(fd)
    return fd


def new_epoll() -> epoll:
    """Return an epoll object out of reach."""
    low = epoll()
    return epoll.fromfd(move(os.dup(low.fileno())))


def hold(*fds: int) -> None:
    """Keep descriptors that can't be moved from being closed by user code."""
    _held.update(fds)


def let_go(fd: int) -> None:
    """Take back `move` or `hold`, before the descriptor is closed."""
    _held.discard(fd)


def close(fd: int) -> None:
    """Close a file descriptor, unless it is one of the container's own. (`os.close` in containers.)"""
    if type(fd) is not int or fd not in _held:
        _close(fd)


def closerange(fd_low: int, fd_high: int, /) -> None:
    """Close all file descriptors in [fd_low, fd_high), but for the container's own. (`os.closerange` in containers.)"""
    if _held and type(fd_low) is type(fd_high) is int:
        for fd in sorted(_held):
            if fd_low <= fd < fd_high:
                _closerange(fd_low, fd)
                fd_low = fd + 1
    _closerange(fd_low, fd_high)


def guard() -> None:
    """Have user code's `os.close` and `os.closerange` leave the runner's descriptors alone."""
    for module in (os, posix):
        module.close, module.closerange = close, closerange  # type: ignore[attr-defined]


def become_child() -> None:
    """After a fork: a child may close all that it has."""
    _held.clear()
    for module in (os, posix):
        module.close, module.closerange = _close, _closerange  # type: ignore[attr-defined]


def _places() -> range:
    limit = os.sysconf("SC_OPEN_MAX")
    first = FIRST if limit < 0 else min(FIRST, limit - ROOM)
    return range(first, first + ROOM) if first >= ROOM else range(0)


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
