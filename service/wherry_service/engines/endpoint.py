"""Which engine is meant: one answer, for what this service asks of it itself and for the docker CLI that builds.

In this order, which is the docker CLI's own: DOCKER_HOST; DOCKER_CONTEXT; the context that `docker context use` chose;
Docker's socket; the socket of a Docker without root; Podman's. `python -m wherry_service.engines.endpoint` prints it.
"""

import hashlib
import json
import os
import socket
import stat
import sys
import urllib.parse
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wherry_service.errors import Unready

DEFAULT = "unix:///var/run/docker.sock"
_CERTIFICATES = ("ca.pem", "cert.pem", "key.pem")
_ANSWER_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the engine is, and who says so."""

    # As DOCKER_HOST has it.
    address: str
    # What it comes from, as the end of "the engine at … (from …)": "DOCKER_HOST", "the docker context 'colima'".
    origin: str
    # Directory of ca.pem, cert.pem and key.pem; "": no TLS, or what the DOCKER_ variables say.
    certificates: str = ""
    # Whether the engine's own certificate is checked.
    verify: bool = True
    # Whether it was named. One that is only looked for may appear later, elsewhere.
    is_named: bool = True

    def __str__(self) -> str:
        """Return it for a person."""
        return f"{self.address} ({self.origin})"

    @property
    def is_there(self) -> bool:
        """Whether it was named, or its socket exists."""
        return self.is_named or _is_socket(self.address)

    def variables(self) -> dict[str, str]:
        """Return the variables with which the docker CLI, and whatever else reads them, finds the same engine."""
        if self.origin == "DOCKER_HOST":
            return {"DOCKER_HOST": self.address}
        return {
            "DOCKER_HOST": self.address,
            "DOCKER_CONTEXT": "",
            "DOCKER_CERT_PATH": self.certificates,
            "DOCKER_TLS": "1" if self.certificates and not self.verify else "",
            "DOCKER_TLS_VERIFY": "1" if self.certificates and self.verify else "",
        }


class OneEngine:
    """The engine of a process, which puts it into its environment: there the docker CLI finds it."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        self._environ = environ
        self._found = self._find()

    def __call__(self) -> Endpoint:
        """Return it; where no socket was there yet, look again. Raises `Unready` for a context that makes no sense."""
        if not self._found.is_there:
            self._found = self._find()
        return self._found

    def _find(self) -> Endpoint:
        found = find(self._environ)
        if found.is_there:
            self._environ.update(found.variables())
        return found


def find(environ: Mapping[str, str] = os.environ) -> Endpoint:
    """Return the engine that these variables and Docker's configuration mean; raise `Unready` naming what is wrong."""
    if address := environ.get("DOCKER_HOST", ""):
        return Endpoint(address, "DOCKER_HOST")
    folder = Path(environ.get("DOCKER_CONFIG") or _home(environ) / ".docker")
    if name := environ.get("DOCKER_CONTEXT", ""):
        return _context(folder, name, f"DOCKER_CONTEXT={name}") if name != "default" else _searched(environ)
    name = _current_context(folder)
    return _context(folder, name, f"the docker context {name!r}") if name not in ("", "default") else _searched(environ)


def _current_context(folder: Path) -> str:
    path = folder / "config.json"
    try:
        name = _json(path).get("currentContext", "")
    except FileNotFoundError:
        return ""
    if not isinstance(name, str):
        raise Unready(f"{path} has a currentContext that is no text: choose one with `docker context use`")
    return name


def _context(folder: Path, name: str, origin: str) -> Endpoint:
    key = hashlib.sha256(name.encode()).hexdigest()
    try:
        meta = _json(folder / "contexts" / "meta" / key / "meta.json")
    except FileNotFoundError:
        raise Unready(
            f"{origin} names no context that is there (below {folder}): `docker context ls` lists them, "
            "`docker context use default` leaves it"
        ) from None
    endpoints = meta.get("Endpoints")
    found = endpoints.get("docker") if isinstance(endpoints, dict) else None
    address = found.get("Host") if isinstance(found, dict) else None
    if not isinstance(found, dict) or not isinstance(address, str) or not address:
        raise Unready(f"{origin} has no address of a Docker engine: look at it with `docker context inspect {name}`")
    certificates = folder / "contexts" / "tls" / key / "docker"
    has_tls = any((certificates / file).is_file() for file in _CERTIFICATES)
    return Endpoint(address, origin, str(certificates) if has_tls else "", not found.get("SkipTLSVerify"))


def _searched(environ: Mapping[str, str]) -> Endpoint:
    runtime = environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    sockets = (
        (DEFAULT, "Docker's own socket"),
        (f"unix://{runtime}/docker.sock", "the socket of Docker without root"),
        (f"unix://{runtime}/podman/podman.sock", "Podman's socket"),
        ("unix:///run/podman/podman.sock", "Podman's socket"),
    )
    found = [Endpoint(address, origin, is_named=False) for address, origin in sockets]
    there = [endpoint for endpoint in found if endpoint.is_there]
    usable = [endpoint for endpoint in there if os.access(path_of(endpoint.address), os.R_OK | os.W_OK)]
    return (usable or there or found)[0]


def path_of(address: str) -> str:
    """Return the path of a unix socket's address; "" for another kind."""
    return address.removeprefix("unix://") if address.startswith("unix://") else ""


def _is_socket(address: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path_of(address)).st_mode)
    except OSError:
        return False


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise Unready(f"Docker's configuration {path} can't be read: {error}") from None
    if not isinstance(found, dict):
        raise Unready(f"Docker's configuration {path} holds no JSON object")
    return found


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ["HOME"]) if environ.get("HOME") else Path.home()


def answers(address: str) -> bool:
    """Whether an engine answers there; without TLS."""
    url = urllib.parse.urlsplit(address)
    try:
        with socket.socket(socket.AF_UNIX if url.scheme == "unix" else socket.AF_INET) as peer:
            peer.settimeout(_ANSWER_WITHIN_S)
            peer.connect(url.path if url.scheme == "unix" else (url.hostname or "", url.port or 2375))
            peer.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
            return b" 200 " in peer.recv(64)
    except (OSError, ValueError):
        return False


def main() -> int:
    """Print what is found, as JSON; with `--answers`: exit 1 where it does not answer."""
    try:
        found = find()
    except Unready as error:
        print(json.dumps({"address": "", "origin": "", "is_named": True, "error": str(error)}))
        return 1
    print(json.dumps({"address": found.address, "origin": found.origin, "is_named": found.is_named, "error": ""}))
    return 0 if "--answers" not in sys.argv or answers(found.address) else 1


if __name__ == "__main__":
    sys.exit(main())
