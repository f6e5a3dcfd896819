"""Files of Docker's containers and images, as tar archives that pass through piece by piece."""

import io
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import docker

# Where an image that was made of a directory has it, and the label that says so.
DIRECTORY = "wherry-directory"
DIRECTORY_LABEL = "wherry.directory"
_PIECE = 1 << 20
# The engine puts these into every container, whatever its image is.
_ENGINES_OWN = frozenset(
    (".dockerenv", "dev", "proc", "sys", "etc/hostname", "etc/hosts", "etc/mtab", "etc/resolv.conf")
)


class _Reader(io.RawIOBase):
    """Pieces, as a file to read from."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = piece
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def renamed(archive: Iterable[bytes], rename: Callable[[str], str | None]) -> Iterator[bytes]:
    """Yield an archive in which each entry has another name; None leaves it out."""
    with io.BufferedReader(_Reader(archive), _PIECE) as file, tarfile.open(fileobj=file, mode="r|") as tar:
        for member in tar:
            name = rename(_plain(member.name))
            link = rename(_plain(member.linkname)) if member.islnk() else member.linkname
            if name is None or link is None:
                continue
            member.name, member.linkname = name, link
            member.pax_headers = {k: v for k, v in member.pax_headers.items() if k not in ("path", "linkpath")}
            yield member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
            content = tar.extractfile(member) if member.isreg() else None
            while content is not None and (data := content.read(_PIECE)):
                yield data
            if content is not None:
                yield b"\0" * (-member.size % tarfile.BLOCKSIZE)
    yield b"\0" * (2 * tarfile.BLOCKSIZE)


def save_directory(
    client: "docker.APIClient", engine_id: str, path: str, reference: str, labels: Mapping[str, str]
) -> None:
    """Make an image that has a directory of a container, and nothing else."""
    archive, _ = client.get_archive(engine_id, f"{path}/.", chunk_size=_PIECE)
    nested = renamed(archive, lambda name: f"{DIRECTORY}/{name}" if name else DIRECTORY)
    repository, _, tag = reference.rpartition(":")
    changes = [f"LABEL {name}={_quoted(value)}" for name, value in {**labels, DIRECTORY_LABEL: "1"}.items()]
    client.import_image_from_stream(nested, repository=repository, tag=tag, changes=changes)


def copy_image(
    client: "docker.APIClient", reference: str, engine_id: str, path: str, labels: Mapping[str, str]
) -> None:
    """Copy the files of an image into a directory of a container."""
    of_directory = client.inspect_image(reference)["Config"].get("Labels") or {}  # type: ignore[no-untyped-call]
    body = {"Image": reference, "Cmd": ["none"], "Labels": dict(labels), "HostConfig": {"NetworkMode": "none"}}
    made = client.create_container_from_config(body, None)["Id"]  # type: ignore[no-untyped-call]
    try:
        if DIRECTORY_LABEL in of_directory:
            archive, _ = client.get_archive(made, f"/{DIRECTORY}/.", chunk_size=_PIECE)
            client.put_archive(engine_id, path, archive)
        else:
            whole = client.export(made, chunk_size=_PIECE)
            client.put_archive(engine_id, path, renamed(whole, _of_image))
    finally:
        client.remove_container(made, force=True)


def _of_image(name: str) -> str | None:
    parts = name.split("/")
    own = {"/".join(parts[: count + 1]) for count in range(len(parts))}
    return None if own & _ENGINES_OWN else name


def _plain(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
