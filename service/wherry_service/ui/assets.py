"""Files that pages load: our own, and others' that the build brings (service/assets)."""

import hashlib
from pathlib import Path
from typing import NamedTuple

STATIC = Path(__file__).parent / "static"
_KINDS = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
# Without these no page works.
NEEDED = ("vendor/htmx.min.js", "vendor/sse.min.js", "vendor/idiomorph-ext.min.js")


class Asset(NamedTuple):
    """A file."""

    data: bytes
    kind: str
    # What tells one version of it from another.
    tag: str


class Assets:
    """The files below a folder, each read once."""

    def __init__(self, folder: Path = STATIC) -> None:
        self._folder = folder
        self._found: dict[str, Asset] = {}
        # By name, as on the disk: nothing else is ever opened.
        self._names: frozenset[str] | None = None

    @property
    def missing(self) -> list[str]:
        """What the build should have brought and did not."""
        return [name for name in NEEDED if name not in self.names]

    @property
    def names(self) -> frozenset[str]:
        """The names of all files."""
        if self._names is None:
            paths = (path for path in self._folder.rglob("*") if path.is_file() and path.suffix in _KINDS)
            self._names = frozenset(path.relative_to(self._folder).as_posix() for path in paths)
        return self._names

    def get(self, name: str) -> Asset | None:
        """Return a file; None if there is none of that name."""
        if name not in self.names:
            return None
        if name not in self._found:
            path = self._folder / name
            data = path.read_bytes()
            self._found[name] = Asset(data, _KINDS[path.suffix], hashlib.sha256(data).hexdigest()[:12])
        return self._found[name]

    def address(self, prefix: str, name: str) -> str:
        """Return where a file is: another address for each version of it, so that browsers may keep it."""
        asset = self.get(name)
        return f"{prefix}/static/{name}?v={asset.tag if asset is not None else 'missing'}"
