"""A builder of images with nothing beside it: no settings, no secrets, no volumes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.fakes.host import gpus_of
from wherry_service.engines.containment import Containment
from wherry_service.engines.engine import Engine
from wherry_service.errors import NotFound
from wherry_service.images.builder import ImageBuilder
from wherry_service.images.settings import ImageSettings
from wherry_service.store.blobs import BlobStore
from wherry_service.store.images import ImageStore
from wherry_service.store.sources import SourceStore
from wherry_service.store.volumes import VolumeStore


class NoObjects:
    """There are none (implements `images.BuildObjects`)."""

    async def secret_values_of(self, secret_ids: Sequence[str], environment: str) -> Mapping[str, str]:
        raise NotFound("this service keeps no secrets")

    async def check_secrets(self, secret_ids: Sequence[str], environment: str) -> None:
        raise NotFound("this service keeps no secrets")

    async def check_volumes(self, volume_ids: Sequence[str], environment: str) -> None:
        raise NotFound("this service keeps no volumes")


def builder_of(
    engine: Engine, work_dir: Path, records: ImageStore, blobs: BlobStore, sources: SourceStore
) -> ImageBuilder:
    """Return a builder of these."""
    volumes = VolumeStore(work_dir.parent / "volumes")
    return ImageBuilder(
        engine, work_dir, records, blobs, sources, ImageSettings(), NoObjects(), volumes, {}, Containment(), gpus_of()
    )
