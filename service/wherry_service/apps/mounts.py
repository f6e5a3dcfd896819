"""Where volumes appear in a function's containers."""

from pathlib import PurePosixPath

from wherry_proto.messages import FunctionSpec
from wherry_service.errors import InvalidRequest
from wherry_service.node.node import VolumeOrder

MAX_VOLUMES = 64
# What is Wherry's or the kernel's, with all below; and what a container can't do without.
RESERVED = ("/wherry", "/run", "/var/run", "/proc", "/sys", "/dev")
NEEDED = ("/", "/bin", "/sbin", "/lib", "/lib64", "/etc", "/usr", "/usr/bin", "/usr/lib", "/usr/local", "/tmp")


def volume_orders(spec: FunctionSpec) -> tuple[VolumeOrder, ...]:
    """Return what to mount; raise `InvalidRequest` naming the function and the place that can't be."""
    mounts = [*spec.volumes, *spec.network_file_systems]
    if len(mounts) > MAX_VOLUMES:
        raise InvalidRequest(f"function {spec.name!r} has {len(mounts)} volumes, over {MAX_VOLUMES}")
    places = {mount.remote_path for mount in spec.local_mounts}
    ids: set[str] = set()
    for mount in mounts:
        place = _checked(spec.name, mount.path)
        if place in places:
            raise InvalidRequest(f"function {spec.name!r} has two volumes or mounts at {place}")
        if mount.volume_id in ids:
            raise InvalidRequest(f"function {spec.name!r} has volume {mount.volume_id} twice: give it one place")
        places.add(place)
        ids.add(mount.volume_id)
    return tuple(
        VolumeOrder(mount.volume_id, _checked(spec.name, mount.path), mount.read_only, mount.sub_path)
        for mount in mounts
    )


def _checked(name: str, path: str) -> str:
    pure = PurePosixPath(path)
    place = "/" + "/".join(pure.parts[1:])
    if not path.startswith("/") or ".." in pure.parts or ":" in path or "\0" in path or len(path) > 4096:
        raise InvalidRequest(f"function {name!r}: {path[:200]!r} is no absolute path without '..' and ':'")
    if place in NEEDED or any(place == one or place.startswith(f"{one}/") for one in RESERVED):
        raise InvalidRequest(f"function {name!r}: a volume can't be at {place}, which containers need themselves")
    return place
