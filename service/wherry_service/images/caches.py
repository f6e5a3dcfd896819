"""The caches that builds keep, apart by environment: what a step writes there may run in a later build.

BuildKit gives a cache to whoever says its name, so the names begin with what only the service can compute.
"""

import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path

from wherry_service.images.dockerfiles import Line

KEY_FILE = "caches.key"
_NAME = re.compile(r"wherry-cache-[0-9a-f]{32}-")
_MOUNT = re.compile(
    r"--mount=\"[^\"]*type=cache[^\"]*\"|--mount='[^']*type=cache[^']*'|--mount=[^\s\"']*type=cache\S*", re.IGNORECASE
)
_ID = re.compile(r"(?<=[=,\"'])id=")
_TARGET = re.compile(r"(?:target|dst|destination)=([^,\"'\s]+)")


class CacheNames:
    """Names of caches, from a key in a file, which is made when it is first needed."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / KEY_FILE
        self._key = b""

    def of(self, environment: str) -> str:
        """Return what the names of an environment's caches begin with; raise `OSError` where no key can be kept."""
        self._key = self._key or self._read() or self._make()
        return "wherry-cache-" + hmac.new(self._key, environment.encode(), hashlib.sha256).hexdigest()[:32]

    def _read(self) -> bytes:
        return self._path.read_bytes() if self._path.exists() else b""

    def _make(self) -> bytes:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        made = self._path.with_name(f"{KEY_FILE}-{secrets.token_hex(4)}")
        made.touch(mode=0o600)
        made.write_bytes(secrets.token_bytes(32))
        os.replace(made, self._path)
        return self._path.read_bytes()


def with_own_caches(line: Line, prefix: str) -> tuple[str, list[str]]:
    """Return the first line and the others of a RUN whose caches have names of an environment's own."""

    def renamed(match: re.Match[str]) -> str:
        text = match[0]
        if _ID.search(text):
            return _ID.sub(f"id={prefix}-user-", text)
        target = _TARGET.search(text)
        # Docker's own name of a cache without one is its place.
        return text.replace("type=cache", f"type=cache,id={prefix}-user-{target[1]}", 1) if target else text

    head, *body = line.rest.split("\n")
    return f"RUN {_MOUNT.sub(renamed, line.flags)}{head}", body


def unnamed(text: str) -> str:
    """Return a builder's line without what nobody else should learn of the names of caches."""
    return _NAME.sub("", text) if "wherry-cache-" in text else text
