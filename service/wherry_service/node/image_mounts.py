"""Images at places of running sandboxes: their files are copied there, and what was there before is kept aside."""

import hashlib

from wherry_service.errors import InvalidRequest

_ASIDE = "/run/.wherry-mounts"
# The places that the kernel, the engine or this has.
_RESERVED = ("/proc", "/sys", "/dev", "/run")
# What was there is in "was"; a mount in a mount's place takes that place.
_BEGIN = """
p=$1 h=$2
if [ -d "$h" ]; then rm -rf "$p" || exit
else
  mkdir -p "$h" "$3" || exit
  if [ -e "$p" ] || [ -L "$p" ]; then mv "$p" "$h/was" || { rmdir "$h"; exit 1; }; fi
fi
mkdir "$p"
"""
_END = """
p=$1 h=$2
[ -d "$h" ] || exit 4
rm -rf "$p" || exit
if [ -e "$h/was" ] || [ -L "$h/was" ]; then mv "$h/was" "$p" || exit; fi
rmdir "$h"
"""
NOT_MOUNTED = 4


def checked_mount_place(path: str, volumes: list[str]) -> str:
    """Return a place for an image in a sandbox that has volumes at these places; raise `InvalidRequest`."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    place = "/" + "/".join(parts)
    if not path.startswith("/") or not parts or ".." in parts or "\0" in path or len(path) > 4096:
        raise InvalidRequest(f"an image is mounted at {path[:80]!r}: the place must be an absolute path below /")
    for other in (*_RESERVED, *volumes):
        if place == other or place.startswith(f"{other.rstrip('/')}/") or other.startswith(f"{place}/"):
            raise InvalidRequest(f"an image is mounted at {place[:80]}, where {other} is: choose another place")
    return place


def begin_command(place: str) -> tuple[str, ...]:
    """Return what makes room at a place."""
    return ("sh", "-c", _BEGIN, "sh", place, _aside(place), place.rpartition("/")[0] or "/")


def end_command(place: str) -> tuple[str, ...]:
    """Return what removes what was mounted at a place; it exits with `NOT_MOUNTED` where nothing was."""
    return ("sh", "-c", _END, "sh", place, _aside(place))


def _aside(place: str) -> str:
    return f"{_ASIDE}/{hashlib.sha256(place.encode(errors='surrogateescape')).hexdigest()[:32]}"
