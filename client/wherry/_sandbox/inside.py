"""What is done inside a running sandbox: commands, files, snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wherry._base import checks
from wherry._base.blocking import blocking, iterating
from wherry._publish.sandboxes import built
from wherry._sandbox import options
from wherry.exception import InvalidError
from wherry.image import Image
from wherry.secret import secrets_of
from wherry.stream_type import StreamType
from wherry_proto import messages

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import PurePath

    from wherry._connection.client import Client
    from wherry._sandbox.typed import executing, opening
    from wherry.container_process import ContainerProcess
    from wherry.file_io import FileIO
    from wherry.sandbox_files import SandboxFiles
    from wherry.sandbox_watch import FileWatch
    from wherry.secret import Secret
    from wherry.types import FileWatchEventType
else:
    executing = opening = blocking

# Seconds for which snapshots are kept if nothing else is said.
SNAPSHOT_TTL_S = 30 * 86_400


class SandboxInside:
    """The part of `Sandbox` that works inside of it."""

    _sandbox_id: str

    @property
    def _client(self) -> Client:
        raise NotImplementedError

    @executing
    def exec(
        self,
        *args: str,
        stdout: StreamType = StreamType.PIPE,
        stderr: StreamType = StreamType.PIPE,
        timeout: float | None = None,
        workdir: str | None = None,
        env: Mapping[str, str | None] | None = None,
        secrets: Sequence[Secret] | None = None,
        user: str | None = None,
        text: bool = True,
        bufsize: int = -1,
        pty: bool = False,
        pty_info: Any = None,
    ) -> ContainerProcess[Any]:
        """Start another command in it, and return the process: `stdin`, `stdout`, `stderr`, `wait`, `poll`.

        `stdout` and `stderr` say where its output goes: PIPE keeps it until it is read, STDOUT prints it here as it
        comes, DEVNULL drops it. `timeout` in seconds: then it is killed, and its exit code is 124. `env` and the values
        of `secrets` are variables that it has beside those of the sandbox; `env` wins. `text=False`: its streams are
        bytes. `bufsize` says how its streams are iterated: -1 by line, but what stands there of an unfinished line is
        given when nothing follows for 0.1 s, as a prompt; 1 by whole lines; 0 as pieces come. `pty`: it has a terminal.
        Raises NotFoundError when the sandbox has ended or a secret does not exist, ExecutionError when the command
        can't be started. (reference: Sandbox.exec)
        """
        from wherry.container_process import start  # noqa: PLC0415 - start-up cost: loads threads, for those who use it

        if not args:
            raise InvalidError('exec needs a command, for example sandbox.exec("ls", "/")')
        for name, stream in (("stdout", stdout), ("stderr", stderr)):
            if not isinstance(stream, StreamType):
                raise InvalidError(f"{name} is {stream!r}: it must be a wherry.stream_type.StreamType")
        secret_ids: list[str] = []
        secret_env: dict[str, str] = {}
        for secret in secrets_of("secrets", secrets if secrets is not None else ()):
            # Values from here need not be kept anywhere; those of a name are the service's to look up.
            if (values := secret.values_here()) is not None:
                secret_env |= values
            else:
                secret_ids.append(secret.resolve_for(self._client))
        request = messages.ExecStart(
            container_id=self._sandbox_id,
            args=options.strings("a command's parts", args),
            pty=bool(pty or pty_info is not None),
            env=options.variables(env),
            workdir=workdir or "",
            timeout_s=checks.number("timeout", timeout, 0.1, checks.DAY_S, "s", 0),
            user=user or "",
            secret_ids=secret_ids,
            secret_env=secret_env,
        )
        return start(self._client, request, text=text, bufsize=bufsize, goes_to=(stdout, stderr))

    @property
    def filesystem(self) -> SandboxFiles:
        """Its files: read, written, listed, watched. (reference: Sandbox.filesystem)"""
        from wherry.sandbox_files import SandboxFiles  # noqa: PLC0415 - start-up cost: for those who use it

        return SandboxFiles(self._exec_for_files)

    def _exec_for_files(
        self, *args: str, env: Mapping[str, str], text: bool, bufsize: int, timeout: float | None = None
    ) -> ContainerProcess[Any]:
        from wherry.container_process import start  # noqa: PLC0415 - start-up cost: as above

        request = messages.ExecStart(
            container_id=self._sandbox_id, args=list(args), env=dict(env), timeout_s=timeout or 0, is_content=True
        )
        return start(self._client, request, text=text, bufsize=bufsize)

    @opening
    def open(self, path: str, mode: str = "r") -> FileIO[Any]:
        """Open a file; modes are those of Python's `open`, and errors those of `filesystem`. (reference: Sandbox.open)

        Unlike the file that `filesystem.open` returns, its methods have `.aio` forms, and where it is written the
        directories above it are made.
        """
        from wherry.file_io import FileIO  # noqa: PLC0415 - start-up cost: as above

        files = self.filesystem
        above = path.rpartition("/")[0] if isinstance(path, str) else ""
        if above and isinstance(mode, str) and mode[:1] in ("w", "a", "x"):
            files.mkdir(above, parents=True)
        return FileIO(files.open(path, mode))

    @blocking
    def ls(self, path: str = ".") -> list[str]:
        """Return the names in a directory, sorted. (reference: Sandbox.ls)"""
        return self.filesystem.ls(path)

    @blocking
    def mkdir(self, path: str, parents: bool = False) -> None:
        """Make a directory; with `parents` also those above it, where they do not exist. (reference: Sandbox.mkdir)"""
        self.filesystem.mkdir(path, parents)

    @blocking
    def rm(self, path: str, recursive: bool = False) -> None:
        """Remove a file; with `recursive` a directory and all in it. (reference: Sandbox.rm)"""
        self.filesystem.rm(path, recursive)

    @iterating
    def watch(
        self,
        path: str,
        filter: Sequence[FileWatchEventType] | None = None,
        recursive: bool = False,
        timeout: float | None = None,
    ) -> FileWatch:
        """Iterate what happens to a file, or to what is in a directory, as `filesystem.watch` does.

        (reference: Sandbox.watch)
        """
        return self.filesystem.watch(path, filter=filter, recursive=recursive, timeout=timeout)

    @blocking
    def snapshot_filesystem(self, timeout: float = 55, *, ttl: float | None = SNAPSHOT_TTL_S) -> Image:
        """Return an image of its file system as it is now, for other sandboxes and functions.

        Functions need Python 3.10 or newer in it. It is kept for `ttl` seconds (30 days), and as long as something uses
        it; None: for ever. `timeout` is accepted and means nothing. (reference: Sandbox.snapshot_filesystem)
        """
        return self._snapshot("", ttl)

    @blocking
    def snapshot_directory(
        self, path: str | PurePath, *, timeout: float = 55, ttl: float | None = SNAPSHOT_TTL_S
    ) -> Image:
        """Return an image of one directory as it is now, for `mount_image`; with what volumes have in it.

        `ttl` and `timeout` are those of `snapshot_filesystem`. Raises NotFoundError where there is no such directory,
        InvalidError for a path that is not absolute. (reference: Sandbox.snapshot_directory)
        """
        if not str(path).strip("/"):
            raise InvalidError("snapshot_directory takes a directory below /: snapshot_filesystem is for the whole")
        return self._snapshot(str(path), ttl)

    @blocking
    def mount_image(self, path: str | PurePath, image: Image) -> None:
        """Have an image's files at a place of the sandbox, of a snapshot or of any image, which is built if need be.

        They are copied: what the sandbox changes there is its own. What was at the place is back after `unmount_image`.
        Raises InvalidError for a path that is not allowed, NotFoundError if image or sandbox do not exist any more.
        (reference: Sandbox.mount_image)
        """
        if not isinstance(image, Image):
            raise InvalidError(f"mount_image takes an Image, not {type(image).__name__}")
        if image.mounted:
            raise InvalidError(f"{image.mounted[0]!r} is added when containers start: write copy=True to mount it")
        image_id = built(self._client, image, self._client.environment)
        request = messages.SandboxMountRequest(sandbox_id=self._sandbox_id, path=str(path), image_id=image_id)
        self._client.call("Sandboxes.Mount", request, messages.SandboxMountResponse)

    @blocking
    def unmount_image(self, path: str | PurePath) -> None:
        """Have at a place what was there before `mount_image`; raise InvalidError where nothing is mounted.

        (reference: Sandbox.unmount_image)
        """
        request = messages.SandboxMountRequest(sandbox_id=self._sandbox_id, path=str(path))
        self._client.call("Sandboxes.Mount", request, messages.SandboxMountResponse)

    def _snapshot(self, path: str, ttl: float | None) -> Image:
        ttl_s = checks.number("ttl", ttl, 1, 1e9, "s", -1)
        request = messages.SandboxSnapshotRequest(sandbox_id=self._sandbox_id, path=path, ttl_s=ttl_s)
        answer = self._client.call("Sandboxes.Snapshot", request, messages.SandboxSnapshotResponse)
        image = Image.from_id(answer.image_id)
        image.became(answer.image_id)
        return image
