"""Disks, as commands show them."""

from collections.abc import Sequence
from typing import Any

from wherry._screen.table import size_of
from wherry_proto.messages import DiskSpace

LOW = 0.1


def described(disks: Sequence[DiskSpace]) -> list[dict[str, Any]]:
    """Return them as JSON has them."""
    return [
        {"path": one.path, "free_bytes": one.free_bytes, "total_bytes": one.total_bytes, "low": is_low(one)}
        for one in disks
    ]


def is_low(disk: DiskSpace) -> bool:
    """Whether less than 10 % is free."""
    return disk.free_bytes < LOW * disk.total_bytes


def lines(disks: Sequence[DiskSpace]) -> list[str]:
    """Return a line for each."""
    return [f"{size_of(one.free_bytes) or '0 B'} of {size_of(one.total_bytes)} free at {one.path}" for one in disks]


def warnings(disks: Sequence[DiskSpace]) -> list[str]:
    """Return a line for each that is nearly full."""
    return [
        f"Warning: less than {LOW:.0%} of the disk at {one.path} is free. `wherry system df` shows what takes room, "
        "`wherry system prune` makes some."
        for one in disks
        if is_low(one)
    ]
