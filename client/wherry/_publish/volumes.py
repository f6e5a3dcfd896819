"""An app's own objects, and volumes and buckets as containers are to have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry._objects.volume_files import VolumeFiles
from wherry._publish.resolver import Want
from wherry._publish.secrets import WantedSecret
from wherry.cloud_bucket_mount import CloudBucketMount
from wherry_proto.messages import BucketMount, VolumeMount

if TYPE_CHECKING:
    from wherry._define.places import Placed
    from wherry._objects.shared import SharedObject
    from wherry._publish.resolver import Resolver


class OwnObject(Want[None]):
    """An object that goes with the app."""

    STAGE = 5

    __slots__ = ("_made",)

    def __init__(self, made: SharedObject) -> None:
        super().__init__(id(made))
        self._made = made

    def bring_up(self, resolver: Resolver) -> None:
        if resolver.creates:
            self._made.bring_up(resolver.client, resolver.app_id)


class PlacedVolume(Want[VolumeMount]):
    """A volume at a place. Where none is made, one that would be has an id that no volume has."""

    STAGE = 6

    __slots__ = ("_place", "_volume")

    def __init__(self, place: str, volume: VolumeFiles) -> None:
        super().__init__(place, id(volume))
        self._place = place
        self._volume = volume

    def bring_up(self, resolver: Resolver) -> VolumeMount:
        return self._volume.mounted_at(
            resolver.client, self._place, resolver.app_id, resolver.environment, resolver.creates
        )


class PlacedBucket(Want[BucketMount]):
    """A bucket at a place, with its secret."""

    STAGE = 7

    __slots__ = ("_bucket", "_place")

    def __init__(self, place: str, bucket: CloudBucketMount) -> None:
        super().__init__(place, id(bucket))
        self._place = place
        self._bucket = bucket

    def bring_up(self, resolver: Resolver) -> BucketMount:
        bucket = self._bucket
        secrets = [WantedSecret(bucket.secret)] if bucket.secret is not None else []
        return BucketMount(
            path=self._place,
            bucket=bucket.bucket_name,
            endpoint_url=bucket.bucket_endpoint_url or "",
            key_prefix=bucket.key_prefix or "",
            secret_id="".join(resolver.all_of(secrets)),
            read_only=bucket.read_only,
            requester_pays=bucket.requester_pays,
        )


def volumes_of(placed: Placed) -> list[PlacedVolume]:
    """Return the volumes among what is at places."""
    return [PlacedVolume(place, one) for place, one in placed if isinstance(one, VolumeFiles)]


def buckets_of(placed: Placed) -> list[PlacedBucket]:
    """Return the buckets among what is at places."""
    return [PlacedBucket(place, one) for place, one in placed if isinstance(one, CloudBucketMount)]
