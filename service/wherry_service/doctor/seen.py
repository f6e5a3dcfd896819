"""Whether the engine sees this machine's files and sockets: a container of its own looks at some."""

import contextlib
import io
import secrets
import socket
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wherry_service.doctor.finding import Finding, well, wrong

if TYPE_CHECKING:
    import docker

NAME = "Files"
LABELS = {"wherry.kind": "doctor"}
_PLACE = "/wherry-doctor"
_EMPTY = "wherry/doctor:latest"
_WITHIN_S = 30
_CODE = f"""
import socket
print(open("{_PLACE}/nonce").read(), flush=True)
peer = socket.socket(socket.AF_UNIX)
peer.connect("{_PLACE}/sock")
print(peer.recv(64).decode())
"""
_MEND = (
    "run the service on the engine's own machine, and set WHERRY_SERVER_URL here; or choose an engine of this machine: "
    "docker context use default"
)


def seen(client: "docker.APIClient", place: Path, images: list[str]) -> Finding:
    """Look from a container of the first image with Python; without one, files alone. Raises the SDK's errors."""
    with _shown(place) as (folder, nonce):
        found = _printed(client, folder, images[0]) if images else _copied(client, folder)
    if nonce not in found:
        return wrong(NAME, f"the engine does not see this machine's files: {place} is another directory there", _MEND)
    if not images:
        return well(NAME, f"the engine sees {place}; sockets were not tried, since no image with Python is there yet")
    if found.count(nonce) < 2:
        return wrong(NAME, f"the engine sees {place}, and its containers reach no socket there", _MEND)
    return well(NAME, f"containers see {place}, and reach sockets there")


@contextlib.contextmanager
def _shown(place: Path) -> Iterator[tuple[Path, str]]:
    """Give a directory with a file, and a socket that says the same."""
    nonce = secrets.token_hex(8)
    with tempfile.TemporaryDirectory(prefix="dr-", dir=place) as name, socket.socket(socket.AF_UNIX) as listener:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "nonce").write_text(nonce)
        (folder / "nonce").chmod(0o644)
        listener.bind(str(folder / "sock"))
        (folder / "sock").chmod(0o666)
        listener.listen()
        threading.Thread(target=_answer, args=(listener, nonce), name="doctor", daemon=True).start()
        yield folder, nonce
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


def _answer(listener: socket.socket, nonce: str) -> None:
    with contextlib.suppress(OSError):
        while True:
            peer, _ = listener.accept()
            with peer:
                peer.sendall(nonce.encode())


def _printed(client: "docker.APIClient", folder: Path, image: str) -> str:
    made = _created(client, folder, image, ["python3", "-c", _CODE])
    try:
        client.start(made)
        client.wait(made, timeout=_WITHIN_S)
        return bytes(client.logs(made)).decode(errors="replace")
    finally:
        client.remove_container(made, force=True)


def _copied(client: "docker.APIClient", folder: Path) -> str:
    import docker.errors  # noqa: PLC0415 - start-up cost: as with `DockerConnection.open`

    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        entry = tarfile.TarInfo(_PLACE[1:])
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(entry)
    repository, _, tag = _EMPTY.partition(":")
    client.import_image_from_data(file.getvalue(), repository=repository, tag=tag)
    made = _created(client, folder, _EMPTY, ["none"])
    try:
        pieces, _ = client.get_archive(made, f"{_PLACE}/nonce")
        return b"".join(pieces).decode(errors="replace")
    except docker.errors.NotFound:
        return ""
    finally:
        client.remove_container(made, force=True)
        client.remove_image(_EMPTY)


def _created(client: "docker.APIClient", folder: Path, image: str, command: list[str]) -> str:
    host = {"NetworkMode": "none", "Binds": [f"{folder}:{_PLACE}:ro"]}
    body: dict[str, Any] = {"Image": image, "Entrypoint": [], "Cmd": command, "Labels": LABELS, "HostConfig": host}
    return str(client.create_container_from_config(body, None)["Id"])  # type: ignore[no-untyped-call]
