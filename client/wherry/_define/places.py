"""Volumes and buckets among a function's options: checked where written, looked for when the app is brought up."""

from __future__ import annotations

from wherry._base.hints import TYPE_CHECKING, Any
from wherry.exception import InvalidError

if TYPE_CHECKING:
    from wherry._objects.volume_files import VolumeFiles
    from wherry.cloud_bucket_mount import CloudBucketMount

    Placed = tuple[tuple[str, VolumeFiles | CloudBucketMount], ...]

_RESERVED = ("/wherry", "/run", "/var/run", "/proc", "/sys", "/dev")
_NEEDED = ("/", "/bin", "/sbin", "/lib", "/lib64", "/etc", "/usr", "/usr/bin", "/usr/lib", "/usr/local", "/tmp")


def placed(parameter: str, given: Any) -> Placed:
    """Return (place, volume or bucket) for each; raise InvalidError naming the place or volume that can't be."""
    if not given:
        return ()
    from wherry._objects.volume_files import VolumeFiles  # noqa: PLC0415 - start-up cost: only for functions that have one
    from wherry.cloud_bucket_mount import CloudBucketMount  # noqa: PLC0415 - start-up cost: as above

    if not hasattr(given, "items"):
        raise InvalidError(f'{parameter} is {given!r}: it must be a dict of places, as in {{"/data": volume}}')
    found: list[tuple[str, VolumeFiles | CloudBucketMount]] = []
    for path, volume in given.items():
        if isinstance(volume, CloudBucketMount) and parameter != "volumes":
            raise InvalidError(f"{parameter} has {volume!r} at {path}: a bucket is mounted with volumes=")
        if not isinstance(volume, VolumeFiles | CloudBucketMount):
            raise InvalidError(f"{parameter} has {volume!r} at {path}: it must be a wherry.Volume, as from_name gives")
        place = _checked(parameter, str(path))
        for other, known in found:
            if other == place:
                raise InvalidError(f"{parameter} has two volumes at {place}")
            # The same bucket may well be twice there: with another prefix, or once to read only.
            if isinstance(known, VolumeFiles) and isinstance(volume, VolumeFiles) and known.is_same(volume):
                raise InvalidError(f"{parameter} has {volume!r} twice, at {other} and {place}: give it one place")
        if isinstance(volume, VolumeFiles):
            volume.be_given()
        found.append((place, volume))
    return tuple(found)


def together(parameter: str, first: Placed, second: Placed) -> Placed:
    """Return an app's volumes and its function's; at the same place the function's counts."""
    merged = {**dict(first), **dict(second)}
    return placed(parameter, merged)


def _checked(parameter: str, path: str) -> str:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not path.startswith("/") or ".." in parts or ":" in path or "\0" in path:
        raise InvalidError(f"{parameter} has a volume at {path!r}: a place is an absolute path, without '..' and ':'")
    place = "/" + "/".join(parts)
    if place in _NEEDED or any(place == one or place.startswith(f"{one}/") for one in _RESERVED):
        raise InvalidError(f"{parameter} has a volume at {place}, which containers need themselves: choose another")
    return place
