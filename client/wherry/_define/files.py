"""The steps of an image that add files of this machine."""

from __future__ import annotations

import os

from wherry._base.hints import TYPE_CHECKING, Any
from wherry._base.mounted import Mounted
from wherry._define.step import Step, absolute, deprecated, needs_list, strings
from wherry.exception import InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Self

    Ignore = Sequence[str] | Callable[[Any], bool]

# Where `Image.add_local_python_source(copy=True)` puts modules.
SOURCE_PATH = "/opt/source"


class Files:
    """The part of `Image` that adds files: copied by a build step, or there as containers start."""

    __slots__ = ()

    if TYPE_CHECKING:

        def env(self, vars: Mapping[str, str]) -> Self: ...
        def _then(self, step: Step) -> Self: ...
        def _mounting(self, *mounted: Mounted) -> Self: ...

    def add_local_file(self, local_path: str | os.PathLike[str], remote_path: str, *, copy: bool = False) -> Self:
        """Add a file of this machine; a `remote_path` that ends with "/" is the directory it is put into.

        With `copy=False` it appears in each container as it starts, read-only, and a change rebuilds nothing; no build
        step may follow. With `copy=True` it is part of the image. (reference: Image.add_local_file)
        """
        local = absolute(local_path)
        remote = _remote("add_local_file", remote_path)
        if str(remote_path).endswith("/"):
            remote = f"{remote.rstrip('/')}/{os.path.basename(local)}"
        if copy:
            return self._then(Step("copy", (remote,), given=("file", local, ())))
        return self._mounting(Mounted("file", local, remote, ()))

    def add_local_dir(
        self, local_path: str | os.PathLike[str], remote_path: str, *, copy: bool = False, ignore: Ignore = ()
    ) -> Self:
        """Add a directory of this machine, without what `ignore` names: patterns of a .dockerignore, or a function
        that takes a path relative to it and returns True for what to leave out.

        With `copy=False` it appears in each container as it starts, read-only, in place of what the image has there,
        and a change rebuilds nothing; no build step may follow. With `copy=True` it is part of the image.
        (reference: Image.add_local_dir)
        """
        local, remote = absolute(local_path), _remote("add_local_dir", remote_path)
        if copy:
            return self._then(Step("copy", (remote,), given=("dir", local, frozen(ignore))))
        return self._mounting(Mounted("dir", local, remote, frozen(ignore)))

    def add_local_python_source(self, *modules: str, copy: bool = False, ignore: Ignore = ()) -> Self:
        """Add importable modules or packages of this machine, by name, to where Python looks in the container.

        (reference: Image.add_local_python_source)
        """
        names = strings("add_local_python_source", modules)
        for name in names:
            if not all(part.isidentifier() for part in name.split(".")):
                raise InvalidError(f"Image.add_local_python_source got {name!r}: it takes names of modules")
        if not copy:
            return self._mounting(*(Mounted("module", name, "", frozen(ignore)) for name in names))
        image = self._then(Step("copy", (SOURCE_PATH,), given=("modules", names, frozen(ignore))))
        return image.env({"PYTHONPATH": SOURCE_PATH})

    def copy_local_file(self, local_path: str | os.PathLike[str], remote_path: str = "./") -> Self:
        """Copy a file of this machine into the image; a relative `remote_path` is below the working directory.

        (reference: Image.copy_local_file)
        """
        local, remote = absolute(local_path), str(remote_path)
        if remote.endswith("/") or remote in (".", ""):
            remote = f"{remote.rstrip('/') or '.'}/{os.path.basename(local)}"
        return self._then(Step("copy", (remote,), given=("file", local, ())))

    def copy_local_dir(
        self, local_path: str | os.PathLike[str], remote_path: str = ".", *, ignore: Ignore = ()
    ) -> Self:
        """Copy a directory of this machine into the image; a relative `remote_path` is below the working directory.

        (reference: Image.copy_local_dir)
        """
        given = ("dir", absolute(local_path), frozen(ignore))
        return self._then(Step("copy", (str(remote_path) or ".",), given=given))

    def copy_mount(self, mount: Any, remote_path: str = ".") -> Self:
        """Copy what a `Mount` holds into the image: its files keep their paths there, below `remote_path`.

        Modules are put into `remote_path` itself. (reference: Image.copy_mount)
        """
        from wherry.mount import Mount  # noqa: PLC0415 - start-up cost: not needed to define an image

        if not isinstance(mount, Mount):
            raise InvalidError(f"Image.copy_mount got {mount!r}: it takes a wherry.Mount")
        return self._then(Step("copy", (str(remote_path) or ".",), given=("mount", mount, ())))

    def copy(self, mount: Any, remote_path: str = ".") -> Self:
        """Older name of `copy_mount`. (reference: Image.copy)"""
        deprecated("Image.copy", "Image.copy_mount")
        return self.copy_mount(mount, remote_path)


def frozen(ignore: Ignore) -> Any:
    """Return what `ignore=` got, so that it can't change; raise InvalidError for what is no list of patterns."""
    if callable(ignore):
        return ignore
    return needs_list("ignore", ignore)


def _remote(method: str, path: Any) -> str:
    remote = str(path)
    if not remote.startswith("/"):
        raise InvalidError(f"Image.{method}: remote_path is {remote!r}; it must be absolute, such as /data")
    if remote.rstrip("/") == "":
        raise InvalidError(f"Image.{method}: remote_path is {remote!r}, the whole file system; name a place below it")
    return remote.rstrip("/")
