"""Files of this machine as `Mount` and `Image.add_local_...` note them: nothing is read before an app runs."""

from __future__ import annotations

from wherry._base.hints import Any


class Mounted:
    """Files that containers get as they start."""

    __slots__ = ("ignore", "kind", "local", "remote")

    def __init__(self, kind: str, local: str, remote: str, ignore: Any) -> None:
        # "file", "dir", or "module": then `local` is its name.
        self.kind = kind
        self.local = local
        self.remote = remote
        self.ignore = ignore

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Mounted)
            and (self.kind, self.local, self.remote) == (other.kind, other.local, other.remote)
            and self.ignore == other.ignore
        )

    def __hash__(self) -> int:
        return hash((self.kind, self.local, self.remote))

    def __repr__(self) -> str:
        method = {"file": "add_local_file", "dir": "add_local_dir", "module": "add_local_python_source"}[self.kind]
        return f"{method}({self.local!r})"
