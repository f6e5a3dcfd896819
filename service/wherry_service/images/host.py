"""What this host lends its builds: a docker CLI with BuildKit, the CA bundle, pip's index and the proxies."""

import asyncio
import configparser
import importlib.util
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wherry_service.errors import Unready

_CA_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
_PIP_KEYS = ("index-url", "extra-index-url", "trusted-host")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


@dataclass(frozen=True, slots=True)
class BuildCli:
    """A docker CLI that can build with BuildKit."""

    build: tuple[str, ...]
    docker: str


async def find_build_cli() -> BuildCli:
    """Return a docker CLI with buildx, else one whose `docker build` has BuildKit built in; raise `Unready`."""
    names = [os.path.join(directory, "docker") for directory in os.get_exec_path()]
    candidates = [name for name in dict.fromkeys([*names, "/usr/bin/docker"]) if os.access(name, os.X_OK)]
    for name in candidates:
        if await _answers(name, "buildx", "version"):
            return BuildCli((name, "buildx", "build", "--load"), name)
    for name in candidates:
        if await _answers(name, "--version", contains=(" 18.09", " 19.", " 20.")):
            return BuildCli((name, "build"), name)
    raise Unready(
        "no docker CLI with BuildKit is installed: install docker-buildx (Debian 13, Ubuntu 24.04) "
        "or docker.io (Debian 12), or Docker's own docker-buildx-plugin"
    )


async def _answers(*command: str, contains: tuple[str, ...] = ()) -> bool:
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
    except OSError:  # one that can't be run must not hide the next
        return False
    out, _ = await process.communicate()
    return process.returncode == 0 and (not contains or any(text in out.decode(errors="replace") for text in contains))


def ca_bundle() -> Path | None:
    """Return the CA bundle this host trusts."""
    named = [os.environ[name] for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE") if os.environ.get(name)]
    return next((Path(path) for path in (*named, *_CA_BUNDLES) if os.path.isfile(path)), None)


def authorities() -> str:
    """Return the certificates of the CA bundle this host trusts; "" if there is none."""
    bundle = ca_bundle()
    return bundle.read_text(encoding="utf-8", errors="replace") if bundle is not None else ""


def pip_wheel() -> Path | None:
    """Return a wheel of pip that this host's Python brings, which runs as it is; None if it brings none."""
    folders = [Path("/usr/share/python-wheels")]
    if (spec := importlib.util.find_spec("ensurepip")) is not None and spec.origin is not None:
        folders.insert(0, Path(spec.origin).parent / "_bundled")
    return next((wheel for folder in folders for wheel in sorted(folder.glob("pip-*.whl"), reverse=True)), None)


def pip_settings() -> Mapping[str, str]:
    """Return the host's settings of pip's index, from its configuration files and variables."""
    home = Path.home()
    files: list[str | Path] = ["/etc/pip.conf", home / ".pip/pip.conf", home / ".config/pip/pip.conf"]
    if named := os.environ.get("PIP_CONFIG_FILE"):
        files.append(named)
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(files)
    except configparser.Error as error:
        raise Unready(f"pip's configuration on this host can't be read: {error}") from None
    found: dict[str, str] = {}
    for key in _PIP_KEYS:
        value = os.environ.get("PIP_" + key.upper().replace("-", "_")) or parser.get("global", key, fallback="") or ""
        # A directory of this host means nothing inside a build.
        urls = [part for part in value.split() if not part.startswith(("file:", "/", "."))]
        if urls:
            found[key] = " ".join(urls)
    return found


def proxies() -> Mapping[str, str]:
    """Return this host's variables that name proxies."""
    return {name: os.environ[name] for name in _PROXIES if os.environ.get(name)}


def proxy_arguments() -> list[str]:
    """Return build arguments for the proxies; BuildKit keeps these out of the image."""
    return [f"--build-arg={name}={value}" for name, value in proxies().items()]


def debootstrap() -> str:
    """Return the path of debootstrap; raise `Unready`."""
    found = shutil.which("debootstrap", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise Unready("debootstrap is not installed, which makes the base of Image.debian_slim(): install it")
    return found
