"""What a service finds on its host: where its database and its blobs are, and how much containers may share."""

import os
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from wherry_service.engines.volume_driver import VolumeDriver
from wherry_service.ingress.settings import DEFAULT_PORT, HttpSettings, is_loopback
from wherry_service.settings import Settings
from wherry_service.store.blobs import BlobStore
from wherry_service.store.bucket import BlobSettings, Bucket
from wherry_service.store.bucket_blobs import BucketBlobStore
from wherry_service.store.volumes import VolumeStore

# Of the host's memory, this part is for containers.
MEMORY_PART = 0.8
# Seconds over which it is seen how busy the processors are.
LOOK_S = 0.5


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


def processor_times() -> tuple[float, float]:
    """Return the processors' time since the host began, used and in all, in any unit; raise OSError if unknown."""
    with open("/proc/stat", encoding="ascii") as file:
        # user, nice, system, idle, iowait, irq, softirq, steal
        times = [float(word) for word in file.readline().split()[1:9]]
    return sum(times) - times[3] - times[4], sum(times)


class Processors:
    """How busy this host's processors are: of all that runs on it."""

    def __init__(
        self, times: Callable[[], tuple[float, float]] = processor_times, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._times = times
        self._now = now
        self._number = 0
        self._busy = 1.0
        self._looked_at = -LOOK_S
        self._used = self._all = 0.0

    def busy(self) -> tuple[int, float]:
        """Return the number of the latest look, and the part of their time that was used before it; all, if unknown."""
        now = self._now()
        if now - self._looked_at < LOOK_S:
            return self._number, self._busy
        # Of a look long after the one before nothing follows for now.
        is_recent = self._number > 0 and now - self._looked_at < 10 * LOOK_S
        try:
            used, total = self._times()
        except (OSError, ValueError, IndexError):
            return self._number, 1.0
        passed = total - self._all
        self._busy = (used - self._used) / passed if is_recent and passed > 0 else 1.0
        self._used, self._all, self._looked_at = used, total, now
        self._number += 1
        return self._number, self._busy


def open_ports(settings: Settings, http: HttpSettings) -> tuple[int, ...]:
    """Return the ports of this host that the service has opened to everyone, so also to containers on it."""
    found: set[int] = set()
    host, _, port = settings.listen.rpartition(":")
    if host and not is_loopback(host):
        found.add(int(port))
        if settings.public_url:
            url = urllib.parse.urlsplit(settings.public_url)
            found.add(url.port or (80 if url.scheme == "http" else 443))
    if not is_loopback(http.host):
        found.add(http.port or DEFAULT_PORT)
    if http.public_port is not None:
        found.add(http.public_port)
    return tuple(sorted(found - {0}))
