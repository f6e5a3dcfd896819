"""Shared volumes, what network file systems were called until the middle of 2023."""

from __future__ import annotations

from wherry._base.hints import TYPE_CHECKING, Any
from wherry._define.step import deprecated
from wherry.network_file_system import NetworkFileSystem

if TYPE_CHECKING:
    from typing import Self

__all__ = ["SharedVolume", "SharedVolumeHandle"]


class SharedVolume(NetworkFileSystem):
    """The older name of `NetworkFileSystem`.

    `SharedVolume()` is an app's own, as `NetworkFileSystem.new()`; `SharedVolume().persist("name")` has a name.
    (reference: SharedVolume)
    """

    def __init__(self, **how: Any) -> None:
        super().__init__(**(how or {"is_own": True}))

    def persist(self, label: str, namespace: Any = None, environment_name: str | None = None) -> Self:
        """Return the one of that name, which is made if it is missing. (reference: SharedVolume.persist)"""
        deprecated("SharedVolume.persist", "NetworkFileSystem.from_name(…, create_if_missing=True)")
        return type(self).from_name(label, environment_name=environment_name, create_if_missing=True)


SharedVolumeHandle = SharedVolume
