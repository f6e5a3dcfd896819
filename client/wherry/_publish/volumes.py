"""Volumes and buckets as containers are to have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry._objects.volume_files import VolumeFiles
from wherry._publish.secrets import secret_ids
from wherry.cloud_bucket_mount import CloudBucketMount
from wherry_proto.messages import BucketMount, VolumeMount

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from wherry._connection.client import Client
    from wherry._define.places import Placed


def volume_mounts(
    client: Client, wanted: Iterable[Placed], app_id: str, environment: str, creates: bool = True
) -> list[list[VolumeMount]]:
    """Return where containers are to have volumes, row by row as they are wanted; raise NotFoundError.

    Each volume at a place is looked for once. Without `creates` none is made: one that would be has an id that no
    volume has.
    """
    rows = [[(place, one) for place, one in row if isinstance(one, VolumeFiles)] for row in wanted]
    distinct = {(place, id(volume)): volume for row in rows for place, volume in row}
    known = {
        (place, own): volume.mounted_at(client, place, app_id, environment, creates)
        for (place, own), volume in distinct.items()
    }
    return [[known[place, id(volume)] for place, volume in row] for row in rows]


def bucket_mounts(
    client: Client, wanted: Iterable[Placed], app_id: str, environment: str = ""
) -> list[list[BucketMount]]:
    """Return where containers are to have buckets, row by row as they are wanted; raise NotFoundError.

    Each bucket's secret is asked for once.
    """
    rows = [[(place, one) for place, one in row if isinstance(one, CloudBucketMount)] for row in wanted]
    secrets = [[bucket.secret for _, bucket in row if bucket.secret is not None] for row in rows]
    return [
        [_bucket_mount(place, bucket, ids) for place, bucket in row]
        for row, ids in zip(rows, map(iter, secret_ids(client, secrets, app_id, environment)), strict=True)
    ]


def _bucket_mount(place: str, bucket: CloudBucketMount, secret_ids: Iterator[str]) -> BucketMount:
    return BucketMount(
        path=place,
        bucket=bucket.bucket_name,
        endpoint_url=bucket.bucket_endpoint_url or "",
        key_prefix=bucket.key_prefix or "",
        secret_id=next(secret_ids) if bucket.secret is not None else "",
        read_only=bucket.read_only,
        requester_pays=bucket.requester_pays,
    )
