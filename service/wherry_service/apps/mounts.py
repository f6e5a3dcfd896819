"""Where volumes appear in a function's containers."""

from wherry_proto.messages import FunctionSpec
from wherry_service.engines.mount_places import checked_place
from wherry_service.errors import InvalidRequest
from wherry_service.node.node import VolumeOrder

MAX_VOLUMES = 64


def volume_orders(spec: FunctionSpec) -> tuple[VolumeOrder, ...]:
    """Return what to mount; raise `InvalidRequest` naming the function and the place that can't be."""
    mounts = [*spec.volumes, *spec.network_file_systems]
    if len(mounts) > MAX_VOLUMES:
        raise InvalidRequest(f"function {spec.name!r} has {len(mounts)} volumes, over {MAX_VOLUMES}")
    places = {mount.remote_path for mount in spec.local_mounts}
    ids: set[str] = set()
    for mount in mounts:
        place = checked_place(f"function {spec.name!r}", mount.path)
        if place in places:
            raise InvalidRequest(f"function {spec.name!r} has two volumes or mounts at {place}")
        if mount.volume_id in ids:
            raise InvalidRequest(f"function {spec.name!r} has volume {mount.volume_id} twice: give it one place")
        places.add(place)
        ids.add(mount.volume_id)
    return tuple(
        VolumeOrder(
            mount.volume_id, checked_place(f"function {spec.name!r}", mount.path), mount.read_only, mount.sub_path
        )
        for mount in mounts
    )
