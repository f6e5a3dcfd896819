"""Network file systems: the older name of directories that functions and programs share."""

from __future__ import annotations

import io
import os
from typing import IO

from wherry._base.blocking import blocking, blocking_classmethod, iterating_classmethod
from wherry._base.hints import TYPE_CHECKING, Any
from wherry._objects.volume_files import VolumeFiles, without_progress

if TYPE_CHECKING:
    from typing import Self

    from wherry._connection.client import Client
    from wherry._objects.shared import Ephemeral


class NetworkFileSystem(VolumeFiles):
    """A directory that functions mount at a path of their choice: `network_file_systems={"/shared": nfs}`.

    The same as a `Volume`, with names of its own. (reference: NetworkFileSystem)
    """

    _kind, _prefix, _service = "nfs", "sv", "NetworkFileSystems"

    if TYPE_CHECKING:

        @classmethod
        def from_name(
            cls,
            name: str,
            *,
            environment_name: str | None = None,
            create_if_missing: bool = False,
            namespace: Any = None,
            client: Client | None = None,
        ) -> Self:
            """Stand here too: jedi takes what an inherited one returns for an object of the class it stands in."""
            raise NotImplementedError

    @iterating_classmethod
    def ephemeral(
        cls: Any, client: Client | None = None, environment_name: str | None = None
    ) -> Ephemeral[NetworkFileSystem]:
        """Return what makes a new network file system for the length of a `with` or `async with` block.

        It is deleted with this program, too, however that ends. (reference: NetworkFileSystem.ephemeral)
        """
        made: Ephemeral[NetworkFileSystem] = cls._ephemeral(client, environment_name)
        return made

    @classmethod
    def from_id(cls, nfs_id: str | None = None, client: Client | None = None, *, object_id: str | None = None) -> Self:
        """Return a handle on the network file system of that id; raise InvalidError where it is no such id.

        `object_id` is the older name of `nfs_id`. (reference: NetworkFileSystem.from_id)
        """
        return cls._of_id(client, nfs_id=nfs_id, object_id=object_id)

    @blocking_classmethod
    def create_deployed(
        cls: Any,
        deployment_name: str,
        client: Client | None = None,
        environment_name: str | None = None,
        *,
        namespace: Any = None,
    ) -> str:
        """Create one of that name if it does not exist; return its id. (reference: NetworkFileSystem)"""
        object_id: str = cls.lookup(
            deployment_name, client=client, environment_name=environment_name, create_if_missing=True
        ).object_id
        return object_id

    @blocking_classmethod
    def delete(
        cls: Any,
        name: str,
        client: Client | None = None,
        environment_name: str | None = None,
        *,
        allow_missing: bool = False,
    ) -> None:
        """Delete the one of that name, with everything in it; there is no undo.

        Raises NotFoundError where there is none, unless `allow_missing`. (reference: NetworkFileSystem.delete)
        """
        cls._delete(name, client, environment_name, allow_missing)

    @blocking
    def write_file(self, remote_path: str, fp: IO[bytes], progress_cb: Any = None) -> int:
        """Write the contents of an open file, and replace an existing file; return the size.

        (reference: NetworkFileSystem.write_file)
        """
        without_progress(progress_cb)
        data = fp.read()
        with self.batch_upload(force=True) as batch:
            batch.put_file(io.BytesIO(data), remote_path)
        return len(data)

    @blocking
    def add_local_file(
        self, local_path: str | os.PathLike[str], remote_path: str | None = None, progress_cb: Any = None
    ) -> None:
        """Write a file of this machine, and replace an existing one. (reference: NetworkFileSystem.add_local_file)"""
        without_progress(progress_cb)
        with self.batch_upload(force=True) as batch:
            batch.put_file(local_path, remote_path or os.path.basename(local_path))

    @blocking
    def add_local_dir(
        self, local_path: str | os.PathLike[str], remote_path: str | None = None, progress_cb: Any = None
    ) -> None:
        """Write a directory of this machine over existing files. (reference: NetworkFileSystem.add_local_dir)"""
        without_progress(progress_cb)
        with self.batch_upload(force=True) as batch:
            batch.put_directory(local_path, remote_path or os.path.basename(os.path.normpath(local_path)))
