"""Volumes: directories that functions and programs share."""

from __future__ import annotations

from wherry._base.blocking import blocking, iterating_classmethod
from wherry._base.hints import TYPE_CHECKING, Any
from wherry._objects.managed import Managed
from wherry._objects.volume_files import FileEntry, FileEntryType, VolumeFiles

if TYPE_CHECKING:
    from typing import Self

    from wherry._connection.client import Client
    from wherry._objects.infos import VolumeInfo
    from wherry._objects.managers import VolumeManager
    from wherry._objects.shared import Ephemeral

__all__ = ["FileEntry", "FileEntryType", "Volume"]


class Volume(VolumeFiles):
    """A directory that functions mount at a path of their choice: `@app.function(volumes={"/data": volume})`.

    All containers and clients see at once what one of them writes. It is on the service's disk. (reference: Volume)
    """

    _kind, _prefix, _service = "volume", "vo", "Volumes"

    objects: Managed[VolumeManager] = Managed("VolumeManager")

    @iterating_classmethod
    def ephemeral(
        cls: Any,
        client: Client | None = None,
        environment_name: str | None = None,
        version: int | None = None,
        create_options: Any = None,
    ) -> Ephemeral[Volume]:
        """Return what makes a new volume for the length of a `with` or `async with` block.

        It is deleted with this program, too, however that ends. `version` and `create_options` make no difference.
        (reference: Volume.ephemeral)
        """
        made: Ephemeral[Volume] = cls._ephemeral(client, environment_name)
        return made

    @classmethod
    def from_name(
        cls,
        name: str,
        *,
        environment_name: str | None = None,
        create_if_missing: bool = False,
        version: int | None = None,
        create_options: Any = None,
        namespace: Any = None,
        client: Client | None = None,
    ) -> Self:
        """Return a handle on the volume of that name; looked for when first used.

        Raises NotFoundError then where there is none, unless `create_if_missing`. `version` and `create_options` make
        no difference: volumes have one format. (reference: Volume.from_name)
        """
        return super().from_name(
            name,
            environment_name=environment_name,
            create_if_missing=create_if_missing,
            namespace=namespace,
            client=client,
        )

    @classmethod
    def from_id(
        cls, volume_id: str | None = None, client: Client | None = None, *, object_id: str | None = None
    ) -> Self:
        """Return a handle on the volume of that id; raise InvalidError where it is no such id.

        `object_id` is the older name of `volume_id`. (reference: Volume.from_id)
        """
        return cls._of_id(client, volume_id=volume_id, object_id=object_id)

    @blocking
    def info(self) -> VolumeInfo:
        """Return the volume's name, and when it was created; raise NotFoundError. (reference: Volume.info)"""
        from wherry._objects.infos import VolumeInfo  # noqa: PLC0415 - start-up cost: only for those who ask

        found: VolumeInfo = self._looked_at(VolumeInfo)
        return found


def __getattr__(name: str) -> Any:
    if name == "VolumeManager":
        from wherry._objects.managers import VolumeManager  # noqa: PLC0415 - start-up cost: only for those who name it

        return VolumeManager
    if name in ("AbstractVolumeUploadContextManager", "VolumeUploadContextManager"):
        from wherry._objects.volume_upload import UploadBatch  # noqa: PLC0415 - start-up cost: as above

        return UploadBatch
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
