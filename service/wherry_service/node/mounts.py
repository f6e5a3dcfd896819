"""Where volumes and buckets appear in containers."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from urllib.parse import urlsplit

from wherry_proto.messages import BucketMount, LocalMount, VolumeMount
from wherry_service.engines.mount_places import checked_place
from wherry_service.errors import InvalidRequest
from wherry_service.node.node import BucketOrder, VolumeOrder

MAX_VOLUMES = 64
MAX_PREFIX = 1024
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}\Z")


def volume_orders(
    owner: str,
    mounts: Sequence[VolumeMount],
    local_mounts: Sequence[LocalMount],
    bucket_mounts: Sequence[BucketMount] = (),
) -> tuple[VolumeOrder, ...]:
    """Return what to mount; raise `InvalidRequest` naming the owner and the place that can't be."""
    if len(mounts) + len(bucket_mounts) > MAX_VOLUMES:
        raise InvalidRequest(f"{owner} has {len(mounts) + len(bucket_mounts)} volumes, over {MAX_VOLUMES}")
    places = {mount.remote_path for mount in local_mounts}
    ids: set[str] = set()
    for path in [*(mount.path for mount in mounts), *(bucket.path for bucket in bucket_mounts)]:
        place = checked_place(owner, path)
        if place in places:
            raise InvalidRequest(f"{owner} has two volumes or mounts at {place}")
        places.add(place)
    for mount in mounts:
        if mount.volume_id in ids:
            raise InvalidRequest(f"{owner} has volume {mount.volume_id} twice: give it one place")
        ids.add(mount.volume_id)
    for bucket in bucket_mounts:
        _check_bucket(owner, bucket)
    return tuple(
        VolumeOrder(mount.volume_id, checked_place(owner, mount.path), mount.read_only, mount.sub_path)
        for mount in mounts
    )


async def bucket_orders(
    owner: str, mounts: Sequence[BucketMount], secret_values: Callable[[Sequence[str]], Awaitable[Mapping[str, str]]]
) -> tuple[BucketOrder, ...]:
    """Return the buckets to mount, with what their secrets hold now; raise `ServiceError` where there is none."""
    return tuple(
        [
            BucketOrder(
                bucket=mount.bucket,
                path=checked_place(owner, mount.path),
                endpoint_url=mount.endpoint_url,
                key_prefix=mount.key_prefix,
                read_only=mount.read_only,
                requester_pays=mount.requester_pays,
                credentials=_credentials(mount, await secret_values([mount.secret_id])) if mount.secret_id else {},
            )
            for mount in mounts
        ]
    )


def _check_bucket(owner: str, mount: BucketMount) -> None:
    if not _BUCKET.match(mount.bucket):
        raise InvalidRequest(f"{owner}: {mount.bucket[:80]!r} is no name of a bucket")
    if mount.endpoint_url:
        parts = urlsplit(mount.endpoint_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise InvalidRequest(f"{owner}: the endpoint of bucket {mount.bucket!r} must be https://HOST:PORT")
    prefix = mount.key_prefix
    if prefix and (
        not prefix.endswith("/")
        or len(prefix) > MAX_PREFIX
        or "\0" in prefix
        or not {".", "..", ""}.isdisjoint(prefix[:-1].split("/"))
    ):
        raise InvalidRequest(f"{owner}: {prefix[:80]!r} is no prefix of keys: it must end with '/', without '..'")


def _credentials(mount: BucketMount, values: Mapping[str, str]) -> Mapping[str, str]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        if not values.get(name):
            raise InvalidRequest(
                f"the secret of bucket {mount.bucket!r} has no {name}: give it AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or mount the bucket without a secret if anyone may read it"
            )
    return values
