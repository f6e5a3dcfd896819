"""Where volumes appear in containers."""

from collections.abc import Sequence

from wherry_proto.messages import LocalMount, VolumeMount
from wherry_service.engines.mount_places import checked_place
from wherry_service.errors import InvalidRequest
from wherry_service.node.node import VolumeOrder

MAX_VOLUMES = 64


def volume_orders(
    owner: str, mounts: Sequence[VolumeMount], local_mounts: Sequence[LocalMount]
) -> tuple[VolumeOrder, ...]:
    """Return what to mount; raise `InvalidRequest` naming the owner and the place that can't be."""
    if len(mounts) > MAX_VOLUMES:
        raise InvalidRequest(f"{owner} has {len(mounts)} volumes, over {MAX_VOLUMES}")
    places = {mount.remote_path for mount in local_mounts}
    ids: set[str] = set()
    for mount in mounts:
        place = checked_place(owner, mount.path)
        if place in places:
            raise InvalidRequest(f"{owner} has two volumes or mounts at {place}")
        if mount.volume_id in ids:
            raise InvalidRequest(f"{owner} has volume {mount.volume_id} twice: give it one place")
        places.add(place)
        ids.add(mount.volume_id)
    return tuple(
        VolumeOrder(mount.volume_id, checked_place(owner, mount.path), mount.read_only, mount.sub_path)
        for mount in mounts
    )
