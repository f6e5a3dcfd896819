"""Volumes and buckets among a function's options: checked where written, looked for when the app is brought up."""

from __future__ import annotations

from wherry._base.hints import TYPE_CHECKING, Any
from wherry.exception import InvalidError, NotFoundError

if TYPE_CHECKING:
    from wherry._connection.client import Client
    from wherry._objects.volume_files import VolumeFiles
    from wherry.cloud_bucket_mount import CloudBucketMount
    from wherry_proto.messages import BucketMount, VolumeMount

    Placed = tuple[tuple[str, VolumeFiles | CloudBucketMount], ...]

_RESERVED = ("/wherry", "/run", "/var/run", "/proc", "/sys", "/dev")
_NEEDED = ("/", "/bin", "/sbin", "/lib", "/lib64", "/etc", "/usr", "/usr/bin", "/usr/lib", "/usr/local", "/tmp")


def placed(parameter: str, given: Any) -> Placed:
    """Return (place, volume or bucket) for each; raise InvalidError naming the place or volume that can't be."""
    if not given:
        return ()
    from wherry._objects.volume_files import VolumeFiles  # only for functions that have one
    from wherry.cloud_bucket_mount import CloudBucketMount

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
            if isinstance(known, VolumeFiles) and isinstance(volume, VolumeFiles) and known._is_same(volume):
                raise InvalidError(f"{parameter} has {volume!r} twice, at {other} and {place}: give it one place")
        found.append((place, volume))
    return tuple(found)


def together(parameter: str, first: Placed, second: Placed) -> Placed:
    """Return an app's volumes and its function's; at the same place the function's counts."""
    merged = {**dict(first), **dict(second)}
    return placed(parameter, merged)


def mounts(client: Client, wanted: Placed, app_id: str, environment: str, creates: bool = True) -> list[VolumeMount]:
    """Look for the volumes and return where containers are to have them; raise NotFoundError.

    Without `creates` none is made: one that would be has an id that no volume has.
    """
    from wherry._objects.volume_files import VolumeFiles  # as above
    from wherry_proto.messages import VolumeMount  # not needed to import wherry

    def id_of(volume: VolumeFiles) -> str:
        try:
            return volume._id_for(client, app_id, environment, creates)
        except NotFoundError:
            if creates or not volume._create:
                raise
            return "vo-new"

    return [
        VolumeMount(
            volume_id=id_of(volume),
            path=place,
            read_only=volume._read_only,
            sub_path=volume._sub_path,
        )
        for place, volume in wanted
        if isinstance(volume, VolumeFiles)
    ]


def bucket_mounts(client: Client, wanted: Placed, app_id: str, environment: str = "") -> list[BucketMount]:
    """Look for the buckets' secrets and return where containers are to have the buckets; raise NotFoundError."""
    if not wanted:
        return []
    from wherry.cloud_bucket_mount import CloudBucketMount  # as above

    buckets = [(place, one) for place, one in wanted if isinstance(one, CloudBucketMount)]
    return [bucket._mounted_at(client, place, app_id, environment) for place, bucket in buckets]


def _checked(parameter: str, path: str) -> str:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not path.startswith("/") or ".." in parts or ":" in path or "\0" in path:
        raise InvalidError(f"{parameter} has a volume at {path!r}: a place is an absolute path, without '..' and ':'")
    place = "/" + "/".join(parts)
    if place in _NEEDED or any(place == one or place.startswith(f"{one}/") for one in _RESERVED):
        raise InvalidError(f"{parameter} has a volume at {place}, which containers need themselves: choose another")
    return place
