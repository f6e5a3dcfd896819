"""Docker Engine, through the `docker` SDK's low-level client, in threads."""

import asyncio
import contextlib
import logging
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import tenacity

from wherry_service.engines.docker_body import create_body
from wherry_service.engines.docker_connection import TIMEOUT_S, DockerConnection
from wherry_service.engines.docker_exec import open_exec
from wherry_service.engines.docker_files import copy_image, save_directory
from wherry_service.engines.docker_life import kill, set_paused
from wherry_service.engines.docker_stock import disk_of, prune_cache
from wherry_service.engines.docker_streams import DockerStdin, clean_config, open_output, read_output
from wherry_service.engines.engine import (
    ContainerMissing,
    ContainerSpec,
    ContainerStatus,
    ContainerUsage,
    DeviceMissing,
    EngineDisk,
    EngineError,
    EngineEvent,
    EngineImage,
    EngineStatus,
    EngineUnreachable,
    Exec,
    ExecSpec,
    ImageMissing,
    Stdin,
)
from wherry_service.engines.network import DEFAULT, OwnNetwork
from wherry_service.engines.volume_driver import VolumeDriver
from wherry_service.metering import Histograms

if TYPE_CHECKING:
    import docker

log = logging.getLogger(__name__)

T = TypeVar("T")

THREADS = 8
# What containers use is read by threads of its own, within so many seconds: an engine that is slow to measure, as it is
# where gVisor runs them, holds up nothing else.
MEASURING_THREADS = 2
MEASURING_S = 10
# Kinds of requests whose times are told apart: there are fewer.
MAX_KINDS = 40


# large: what `Engine` has, each a request of its own.
class DockerEngine:
    """Implements `engine.Engine`. Which engine that is, `endpoint.find` says, unless the connection is another's."""

    def __init__(
        self,
        volume_driver: VolumeDriver | None = None,
        network: OwnNetwork | None = None,
        connection: DockerConnection | None = None,
    ) -> None:
        self._connection = connection or DockerConnection()
        self._volume_driver = volume_driver
        # None: containers are on the engine's own bridge.
        self._network = network
        if network is not None:
            network.connect(self._run)
        # Seconds that requests took, by the first word of what they do.
        self.requests: Histograms[str] = Histograms("other", MAX_KINDS)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="docker")
        self._measuring = ThreadPoolExecutor(MEASURING_THREADS, thread_name_prefix="docker-stats")
        self._lock = threading.Lock()
        # By the seconds that their requests may take.
        self._clients: dict[int, docker.APIClient] = {}
        self._closed = False
        # Whether the storage driver is known to have no limits of size.
        self._no_disk_limits = False
        self._checking: asyncio.Future[None] | None = None

    async def status(self) -> EngineStatus:
        try:
            endpoint = self._connection.endpoint()
        except EngineUnreachable as error:
            return EngineStatus(reachable=False, error=str(error))
        address, origin = endpoint.address, endpoint.origin
        try:
            info = await self._run("info", lambda client: client.info())
        except EngineError as error:
            return EngineStatus(reachable=False, error=str(error), address=address, origin=origin)
        remapped = any(option.startswith("name=userns") for option in info.get("SecurityOptions") or ())
        return EngineStatus(
            reachable=True,
            address=address,
            origin=origin,
            version=info["ServerVersion"],
            directory=str(info.get("DockerRootDir") or ""),
            cpus=info["NCPU"],
            memory_mib=info["MemTotal"] >> 20,
            runtimes=tuple(info.get("Runtimes") or ()),
            default_runtime=info.get("DefaultRuntime") or "",
            user_namespaces=remapped or "name=rootless" in (info.get("SecurityOptions") or ()),
            root=_remapped_root(info.get("DockerRootDir") or "") if remapped else None,
        )

    async def create(self, spec: ContainerSpec) -> str:
        body = create_body(spec, with_disk_limit=not self._no_disk_limits)
        if spec.network == DEFAULT and self._network is not None:
            await self._network.join(body)
        if self._volume_driver is not None:
            self._volume_driver.replace_binds(body["HostConfig"], _owner(spec.labels))

        def create(client: "docker.APIClient") -> str:
            answer = client.create_container_from_config(body, spec.name)  # type: ignore[no-untyped-call]
            return str(answer["Id"])

        what = f"create container {spec.name} from {spec.image}"
        try:
            return await self._with_network(what, create)
        except EngineError as error:
            if "StorageOpt" not in body["HostConfig"] or "storage-opt" not in str(error).lower():
                raise
        self._no_disk_limits = True
        log.warning("this engine's storage can't limit a container's disk: ephemeral_disk is not enforced")
        del body["HostConfig"]["StorageOpt"]
        return await self._run(what, create)

    async def network(self) -> str:
        return await self._network.name() if self._network is not None else DEFAULT

    async def start(self, engine_id: str) -> None:
        try:
            await self._start(engine_id)
        except (EngineUnreachable, ContainerMissing, DeviceMissing):
            raise
        except EngineError as error:
            if self._volume_driver is None:
                raise
            raise EngineError(self._volume_driver.explained(str(error))) from error

    async def _start(self, engine_id: str) -> None:
        await self._with_network(f"start container {engine_id[:12]}", lambda client: client.start(engine_id))

    async def _with_network(self, what: str, work: "Callable[[docker.APIClient], T]") -> T:
        """Do what needs the network; once more where somebody has removed that."""
        try:
            return await self._run(what, work)
        except EngineError as error:
            if self._network is None or not ("network" in str(error) and "not found" in str(error)):
                raise
        log.warning("the network of this service's containers was removed; making it again")
        self._network.lost()
        await self._network.name()
        return await self._run(what, work)

    async def kill(self, engine_id: str) -> None:
        with contextlib.suppress(ContainerMissing):
            await self._run(f"kill container {engine_id[:12]}", lambda client: kill(client, engine_id))

    async def pause(self, engine_id: str) -> None:
        await self._run(f"pause container {engine_id[:12]}", lambda client: set_paused(client, engine_id, True))

    async def resume(self, engine_id: str) -> None:
        await self._run(f"resume container {engine_id[:12]}", lambda client: set_paused(client, engine_id, False))

    async def remove(self, engine_id: str) -> None:
        with contextlib.suppress(ContainerMissing):
            await self._run(
                f"remove container {engine_id[:12]}",
                lambda client: client.remove_container(engine_id, force=True, v=True),
            )

    async def inspect(self, engine_id: str) -> ContainerStatus | None:
        try:
            found = await self._run("inspect", lambda client: client.inspect_container(engine_id))
        except ContainerMissing:
            return None
        state = found["State"]
        running = bool(state["Running"])
        return ContainerStatus(
            engine_id=found["Id"],
            name=found["Name"].lstrip("/"),
            running=running,
            paused=bool(state.get("Paused")),
            exit_code=None if running else state["ExitCode"],
            oom_killed=bool(state.get("OOMKilled")),
            labels=found["Config"].get("Labels") or {},
            address=_address(found.get("NetworkSettings") or {}),
            begun=state.get("Status") != "created",
            memory_limit_mib=((found.get("HostConfig") or {}).get("Memory") or 0) >> 20 or None,
        )

    async def list(self, labels: Mapping[str, str]) -> list[ContainerStatus]:
        filters = {"label": _label_filters(labels)}
        rows = await self._run("list containers", lambda client: client.containers(all=True, filters=filters))
        return [
            ContainerStatus(
                engine_id=row["Id"],
                name=row["Names"][0].lstrip("/") if row.get("Names") else row["Id"][:12],
                running=row["State"] in ("running", "paused"),
                paused=row["State"] == "paused",
                exit_code=None,
                oom_killed=False,
                labels=row.get("Labels") or {},
                begun=row["State"] != "created",
            )
            for row in rows
        ]

    async def log_tail(self, engine_id: str, lines: int) -> str:
        try:
            data = await self._run("read the log", lambda client: client.logs(engine_id, tail=lines))
        except ContainerMissing:
            return ""
        return bytes(data).decode(errors="replace").strip()

    def output(self, engine_id: str, stream: int, follow: bool) -> AsyncIterator[bytes]:
        return read_output(
            lambda: open_output(self._connection.open(timeout=None), engine_id, stream, follow),
            lambda: self._connection.translated(f"read what container {engine_id[:12]} prints"),
        )

    async def open_stdin(self, engine_id: str) -> Stdin:
        params = {"stdin": 1, "stream": 1}
        what = f"write to container {engine_id[:12]}"
        socket = await self._run(what, lambda client: client.attach_socket(engine_id, params=params))
        return DockerStdin(socket, lambda: self._connection.translated(what))

    async def exec(self, engine_id: str, spec: ExecSpec) -> Exec:
        what = f"run {spec.command[0]!r} in container {engine_id[:12]}"
        return await self._run(
            what, lambda client: open_exec(client, engine_id, spec, lambda: self._connection.translated(what))
        )

    async def copy_in(self, engine_id: str, path: str, archive: bytes | Iterable[bytes]) -> None:
        def put(client: "docker.APIClient") -> None:
            # Much of it takes longer than other requests.
            with contextlib.closing(self._connection.open(timeout=None)) as patient:
                patient.put_archive(engine_id, path, archive)

        await self._run(f"copy files into container {engine_id[:12]}", put)

    async def save_directory(self, engine_id: str, path: str, reference: str, labels: Mapping[str, str]) -> None:
        def save(client: "docker.APIClient") -> None:
            with contextlib.closing(self._connection.open(timeout=None)) as patient:
                save_directory(patient, engine_id, path, reference, labels)

        await self._run(f"make an image of {path} in container {engine_id[:12]}", save)

    async def copy_image(self, reference: str, engine_id: str, path: str, labels: Mapping[str, str]) -> None:
        def copy(client: "docker.APIClient") -> None:
            with contextlib.closing(self._connection.open(timeout=None)) as patient:
                copy_image(patient, reference, engine_id, path, labels)

        await self._run(f"copy {reference} into container {engine_id[:12]}", copy)

    async def runtime_with_init(self, engine_id: str) -> str | None:
        what = f"look at container {engine_id[:12]}"
        found = await self._run(what, lambda client: client.inspect_container(engine_id))
        host = found.get("HostConfig") or {}
        return str(host.get("Runtime") or "") if host.get("Init") else None

    async def commit(self, engine_id: str, reference: str, labels: Mapping[str, str]) -> None:
        repository, _, tag = reference.rpartition(":")

        def commit(client: "docker.APIClient") -> None:
            container = client.inspect_container(engine_id)
            image = client.inspect_image(container["Image"])  # type: ignore[no-untyped-call]
            config = clean_config(container["Config"], image.get("Config") or {}, labels)
            # A large file system takes longer than other requests.
            with contextlib.closing(self._connection.open(timeout=None)) as patient:
                patient.commit(engine_id, repository=repository, tag=tag, conf=config)

        await self._run(f"make an image of container {engine_id[:12]}", commit)

    async def usage(self, engine_id: str) -> ContainerUsage:
        stats = await self._run(
            "read stats",
            lambda client: client.stats(engine_id, stream=False, one_shot=True),
            self._measuring,
            MEASURING_S,
        )
        memory = stats.get("memory_stats") or {}
        detail = memory.get("stats") or {}
        reclaimable = detail.get("total_inactive_file", detail.get("inactive_file", 0))
        processor = (stats.get("cpu_stats") or {}).get("cpu_usage") or {}
        return ContainerUsage(
            cpu_ns=int(processor.get("total_usage", 0)),
            memory_bytes=max(0, int(memory.get("usage", 0)) - int(reclaimable)),
        )

    async def image(self, reference: str) -> EngineImage | None:
        try:
            found = await self._run(f"look for image {reference}", _inspect_image(reference))
        except ImageMissing:
            return None
        config = found.get("Config") or {}
        return EngineImage(
            tags=tuple(found.get("RepoTags") or ()),
            labels=config.get("Labels") or {},
            size_bytes=int(found.get("Size") or 0),
            user=config.get("User") or "",
            entrypoint=tuple(config.get("Entrypoint") or ()),
            command=tuple(config.get("Cmd") or ()),
            on_build=tuple(config.get("OnBuild") or ()),
        )

    async def image_labels(self, reference: str) -> Mapping[str, str] | None:
        found = await self.image(reference)
        return found.labels if found is not None else None

    async def images(self, labels: Mapping[str, str]) -> Sequence[EngineImage]:
        filters = {"label": _label_filters(labels)}
        rows = await self._run("list images", lambda client: client.images(filters=filters))
        return [
            EngineImage(
                tags=tuple(tag for tag in row.get("RepoTags") or () if tag != "<none>:<none>"),
                labels=row.get("Labels") or {},
                size_bytes=int(row.get("Size") or 0),
            )
            for row in rows
        ]

    async def remove_image(self, tag: str) -> bool:
        try:
            await self._run(f"remove image {tag}", lambda client: client.remove_image(tag))
        except ImageMissing:
            return True
        except EngineUnreachable:
            raise
        except EngineError as error:
            log.debug("%s", error)
            return False
        return True

    async def disk(self) -> EngineDisk:
        return await self._run("ask what takes room there", disk_of)

    async def prune_cache(self) -> int:
        return await self._run("remove build cache", prune_cache)

    async def create_volume(self, name: str, labels: Mapping[str, str]) -> str:
        made = await self._run(f"create volume {name}", lambda client: client.create_volume(name, labels=dict(labels)))
        return str(made["Mountpoint"])

    async def volumes(self, labels: Mapping[str, str]) -> Sequence[str]:
        filters = {"label": _label_filters(labels)}
        found = await self._run("list volumes", lambda client: client.volumes(filters=filters))
        return [row["Name"] for row in found.get("Volumes") or ()]

    async def remove_volume(self, name: str) -> None:
        with contextlib.suppress(ContainerMissing):
            await self._run(f"remove volume {name}", lambda client: client.remove_volume(name))

    async def events(self, labels: Mapping[str, str]) -> AsyncIterator[EngineEvent]:
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[EngineEvent] = asyncio.Queue()
        stopped = threading.Event()
        thread = threading.Thread(
            target=self._read_events, args=(labels, loop, queue, stopped), name="docker-events", daemon=True
        )
        thread.start()
        try:
            while True:
                event = await queue.get()
                if event.kind == "reconnected" and self._network is not None:
                    # An engine that was restarted may have lost rules, or the network.
                    self._checking = asyncio.ensure_future(self._network.check())
                yield event
        finally:
            stopped.set()

    async def close(self) -> None:
        if self._checking is not None:
            self._checking.cancel()
        if self._network is not None:
            await self._network.clean()
        self._closed = True
        for threads in (self._threads, self._measuring):
            threads.shutdown(wait=False, cancel_futures=True)
        for client in self._clients.values():
            client.close()

    # Inside the threads

    def _connected(self, timeout_s: int) -> "docker.APIClient":
        with self._lock:
            if timeout_s not in self._clients:
                self._clients[timeout_s] = self._connection.open(timeout_s)
            return self._clients[timeout_s]

    async def _run(
        self,
        what: str,
        work: "Callable[[docker.APIClient], T]",
        threads: ThreadPoolExecutor | None = None,
        timeout_s: int = TIMEOUT_S,
    ) -> T:
        def run() -> T:
            began = time.monotonic()
            try:
                with self._connection.translated(what):
                    return work(self._connected(timeout_s))
            finally:
                self.requests.of(what.partition(" ")[0]).add(time.monotonic() - began)

        try:
            return await asyncio.get_running_loop().run_in_executor(threads or self._threads, run)
        except RuntimeError as error:
            if self._closed:
                raise EngineUnreachable("the connection to the engine is closed") from error
            raise

    def _read_events(
        self,
        labels: Mapping[str, str],
        loop: asyncio.AbstractEventLoop,
        queue: "asyncio.Queue[EngineEvent]",
        stopped: threading.Event,
    ) -> None:
        filters = {"type": "container", "event": ["die", "oom"], "label": _label_filters(labels)}

        def put(event: EngineEvent) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
                loop.call_soon_threadsafe(queue.put_nowait, event)

        def follow() -> None:
            with (
                self._connection.translated("follow events"),
                contextlib.closing(self._connection.open(timeout=None)) as client,
            ):
                stream = client.events(decode=True, filters=filters)
                put(EngineEvent("reconnected"))
                for row in stream:
                    if stopped.is_set():
                        return
                    put(_event(row))
            raise EngineUnreachable("the engine closed the stream of events")

        retrying = tenacity.Retrying(
            wait=tenacity.wait_exponential(multiplier=0.1, max=2.0),
            retry=tenacity.retry_if_exception_type(EngineError),
            stop=lambda _: stopped.is_set(),
            sleep=lambda seconds: _wait(stopped, seconds),
        )
        while not stopped.is_set():
            with contextlib.suppress(tenacity.RetryError):
                retrying(follow)


def _inspect_image(reference: str) -> "Callable[[docker.APIClient], Any]":
    return lambda client: client.inspect_image(reference)  # type: ignore[no-untyped-call]


def _remapped_root(directory: str) -> tuple[int, int] | None:
    # An engine with `userns-remap` keeps everything in a directory that is called so: /var/lib/docker/100000.100000.
    found = re.fullmatch(r"(\d+)\.(\d+)", directory.rstrip("/").rpartition("/")[2])
    return (int(found[1]), int(found[2])) if found else None


def _address(network: Mapping[str, Any]) -> str:
    found = [network.get("IPAddress"), *(item.get("IPAddress") for item in (network.get("Networks") or {}).values())]
    return next((address for address in found if address), "")


def _wait(stopped: threading.Event, seconds: float) -> None:
    stopped.wait(seconds)


def _owner(labels: Mapping[str, str]) -> Mapping[str, str]:
    return {key: value for key, value in labels.items() if key == "wherry.instance"}


def _label_filters(labels: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in labels.items()]


def _event(row: Mapping[str, Any]) -> EngineEvent:
    attributes = row.get("Actor", {}).get("Attributes", {})
    code = attributes.get("exitCode")
    return EngineEvent(
        kind="oom" if row.get("Action") == "oom" else "die",
        engine_id=row.get("Actor", {}).get("ID", ""),
        labels=attributes,
        exit_code=int(code) if code is not None else None,
    )
