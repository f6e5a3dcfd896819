"""What a service finds on its host: where its database and its blobs are, and how much containers may share."""

import os
from pathlib import Path

import sqlalchemy as sa

from wherry_service.engines.volume_driver import VolumeDriver
from wherry_service.settings import Settings
from wherry_service.store.blobs import BlobStore
from wherry_service.store.bucket import BlobSettings, Bucket
from wherry_service.store.bucket_blobs import BucketBlobStore
from wherry_service.store.volumes import VolumeStore

# Of the host's memory, this part is for containers.
MEMORY_PART = 0.8


def database_url(settings: Settings, state_dir: Path) -> sa.URL:
    """Return where the database is: in the state directory, unless the settings name one."""
    if not settings.database_url:
        return sa.URL.create("sqlite", database=str(state_dir / "wherry.db"))
    url = sa.make_url(settings.database_url)
    return url.set(password=settings.database_password) if settings.database_password else url


def blobs_of(settings: BlobSettings, root: Path) -> BlobStore:
    """Return the store of blobs: a directory, or a bucket with what is in use in that directory."""
    return BucketBlobStore(root, Bucket.open(settings), settings.cache_bytes) if settings.url else BlobStore(root)


def volumes_of(settings: Settings, state_dir: Path) -> VolumeStore:
    """Return the store of volumes: directories of this host, which containers may have mounted by a driver."""
    root = settings.volumes_dir or state_dir / "volumes"
    driver = settings.volumes_driver
    return VolumeStore(root, VolumeDriver(driver, settings.volumes_options, root) if driver else None)


def host_size() -> tuple[float, int]:
    """Return the cores and the MiB that containers may share."""
    memory_mib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    return float(os.cpu_count() or 1), int(memory_mib * MEMORY_PART)
