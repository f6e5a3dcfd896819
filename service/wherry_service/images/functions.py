"""`Image.run_function`: a function runs in a container of the image so far, and what it leaves is the next image."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from wherry_proto.messages import FunctionSpec, Resources, VolumeMount
from wherry_service.engines.containment import Containment, MemoryLimit
from wherry_service.engines.docker_body import DROPPED_CAPABILITIES, OOM_SCORE, PIDS_LIMIT
from wherry_service.engines.engine import Engine, Gpu
from wherry_service.engines.gpus import Gpus
from wherry_service.engines.mount_places import checked_place
from wherry_service.errors import ServiceError
from wherry_service.ids import new_id
from wherry_service.images import host
from wherry_service.images.errors import ImageBuildError
from wherry_service.images.process import follow
from wherry_service.images.progress import OnLog, OnStep
from wherry_service.images.runner_layer import RunnerLayer
from wherry_service.store.sources import SourceStore
from wherry_service.store.volumes import VolumeStore

Variables = Mapping[str, str]
FunctionRun = Callable[[str, str, str, Mapping[str, str], FunctionSpec, Variables, OnLog, OnStep], Awaitable[None]]
"""(docker, base, tag, labels, function, secrets, on_log, on_step): runs it in the base, gives what is left the tag."""

_DIRECTORY = "/run/wherry"
_PROGRAM = "/wherry/runner/wherry_runner/build_step.py"
_TAIL_LINES = 30


class BuildFunctions:
    """Runs functions of images on one engine."""

    def __init__(
        self,
        engine: Engine,
        work_dir: Path,
        sources: SourceStore,
        volumes: VolumeStore,
        labels: Mapping[str, str],
        containment: Containment,
        gpus: Gpus,
    ) -> None:
        self._gpus = gpus
        self._containment = containment
        self._engine = engine
        self._work_dir = work_dir
        self._sources = sources
        self._volumes = volumes
        self._labels = {**labels, "wherry.kind": "build"}

    async def discard(self) -> None:
        """Remove what builds of an earlier life left behind."""
        for status in await self._engine.list(self._labels):
            await self._engine.remove(status.engine_id)

    async def run(
        self,
        docker: str,
        base: str,
        tag: str,
        labels: Mapping[str, str],
        function: FunctionSpec,
        secrets: Variables,
        on_log: OnLog,
        on_step: OnStep,
    ) -> None:
        """Run the function; raise `ImageBuildError` with its traceback, or for a timeout or too little memory."""
        began = time.monotonic()
        image_id = labels["wherry.image"]
        title = f"run_function({function.name})"
        on_log(title)
        name = f"wherry-build-{new_id('co')[3:].lower()}"
        folder = Path(tempfile.mkdtemp(prefix="build-", dir=self._work_dir))
        tail: list[str] = []
        held = contextlib.ExitStack()
        wanted = [Gpu(gpu.type, gpu.count) for gpu in function.gpus]

        def hear(line: str) -> None:
            tail.append(line)
            del tail[:-_TAIL_LINES]
            on_log(f"  {line}")

        try:
            root = (await self._engine.status()).root
            await asyncio.to_thread(self._write, folder, function, {**_lent(folder), **secrets}, root)
            mounts = await asyncio.to_thread(self._mounts, function, held)
            network = "none" if function.block_network else await self._engine.network()
            try:
                async with self._gpus.lent(name, wanted, on_log) as ids, asyncio.timeout(function.timeout_s or None):
                    command = self._command(docker, base, name, folder, function, mounts, network, ids)
                    code = await follow(command, hear)
            except TimeoutError:
                told = f"`{title}` ran longer than its timeout of {function.timeout_s:g} s"
                raise ImageBuildError(image_id, told, tail) from None
            if code:
                raise ImageBuildError(image_id, await self._reason(title, name, code, function, tail), tail)
            await self._commit(docker, base, name, tag, labels)
        finally:
            held.close()
            await self._engine.remove(name)
            with contextlib.suppress(OSError):
                await asyncio.to_thread(shutil.rmtree, folder)
        on_step(title, time.monotonic() - began, False)

    def _write(
        self, folder: Path, function: FunctionSpec, variables: Mapping[str, str], root: tuple[int, int] | None
    ) -> None:
        (folder / "source").mkdir()
        if function.source_id:
            self._sources.write_to(function.source_id, folder / "source")
        RunnerLayer().write_to(folder)
        frame: dict[str, Any] = {
            "function": {
                "name": function.name,
                "module": function.module_name,
                "qualname": function.qualname,
                "python": function.python,
            },
            "env": dict(function.env),
        }
        (folder / "step.json").write_text(json.dumps(frame))
        for name, payload in (("function.pkl", function.serialized), ("arguments.pkl", function.parameters)):
            if payload is not None and payload.data:
                (folder / name).write_bytes(payload.data)
        # Root in the container may be nobody in particular here; what is above keeps the host's users out.
        for path in (folder, *folder.rglob("*")):
            path.chmod(path.stat().st_mode | (0o755 if path.is_dir() else 0o444))
        secrets = folder / "secrets.json"
        secrets.touch(mode=0o600)
        if root is not None and not os.geteuid():
            os.chown(secrets, *root)
        secrets.write_text(json.dumps(dict(variables)))

    def _mounts(self, function: FunctionSpec, held: contextlib.ExitStack) -> list[str]:
        """Return what the function has for its time only, as docker's options: volumes, and files of the client."""
        found: list[str] = []
        for volume in volumes_of(function):
            directory = self._volumes.mount_source(volume.volume_id, volume.sub_path, held)
            place = checked_place(f"run_function({function.name})", volume.path)
            found.append(self._volume_option(directory, place, volume.read_only))
        for mount in function.local_mounts:
            source = self._sources.laid_out(mount.source_id, mount.is_file)
            place = checked_place(f"run_function({function.name})", mount.remote_path)
            found.append(f"--volume={source}:{place}:ro")
        return found

    def _volume_option(self, directory: str, place: str, read_only: bool) -> str:
        driver = self._volumes.driver
        driven = driver.volume_of(directory) if driver is not None else None
        if driven is not None:
            return driven.option(place, read_only, self._labels)
        return f"--volume={directory}:{place}{':ro' if read_only else ''}"

    def _command(
        self,
        docker: str,
        base: str,
        name: str,
        folder: Path,
        function: FunctionSpec,
        mounts: Sequence[str],
        network: str,
        gpu_ids: Sequence[str],
    ) -> list[str]:
        command = [docker, "run", f"--name={name}", "--user=0", "--init", "--entrypoint=", "--pull=never"]
        command += [f"--label={key}={value}" for key, value in self._labels.items()]
        # It is no more trusted than the function that will run in the image.
        command += ["--security-opt=no-new-privileges", f"--pids-limit={PIDS_LIMIT}", "--no-healthcheck"]
        command.append(f"--oom-score-adj={OOM_SCORE}")
        command += [f"--cap-drop={name}" for name in DROPPED_CAPABILITIES]
        command += [f"--volume={folder}:{_DIRECTORY}:ro", f"--volume={folder / 'wherry'}:/wherry:ro", *mounts]
        if self._containment.runtime:
            command.append(f"--runtime={self._containment.runtime}")
        resources = function.resources
        if resources is not None and resources.cpu_limit:
            command.append(f"--cpus={resources.cpu_limit:g}")
        if limit := self._memory_limit(function).mib:
            command += [f"--memory={limit}m", f"--memory-swap={limit}m"]
        if gpu_ids:
            # Quoted, since what is between commas are options to the docker command.
            command.append(f'--gpus="device={",".join(gpu_ids)}"')
        command.append(f"--network={network}")
        return [*command, base, "python3", _PROGRAM, _DIRECTORY]

    def _memory_limit(self, function: FunctionSpec) -> MemoryLimit:
        resources = function.resources or Resources()
        return self._containment.memory_limit(resources.memory_limit_mib, resources.memory_request_mib)

    async def _reason(self, title: str, name: str, code: int, function: FunctionSpec, tail: list[str]) -> str:
        told = "\n".join(tail)
        if '"python3": executable file not found' in told:
            tail.clear()
            return f"`{title}` needs Python 3.10 or newer in the image so far: give its base add_python="
        if f"can't open file '{_PROGRAM}'" in told:
            return f"`{title}` {(await self._engine.status()).as_elsewhere}"
        status = await self._engine.inspect(name)
        if status is not None and status.oom_killed:
            limit = self._memory_limit(function)
            if limit.is_default:
                return f"`{title}` ran out of memory{limit}"
            return f"`{title}` ran out of memory ({limit.mib} MiB): give it more with memory="
        if code < 0:
            return f"`{title}`: docker was ended by signal {-code} ({signal.strsignal(-code)})"
        return f"`{title}` failed: exit code: {code}"

    async def _commit(self, docker: str, base: str, name: str, tag: str, labels: Mapping[str, str]) -> None:
        found = await self._engine.image(base)
        if found is None:
            raise ServiceError(f"{base} has gone while a function ran in it")
        # The container's own command and user are not those of the image. Docker takes an empty ENTRYPOINT, or CMD
        # without one, for none said, and has the container's instead: that has no ENTRYPOINT.
        command = found.command or (() if found.entrypoint else ("/bin/sh",))
        changes = [
            f"ENTRYPOINT {json.dumps(list(found.entrypoint))}",
            f"CMD {json.dumps(list(command))}",
            f"USER {found.user or '0'}",
            "LABEL " + " ".join(f'{key}="{value}"' for key, value in labels.items()),
        ]
        tail: list[str] = []
        if await follow([docker, "commit", *(f"--change={change}" for change in changes), name, tag], tail.append):
            raise ServiceError("what the function left could not be made an image: " + " ".join(tail[-3:]))


def volumes_of(function: FunctionSpec) -> list[VolumeMount]:
    """Return the volumes and network file systems that a function has."""
    return [*function.volumes, *function.network_file_systems]


def _lent(folder: Path) -> dict[str, str]:
    """Return variables that are there while a function runs, and in no image afterwards."""
    variables = dict(host.proxies())
    if (bundle := host.ca_bundle()) is not None:
        shutil.copyfile(bundle, folder / "ca.crt")
        names = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
        variables.update(dict.fromkeys(names, f"{_DIRECTORY}/ca.crt"))
    return variables
