"""Volumes and buckets as containers are to have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry._objects.volume_files import VolumeFiles
from wherry._publish.secrets import secret_ids
from wherry.cloud_bucket_mount import CloudBucketMount
from wherry_proto.messages import BucketMount, VolumeMount

if TYPE_CHECKING:
    from wherry._connection.client import Client
    from wherry._define.places import Placed


def volume_mounts(
    client: Client, wanted: Placed, app_id: str, environment: str, creates: bool = True
) -> list[VolumeMount]:
    """Look for the volumes and return where containers are to have them; raise NotFoundError.

    Without `creates` none is made: one that would be has an id that no volume has.
    """
    return [
        volume.mounted_at(client, place, app_id, environment, creates)
        for place, volume in wanted
        if isinstance(volume, VolumeFiles)
    ]


def bucket_mounts(client: Client, wanted: Placed, app_id: str, environment: str = "") -> list[BucketMount]:
    """Look for the buckets' secrets and return where containers are to have the buckets; raise NotFoundError."""
    buckets = [(place, one) for place, one in wanted if isinstance(one, CloudBucketMount)]
    wanted_secrets = [(bucket.secret,) if bucket.secret is not None else () for _, bucket in buckets]
    ids = secret_ids(client, wanted_secrets, app_id, environment)
    return [
        BucketMount(
            path=place,
            bucket=bucket.bucket_name,
            endpoint_url=bucket.bucket_endpoint_url or "",
            key_prefix=bucket.key_prefix or "",
            secret_id=own[0] if own else "",
            read_only=bucket.read_only,
            requester_pays=bucket.requester_pays,
        )
        for (place, bucket), own in zip(buckets, ids, strict=True)
    ]
