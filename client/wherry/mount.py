"""Files of this machine that containers get as they start."""

from __future__ import annotations

import os

from wherry._base.hints import TYPE_CHECKING, Any
from wherry._base.mounted import Mounted
from wherry.context import is_local
from wherry.exception import InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Condition = Callable[[str], bool] | None


class Mount:
    """Files of this machine for `@app.function(mounts=[...])`: read-only in each container, part of no image, so that
    a change rebuilds nothing. `Image.add_local_dir` and its like do the same for all functions of an image.
    (reference: Mount)
    """

    def __init__(
        self,
        remote_dir: str | os.PathLike[str] | None = None,
        *,
        local_dir: str | os.PathLike[str] | None = None,
        local_file: str | os.PathLike[str] | None = None,
        condition: Condition = None,
        recursive: bool = True,
        mounted: tuple[Mounted, ...] = (),
    ) -> None:
        # The spelling of early 2023: a file goes below the directory under its own name.
        if local_dir is not None:
            mounted = self.from_local_dir(
                local_dir, condition=condition, recursive=recursive, remote_path=remote_dir
            ).mounted
        if local_file is not None:
            remote = os.path.join(remote_dir, os.path.basename(local_file)) if remote_dir is not None else None
            mounted = (*mounted, *self.from_local_file(local_file, remote).mounted)
        self._mounted = mounted

    @staticmethod
    def from_name(name: str, namespace: Any = 1, environment_name: str | None = None, client: Any = None) -> Mount:
        """Raise InvalidError: mounts have no names. (reference: Mount.from_name)"""
        from wherry._base.elsewhere import refusal  # noqa: PLC0415 - start-up cost: only for this

        raise refusal("Mount.from_name", "modal.mount.Mount.from_name")

    @classmethod
    def from_local_dir(
        cls,
        local_path: str | os.PathLike[str],
        *,
        condition: Condition = None,
        recursive: bool = True,
        remote_path: str | os.PathLike[str] | None = None,
    ) -> Mount:
        """Return a directory's files, at `remote_path`, or else in /root under its own name.

        `condition` is asked with each path relative to it and says whether to take it. (reference:
        Mount.from_local_dir)
        """
        return cls().add_local_dir(local_path, condition=condition, recursive=recursive, remote_path=remote_path)

    @classmethod
    def from_local_file(
        cls, local_path: str | os.PathLike[str], remote_path: str | os.PathLike[str] | None = None
    ) -> Mount:
        """Return a file, at `remote_path`, or else in /root under its own name. (reference: Mount.from_local_file)"""
        return cls().add_local_file(local_path, remote_path)

    @classmethod
    def from_local_python_packages(
        cls, *module_names: str, remote_dir: Any = None, condition: Condition = None, ignore: Sequence[str] = ()
    ) -> Mount:
        """Return modules or packages that can be imported here, where Python in the container finds them.

        (reference: Mount.from_local_python_packages)
        """
        for name in module_names:
            if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")):
                raise InvalidError(f"Mount.from_local_python_packages got {name!r}: it takes names of modules")
        left_out: Any = tuple(ignore) if condition is None else _unless(condition, True)
        return cls(mounted=tuple(Mounted("module", name, "", left_out) for name in module_names))

    def add_local_dir(
        self,
        local_path: str | os.PathLike[str],
        *,
        condition: Condition = None,
        recursive: bool = True,
        remote_path: str | os.PathLike[str] | None = None,
    ) -> Mount:
        """Return this with a directory besides. (reference: Mount.add_local_dir)"""
        local = os.path.abspath(local_path)
        # In a container it is at its place there, and named by the path that it had at home.
        if is_local() and not os.path.isdir(local):
            told = "is a file" if os.path.exists(local) else "does not exist"
            raise InvalidError(f"Mount.from_local_dir: {local} {told}")
        ignore: Any = () if condition is None and recursive else _unless(condition, recursive)
        return Mount(mounted=(*self._mounted, Mounted("dir", local, _remote(remote_path, local), ignore)))

    def add_local_file(
        self, local_path: str | os.PathLike[str], remote_path: str | os.PathLike[str] | None = None
    ) -> Mount:
        """Return this with a file besides. (reference: Mount.add_local_file)"""
        local = os.path.abspath(local_path)
        if is_local() and not os.path.isfile(local):
            told = "is a directory" if os.path.isdir(local) else "does not exist"
            raise InvalidError(f"Mount.from_local_file: {local} {told}")
        return Mount(mounted=(*self._mounted, Mounted("file", local, _remote(remote_path, local), ())))

    @property
    def mounted(self) -> tuple[Mounted, ...]:
        """Inside wherry: the files and directories, in order."""
        return self._mounted

    def __repr__(self) -> str:
        return f"Mount({', '.join(item.local for item in self._mounted)})"


def create_package_mounts(module_names: Sequence[str]) -> list[Mount]:
    """As `[Mount.from_local_python_packages(…)]`, its older spelling. (reference: create_package_mounts)"""
    names = [module_names] if isinstance(module_names, str) else module_names
    return [Mount.from_local_python_packages(name) for name in names]


def mounts_of(given: Any) -> tuple[Mount, ...]:
    """Return the mounts; raise InvalidError for anything else."""
    found = (given,) if isinstance(given, Mount) else tuple(given)
    for mount in found:
        if not isinstance(mount, Mount):
            raise InvalidError(f"mounts has {mount!r}: it must be a wherry.Mount, for example Mount.from_local_dir(…)")
    return found


def _unless(condition: Condition, recursive: bool) -> Any:
    def ignored(path: Any) -> bool:
        return (not recursive and len(path.parts) > 1) or (condition is not None and not condition(str(path)))

    return ignored


def _remote(remote: Any, local: str) -> str:
    text = os.fspath(remote) if remote is not None else f"/root/{os.path.basename(local)}"
    place = os.path.normpath(text)
    if not text.startswith("/") or place == "/" or ":" in place or ".." in text.split("/"):
        raise InvalidError(f"a mount's remote_path is {text!r}: it must be an absolute path below /, without '..'")
    return place


class NonLocalMountError(Exception):
    """Not raised: programs written for Modal may name it."""
