"""Where in a container something may be mounted."""

from pathlib import PurePosixPath

from wherry_service.errors import InvalidRequest

# What is Wherry's or the kernel's, with all below; and what a container can't do without.
RESERVED = ("/wherry", "/run", "/var/run", "/proc", "/sys", "/dev")
NEEDED = ("/", "/bin", "/sbin", "/lib", "/lib64", "/etc", "/usr", "/usr/bin", "/usr/lib", "/usr/local", "/tmp")


def checked_place(owner: str, path: str) -> str:
    """Return a volume's place without what means nothing; raise `InvalidRequest` naming the owner if it can't be."""
    pure = PurePosixPath(path)
    place = "/" + "/".join(pure.parts[1:])
    if not path.startswith("/") or ".." in pure.parts or ":" in path or "\0" in path or len(path) > 4096:
        raise InvalidRequest(f"{owner}: {path[:200]!r} is no absolute path without '..' and ':'")
    if place in NEEDED or any(place == one or place.startswith(f"{one}/") for one in RESERVED):
        raise InvalidRequest(f"{owner}: a volume can't be at {place}, which containers need themselves")
    return place
