"""The files of one container on this host: what it is lent, and what it sends. None of them is in its hands."""

import asyncio
import contextlib
import os
import shutil
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from wherry_service.engines.engine import Mount
from wherry_service.errors import InvalidRequest
from wherry_service.ids import new_id
from wherry_service.node.node import VolumeOrder
from wherry_service.node.value_receiver import ValueDesk, ValueReceiver
from wherry_service.store.blobs import BlobStore
from wherry_service.store.sources import SourceStore
from wherry_service.store.volumes import VolumeStore

PLACE = "/run/wherry"
# Tells containers whose directory is mounted read-only from those of earlier versions, who could write theirs.
LABEL = "wherry.files"
LAYOUT = "lent"
# What `Containment.mark` was when it was made.
CONTAINMENT_LABEL = "wherry.containment"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class ContainerFiles:
    """A directory of the service's for one container.

        lent/      what the container sees, read-only, as /run/wherry: its sockets, source/, and in/
        values/    values that came over values.sock, until they are taken: the service's alone

    Everything is reached by open directories, and no link is followed. Methods block for as long as the disk does.
    """

    def __init__(self, directory: Path, blobs: BlobStore, sources: SourceStore, receiver: ValueReceiver) -> None:
        self._directory = directory
        self._blobs = blobs
        self._sources = sources
        self._receiver = receiver
        self._lent = -1
        self._in = -1
        self._desk: ValueDesk | None = None
        self._servers: list[asyncio.Server] = []
        # Blobs in in/, by how many inputs have them.
        self._uses: dict[str, int] = {}

    @property
    def mount(self) -> Mount:
        """What the container sees of it."""
        return Mount(str(self._directory / "lent"), PLACE, read_only=True)

    def make(self) -> None:
        """Make the directory, for a new container."""
        # The parent keeps the host's users out; the container's user may be anyone.
        for name, mode in (("", 0o755), ("lent", 0o755), ("lent/source", 0o755), ("lent/in", 0o755), ("values", 0o700)):
            (self._directory / name).mkdir()
            # Whatever the service's umask is.
            (self._directory / name).chmod(mode)

    async def listen(
        self,
        container_id: str,
        runner: Callable[[], asyncio.Protocol],
        guest: Callable[[], asyncio.Protocol],
        web: Callable[[], asyncio.Protocol],
    ) -> None:
        """Listen on the sockets, in a directory that is there. Raises OSError."""
        with _opened(self._directory) as directory:
            self._lent = os.open("lent", _DIRECTORY, dir_fd=directory)
            self._in = os.open("in", _DIRECTORY, dir_fd=self._lent)
            values = os.open("values", _DIRECTORY, dir_fd=directory)
        try:
            listening = self._bound("values.sock")
        except BaseException:
            os.close(values)
            raise
        listening.listen()
        self._desk = self._receiver.open(container_id, values, listening)
        await self._serve("runner.sock", runner)
        await self._serve("api.sock", guest)
        await self._serve("web.sock", web)

    async def _serve(self, name: str, factory: Callable[[], asyncio.Protocol]) -> None:
        bound = self._bound(name)
        self._servers.append(await asyncio.get_running_loop().create_unix_server(factory, sock=bound))

    def _bound(self, name: str) -> socket.socket:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._lent)
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            bound.bind(f"/proc/self/fd/{self._lent}/{name}")
            os.chmod(name, 0o666, dir_fd=self._lent)
        except BaseException:
            bound.close()
            raise
        return bound

    def write_source(self, source_id: str) -> None:
        """Write a source tree; raise `NotFound`."""
        self._sources.write_to(source_id, self._directory / "lent" / "source")

    def write_mounts(self, local_mounts: Sequence[tuple[str, str, bool]]) -> list[Mount]:
        """Lay out what a client adds, each (place, tree, whether it is a file); return where it goes."""
        return [
            Mount(str(self._sources.laid_out(source_id, is_file)), place, read_only=True)
            for place, source_id, is_file in local_mounts
        ]

    # Values

    def lend(self, blob_id: str) -> None:
        """Have a blob appear in in/, for one more input; raise `NotFound`."""
        count = self._uses.get(blob_id, 0)
        if not count:
            with contextlib.suppress(FileExistsError):  # lent by an earlier life of the service
                self._blobs.lend(blob_id, blob_id, self._in)
        self._uses[blob_id] = count + 1

    def take_back(self, blob_id: str) -> None:
        """Have an input need a blob no more."""
        count = self._uses.pop(blob_id, 0) - 1
        if count > 0:
            self._uses[blob_id] = count
        elif self._in >= 0:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(blob_id, dir_fd=self._in)

    def take(self, name: str, size: int) -> str:
        """Make a value that the container has sent a blob; return its id. Raise `InvalidRequest` if it has not."""
        if self._desk is None:
            raise InvalidRequest(f"value {name!r} comes after the container's end")
        blob_id = new_id("bl")
        try:
            found = self._desk.take(name, str(self._blobs.path(blob_id)))
        except FileNotFoundError:
            raise InvalidRequest(f"no value {name!r} was sent") from None
        if found != size:
            self._blobs.delete(blob_id)
            raise InvalidRequest(f"value {name!r} has {found} bytes, not {size}")
        return blob_id

    # The end

    def stop_listening(self) -> None:
        """Accept no connection of the container any more."""
        for server in self._servers:
            server.close()

    def remove(self) -> None:
        """Remove everything, once the container is gone."""
        if self._desk is not None:
            self._desk.close()
            self._desk = None
        for descriptor in (self._in, self._lent):
            if descriptor >= 0:
                os.close(descriptor)
        self._in = self._lent = -1
        remove_directory(self._directory)


def volume_mounts(store: VolumeStore, volumes: Sequence[VolumeOrder], held: ExitStack) -> list[Mount]:
    """Return where volumes appear; `held` keeps what they name until the engine has them."""
    return [Mount(store.mount_source(one.volume_id, one.sub_path, held), one.path, one.read_only) for one in volumes]


def remove_directory(directory: Path) -> None:
    """Remove a container's directory, whatever version made it. Links in it are not followed."""
    shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def _opened(directory: Path) -> Iterator[int]:
    descriptor = os.open(directory, _DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
