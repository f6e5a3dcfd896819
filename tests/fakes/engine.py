"""An engine whose containers are plain processes of this machine (implements `engine.Engine`)."""

import asyncio
import contextlib
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path

import wherry_runner
from wherry_service.engines.engine import (
    ContainerMissing,
    ContainerSpec,
    ContainerStatus,
    ContainerUsage,
    EngineDisk,
    EngineError,
    EngineEvent,
    EngineImage,
    EngineStatus,
    EngineUnreachable,
    ImageMissing,
)
from wherry_service.node.local_container import COMMAND

RUNNER = str(Path(wherry_runner.__file__).parent / "__main__.py")


class _Process:
    def __init__(self, spec: ContainerSpec) -> None:
        self.spec = spec
        self.process: asyncio.subprocess.Process | None = None
        self.exit_code: int | None = None
        self.output = b""
        self.paused = False
        # Archives that were copied into it, and where.
        self.copied: list[tuple[str, bytes]] = []


class FakeEngine:
    """Runs a container's command here; a directory mounted at /run/wherry is given to the runner by its real path."""

    def __init__(self, images: Mapping[str, Mapping[str, str]]) -> None:
        self.images_here = dict(images)
        self.reachable = True
        self.cache_unused = 300
        # A directory that containers have in place of their own, as where the engine sees other files than the service.
        self.elsewhere = ""
        self.containers: dict[str, _Process] = {}
        self.volumes_here: dict[str, dict[str, str]] = {}
        self._listeners: list[asyncio.Queue[EngineEvent]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def status(self) -> EngineStatus:
        if not self.reachable:
            return EngineStatus(reachable=False, error="the fake engine was told not to answer")
        return EngineStatus(
            reachable=True, version="fake", cpus=2, memory_mib=4096, runtimes=("runc",), default_runtime="runc"
        )

    def come_back(self) -> None:
        """Answer again, and say so to those who follow events."""
        self.reachable = True
        for queue in self._listeners:
            queue.put_nowait(EngineEvent("reconnected"))

    async def network(self) -> str:
        return "bridge"

    async def create(self, spec: ContainerSpec) -> str:
        self._check()
        if spec.image not in self.images_here:
            raise ImageMissing(f"could not create container {spec.name}: no such image: {spec.image}")
        engine_id = uuid.uuid4().hex
        self.containers[engine_id] = _Process(spec)
        return engine_id

    async def start(self, engine_id: str) -> None:
        container = self._get(engine_id)
        if container.process is not None and container.exit_code is None:
            return  # it runs, which is what was wanted
        command = [sys.executable if part == "python3" else part for part in container.spec.command]
        if container.spec.command == COMMAND:
            command = [sys.executable, RUNNER, self.elsewhere or container.spec.mounts[0].source]
        container.process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, **container.spec.env},
            start_new_session=True,
        )
        task = asyncio.ensure_future(self._wait(engine_id, container))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def kill(self, engine_id: str) -> None:
        self._check()
        container = self.containers.get(engine_id)
        if container is not None and container.process is not None and container.exit_code is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(container.process.pid, signal.SIGKILL)

    async def pause(self, engine_id: str) -> None:
        self._pause(engine_id, True)

    async def resume(self, engine_id: str) -> None:
        self._pause(engine_id, False)

    def _pause(self, engine_id: str, paused: bool) -> None:
        container = self._get(engine_id)
        if container.process is None or container.exit_code is not None:
            raise EngineError(f"container {engine_id[:12]} is not running")
        container.paused = paused
        os.killpg(container.process.pid, signal.SIGSTOP if paused else signal.SIGCONT)

    async def remove(self, engine_id: str) -> None:
        await self.kill(engine_id)
        self.containers.pop(engine_id, None)

    async def inspect(self, engine_id: str) -> ContainerStatus | None:
        self._check()
        container = self.containers.get(engine_id)
        return _status(engine_id, container) if container is not None else None

    async def list(self, labels: Mapping[str, str]) -> list[ContainerStatus]:
        self._check()
        return [
            _status(engine_id, container)
            for engine_id, container in self.containers.items()
            if labels.items() <= dict(container.spec.labels).items()
        ]

    async def log_tail(self, engine_id: str, lines: int) -> str:
        container = self.containers.get(engine_id)
        if container is None:
            return ""
        return "\n".join(container.output.decode(errors="replace").splitlines()[-lines:]).strip()

    async def copy_in(self, engine_id: str, path: str, archive: bytes | Iterable[bytes]) -> None:
        data = archive if isinstance(archive, bytes) else b"".join(archive)
        self._get(engine_id).copied.append((path, data))

    async def runtime_with_init(self, engine_id: str) -> str | None:
        self._get(engine_id)
        return None

    async def usage(self, engine_id: str) -> ContainerUsage:
        process = self._get(engine_id).process
        assert process is not None
        pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
        ticks = sum(map(int, Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]))
        return ContainerUsage(ticks * 10**9 // os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE"))

    async def image_labels(self, reference: str) -> Mapping[str, str] | None:
        self._check()
        return self.images_here.get(reference)

    async def image(self, reference: str) -> EngineImage | None:
        labels = await self.image_labels(reference)
        return EngineImage((reference,), labels) if labels is not None else None

    async def images(self, labels: Mapping[str, str]) -> Sequence[EngineImage]:
        self._check()
        return [
            EngineImage((tag,), own) for tag, own in self.images_here.items() if labels.items() <= dict(own).items()
        ]

    async def remove_image(self, tag: str) -> bool:
        self._check()
        if any(c.spec.image == tag for c in self.containers.values()):
            return False
        self.images_here.pop(tag, None)
        return True

    async def disk(self) -> EngineDisk:
        self._check()
        return EngineDisk("/", len(self.images_here), 1000, 500, self.cache_unused)

    async def prune_cache(self) -> int:
        self._check()
        freed, self.cache_unused = self.cache_unused, 0
        return freed

    async def create_volume(self, name: str, labels: Mapping[str, str]) -> str:
        self._check()
        self.volumes_here[name] = dict(labels)
        return f"/volumes/{name}"

    async def volumes(self, labels: Mapping[str, str]) -> Sequence[str]:
        self._check()
        return [name for name, own in self.volumes_here.items() if labels.items() <= own.items()]

    async def remove_volume(self, name: str) -> None:
        self._check()
        self.volumes_here.pop(name, None)

    async def events(self, labels: Mapping[str, str]) -> AsyncIterator[EngineEvent]:
        queue: asyncio.Queue[EngineEvent] = asyncio.Queue()
        self._listeners.append(queue)
        try:
            yield EngineEvent("reconnected")
            while True:
                event = await queue.get()
                if event.kind == "reconnected" or labels.items() <= dict(event.labels).items():
                    yield event
        finally:
            self._listeners.remove(queue)

    async def close(self) -> None:
        for engine_id in list(self.containers):
            await self.remove(engine_id)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _wait(self, engine_id: str, container: _Process) -> None:
        process = container.process
        assert process is not None
        assert process.stdout is not None
        while piece := await process.stdout.read(1 << 16):
            container.output += piece
        code = await process.wait()
        # As a shell and Docker say it.
        container.exit_code = 128 - code if code < 0 else code
        event = EngineEvent("die", engine_id, container.spec.labels, container.exit_code)
        for queue in self._listeners:
            queue.put_nowait(event)

    def _get(self, engine_id: str) -> _Process:
        self._check()
        if engine_id not in self.containers:
            raise ContainerMissing(f"no such container: {engine_id[:12]}")
        return self.containers[engine_id]

    def _check(self) -> None:
        if not self.reachable:
            raise EngineUnreachable("the fake engine was told not to answer")


def _status(engine_id: str, container: _Process) -> ContainerStatus:
    running = container.process is not None and container.exit_code is None
    begun = container.process is not None
    return ContainerStatus(
        engine_id, container.spec.name, running, container.exit_code, False, dict(container.spec.labels), begun=begun,
        paused=container.paused and running,
    )  # fmt: skip
