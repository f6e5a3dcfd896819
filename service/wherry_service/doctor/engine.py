"""The engine: whether it answers, builds, has a base image, sees this machine, and what is left in it."""

import asyncio
import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wherry_service.doctor.finding import Finding, well, wrong
from wherry_service.doctor.machine import disk, existing, gpus
from wherry_service.doctor.seen import NAME as SEEN
from wherry_service.doctor.seen import seen
from wherry_service.engines.docker_connection import DockerConnection
from wherry_service.engines.docker_stock import Kept, stock_of
from wherry_service.engines.endpoint import path_of
from wherry_service.engines.engine import EngineError
from wherry_service.errors import Unready
from wherry_service.ids import instance_of
from wherry_service.images import host
from wherry_service.images.base import SUITES, tag_of
from wherry_service.images.base_ways import WAY_LABEL, WAYS
from wherry_service.images.settings import ImageSettings
from wherry_service.store.kept import is_gone

if TYPE_CHECKING:
    import docker

# Seconds that the engine gets for each answer; for a container that looks at files there are more.
ANSWER_WITHIN_S = 40
# Seconds by which two clocks may differ.
CLOCKS_WITHIN_S = 2.0
_INSTALL_BUILDX = "apt-get install docker-buildx (Debian 12: docker.io)"


class EngineDoctor:
    """Looks at one engine, through one client."""

    def __init__(
        self, connection: DockerConnection, state_dir: Path, settings: ImageSettings, *, is_served: bool
    ) -> None:
        self._connection = connection
        self._state_dir = state_dir
        self._settings = settings
        # Whether a service of this state directory runs.
        self._is_served = is_served

    def findings(self) -> Iterator[Finding]:
        """Yield what is found, one after the other; of an engine that does not answer nothing more is said."""
        asked_at = time.time()
        try:
            with self._connection.translated("ask the engine"):
                client = self._connection.open(timeout=ANSWER_WITHIN_S)
                with contextlib.closing(client):
                    info: Mapping[str, Any] = client.info()
                    took = time.time() - asked_at
                    where = self._connection.endpoint()
                    yield well("Engine", f"Docker {info.get('ServerVersion', '?')} at {where}")
                    yield clock(str(info.get("SystemTime") or ""), asked_at, took)
                    yield from self._builds(info)
                    yield from self._stored(client, info)
                    yield gpus(info.get("Runtimes") or {})
                    yield self._leftovers(client)
        except EngineError as error:
            yield wrong("Engine", str(error), mend_of(str(error)))
            yield gpus(None)

    def _builds(self, info: Mapping[str, Any]) -> Iterator[Finding]:
        try:
            cli = asyncio.run(host.find_build_cli())
        except Unready as error:
            yield wrong("BuildKit", str(error), _INSTALL_BUILDX)
            return
        yield well("BuildKit", f"{cli.docker} builds with {'buildx' if 'buildx' in cli.build else 'its own'}")
        code, told = asyncio.run(_said(cli.docker, "info", "--format", "{{.ID}}"))
        if code or not told:
            yield wrong("Builds", f"{cli.docker} does not reach the engine: {told}", f"{cli.docker} info")
        elif told != info.get("ID"):
            yield wrong("Builds", f"{cli.docker} builds in another engine", f"unset DOCKER_CONTEXT; {cli.docker} info")
        else:
            yield well("Builds", "images are built in the same engine")

    def _stored(self, client: "docker.APIClient", info: Mapping[str, Any]) -> Iterator[Finding]:
        labels = {version: _labels(client, tag_of(version)) for version in SUITES}
        there = {version: found for version, found in labels.items() if found is not None}
        if there:
            told = (
                f"Python {version} {WAYS.get(found.get(WAY_LABEL, ''), 'is there')}" for version, found in there.items()
            )
            yield well("Base image", "; ".join(told))
        yield registry(client, self._settings, has_base=bool(there))
        yield self._seen(client, [tag_of(version) for version in there])
        root = Path(str(info.get("DockerRootDir") or ""))
        # Of an engine in another place, or whose directory this user may not see, nothing is known.
        if root.is_absolute() and os.access(root, os.R_OK):
            yield disk("Disk of images", root)

    def _seen(self, client: "docker.APIClient", images: list[str]) -> Finding:
        place = existing(self._state_dir)
        try:
            with self._connection.translated("look at files from a container"):
                return seen(client, place, images)
        except (EngineError, OSError) as error:
            return wrong(
                SEEN, f"it could not be tried whether containers see {place}: {error}", "docker run hello-world"
            )

    def _leftovers(self, client: "docker.APIClient") -> Finding:
        stock = stock_of(client)
        own, gone = instance_of(self._state_dir / "run"), []
        is_local = bool(path_of(self._connection.endpoint().address))
        for kept in (*stock.containers, *stock.networks):
            if _is_left(kept, own, is_served=self._is_served, is_local=is_local):
                gone.append(kept)
        if not gone:
            return well("Leftovers", "no container or network of a service that has gone is there")
        mend = "wherry server start" if any(kept.instance == own for kept in gone) else _removal(gone, stock.containers)
        return wrong("Leftovers", f"{len(gone)} containers and networks of services that have gone are there", mend)


def _is_left(kept: Kept, own: str, *, is_served: bool, is_local: bool) -> bool:
    if kept.instance == own:
        return not is_served
    # In another machine's engine are services of other machines, whose directories are not here.
    return is_local and bool(kept.state_dir) and is_gone(kept.state_dir)


def _removal(gone: list[Kept], containers: list[Kept]) -> str:
    first = [kept.engine_id[:12] for kept in gone if kept in containers]
    rest = [kept.engine_id[:12] for kept in gone if kept not in containers]
    commands = [f"docker rm -f {' '.join(first)}"] if first else []
    return "; ".join([*commands, f"docker network rm {' '.join(rest)}"] if rest else commands)


def clock(told: str, asked_at: float, took: float) -> Finding:
    """Compare the engine's time with this machine's, `asked_at` and `took` in seconds."""
    try:
        there = datetime.fromisoformat(told).timestamp()
    except ValueError:
        return well("Clock", "the engine does not say its time")
    # It looked at some time between the question and its answer.
    off = max(asked_at - there, there - asked_at - took, 0.0)
    if off > CLOCKS_WITHIN_S:
        return wrong("Clock", f"the engine's is {off:.0f} s off this machine's", "timedatectl set-ntp true")
    return well("Clock", "the engine's agrees with this machine's")


def registry(client: "docker.APIClient", settings: ImageSettings, *, has_base: bool) -> Finding:
    """Look whether a registry gives what bases are made of, where that matters."""
    import docker.errors  # noqa: PLC0415 - start-up cost: as with `DockerConnection.open`
    import requests  # noqa: PLC0415 - start-up cost: as above

    suite = SUITES["3.11"]
    reference = settings.base_image.replace("{suite}", suite).replace("{version}", "3.11")
    if settings.base == "debootstrap":
        return well("Registry", "is not asked for bases: images.base is debootstrap")
    try:
        client.inspect_distribution(reference)  # type: ignore[no-untyped-call]
    except (docker.errors.APIError, requests.exceptions.RequestException) as error:
        why = str(getattr(error, "explanation", None) or error).splitlines()[0]
    else:
        return well("Registry", f"{reference} can be pulled")
    if settings.base == "auto" and (has_base or _can_bootstrap()):
        return well("Registry", f"none gives {reference}, so bases are made of Debian's packages")
    mend = "export WHERRY_IMAGES_BASE=debootstrap" if settings.base == "registry" else "apt-get install debootstrap"
    return wrong("Registry", f"none gives {reference}: {why}", mend)


def _can_bootstrap() -> bool:
    with contextlib.suppress(Unready):
        host.debootstrap()
        return True
    return Path("/usr/bin/apt-get").exists()


def _labels(client: "docker.APIClient", tag: str) -> Mapping[str, str] | None:
    import docker.errors  # noqa: PLC0415 - start-up cost: as with `DockerConnection.open`

    try:
        found = client.inspect_image(tag)  # type: ignore[no-untyped-call]
    except docker.errors.NotFound:
        return None
    return (found.get("Config") or {}).get("Labels") or {}


def mend_of(error: str) -> str:
    """Return the command for an engine that can't be reached, by what is said of it."""
    if "refuses this user" in error:
        return "sudo usermod --append --groups docker $USER, then log in again"
    if "(DOCKER_HOST)" in error:
        return "unset DOCKER_HOST"
    if "DOCKER_CONTEXT=" in error:
        return "unset DOCKER_CONTEXT"
    if "context" in error:
        return "docker context use default"
    return "systemctl start docker"


async def _said(*command: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(), ANSWER_WITHIN_S)
    except TimeoutError:
        process.kill()
        await process.wait()
        return 1, f"no answer within {ANSWER_WITHIN_S} s"
    lines = out.decode(errors="replace").strip().splitlines()
    return process.returncode or 0, lines[-1] if lines else ""
