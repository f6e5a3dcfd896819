"""Volumes: directories that functions and programs share."""

from __future__ import annotations

from wherry._base.blocking import blocking_classmethod
from wherry._base.hints import TYPE_CHECKING, Any
from wherry._objects.volume_files import FileEntry, FileEntryType, VolumeFiles

if TYPE_CHECKING:
    from wherry._connection.client import Client

__all__ = ["FileEntry", "FileEntryType", "Volume"]


class Volume(VolumeFiles):
    """A directory that functions have at a place of their own: `@app.function(volumes={"/data": volume})`.

    What one container writes the others and clients see at once. It lies on the service's disk. (reference: Volume)
    """

    _kind, _prefix, _service = "volume", "vo", "Volumes"

    @blocking_classmethod
    def lookup(
        cls: Any,
        name: str,
        namespace: Any = None,
        client: Client | None = None,
        environment_name: str | None = None,
        create_if_missing: bool = False,
    ) -> Volume:
        """As `from_name`, looked for at once. (reference: Volume.lookup)"""
        found: Volume = cls._looked_up(name, client, environment_name, create_if_missing)
        return found
