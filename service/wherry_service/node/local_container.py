"""One container on this host: its directory, its socket, and what becomes of it."""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

from wherry_proto.messages import Failure
from wherry_service.engines.containment import NO_LIMIT, Containment
from wherry_service.engines.engine import (
    ContainerSpec,
    DeviceMissing,
    Engine,
    EngineError,
    ImageMissing,
    Mount,
    RuntimeMissing,
)
from wherry_service.errors import ServiceError
from wherry_service.logs.batch import LogRow
from wherry_service.logs.masks import Masks
from wherry_service.node.buckets import Buckets
from wherry_service.node.callers import Callers
from wherry_service.node.container_files import CONTAINMENT_LABEL, LABEL, LAYOUT, ContainerFiles
from wherry_service.node.deaths import LackOfMemory, death_of
from wherry_service.node.frames import ProtocolError, load_frame
from wherry_service.node.holdings import Holdings
from wherry_service.node.node import (
    Assignment,
    ContainerEvents,
    ContainerExit,
    ContainerOrder,
    LoadOrder,
    OutputRow,
    Stream,
    VolumeOrder,
    YieldRow,
)
from wherry_service.node.passing import is_passing
from wherry_service.node.runner_link import RunnerLink
from wherry_service.node.runs import Runs
from wherry_service.node.throttle import Throttle
from wherry_service.node.value_receiver import ValueReceiver
from wherry_service.store.blobs import BlobStore
from wherry_service.store.sources import SourceStore
from wherry_service.store.trouble import in_words, is_of_disk
from wherry_service.store.volumes import VolumeStore

log = logging.getLogger(__name__)

COMMAND = ("python3", "/wherry/runner/wherry_runner/__main__.py")
HELLO_DEADLINE_S = 60.0
RECONNECT_DEADLINE_S = 30.0
_MAX_ROWS = 256
_MAX_BODY = 8 << 20
_LOG_TAIL_LINES = 20


class Host(Protocol):
    """What a container needs of its node (see local.py)."""

    engine: Engine
    directory: Path
    blobs: BlobStore
    sources: SourceStore
    volumes: VolumeStore
    buckets: Buckets
    containment: Containment
    receiver: ValueReceiver
    # What must not appear in what containers print.
    masks: Masks
    start_slots: asyncio.Semaphore
    # Makes the protocol that answers the container's own requests: (container id, app id).
    connect_guest: Callable[[str, str], asyncio.Protocol] | None

    @property
    def labels(self) -> dict[str, str]: ...
    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]: ...
    def remove_later(self, container: "LocalContainer") -> None: ...


class LocalContainer:
    """Implements `node.NodeContainer` and hears its links (`runner_link.LinkEvents`)."""

    def __init__(
        self,
        host: Host,
        container_id: str,
        load: LoadOrder,
        events: ContainerEvents,
        forget: Callable[["LocalContainer"], None],
    ) -> None:
        self.container_id = container_id
        self.engine_id = ""
        # Whether the engine has started it: until then it is not missed where none runs.
        self.started = False
        self.memory = LackOfMemory(self._tell_oom)
        self.gone = asyncio.Event()
        self.removed = False
        self._host = host
        self._load = load
        self._events = events
        self._forget = forget
        self._files = ContainerFiles(host.directory / container_id, host.blobs, host.sources, host.receiver)
        self._holdings = Holdings(load)
        # The blobs that inputs have.
        self._lent: dict[str, str] = {}
        self._runs = Runs()
        # Of those inputs that are web requests.
        self._streams: dict[str, Stream] = {}
        self._callers = Callers(container_id, self.kill)
        # Whether its runner has said hello.
        self._greeted = False
        self._loaded = False
        # How many want it to be read no further.
        self._pauses = 0
        self._throttle = Throttle(self.pause, self.resume)
        # Held while buckets take what was written.
        self._writing = asyncio.Lock()
        self._masker = host.masks.masker(load.app_id, container_id)
        self._source: asyncio.Future[None] | None = None
        self._link_lost = asyncio.Event()
        self._kill_reason = ""
        # Whether it is the host's disk that kept it from starting: nothing of the function's.
        self._lacks_disk = False
        self._dying = False
        self._memory_limit = NO_LIMIT
        # Environment variables from secrets; None: not known, since an earlier life of the service ordered it.
        self._secrets: Mapping[str, str] | None = None
        self._watchdog: asyncio.TimerHandle | None = None

    @property
    def labels(self) -> dict[str, str]:
        """The labels that tell this container from the service's others."""
        return {
            "wherry.container": self.container_id,
            "wherry.app": self._load.app_id,
            "wherry.function": self._load.function_id,
            "wherry.revision": self._load.revision,
        }

    @property
    def name(self) -> str:
        """The engine's name for it."""
        return f"wherry-{self.container_id}"

    @property
    def _link(self) -> RunnerLink | None:
        return self._callers.link

    # Beginning

    async def begin(self, order: ContainerOrder) -> None:
        """Make the directory, listen, and have the engine create and start the container."""
        limits = order.memory_limit_mib, order.memory_request_mib
        self._memory_limit = self._host.containment.memory_limit(*limits)
        self._secrets = order.secrets
        self._host.masks.add(self.container_id, order.secrets.values())
        held = ExitStack()
        try:
            self._files.make()
            await self._listen()
            self._source = asyncio.ensure_future(asyncio.to_thread(self._write_source))
            mounts = await asyncio.to_thread(self._files.write_mounts, self._load.local_mounts)
            mounts += await asyncio.to_thread(self._volume_mounts, order.volumes, held)
            bucket_mounts, bucket_labels = await self._host.buckets.acquire(self.container_id, order.buckets)
            self._host.buckets.watch(self.container_id, self.kill)
            async with self._host.start_slots:
                if self._kill_reason:
                    raise EngineError(self._kill_reason)
                self.engine_id = await self._host.engine.create(
                    self._spec(order, [*mounts, *bucket_mounts], bucket_labels)
                )
                await self._host.engine.start(self.engine_id)
            self.started = True
        except (EngineError, ServiceError, OSError) as error:
            passes = is_passing(error)
            if not passes and not self._kill_reason:
                log.warning("container %s could not start: %s", self.container_id, error)
            await self._finish(
                ContainerExit(
                    reason=in_words(error),
                    not_started=True,
                    permanent=not passes
                    and isinstance(error, ImageMissing | DeviceMissing | RuntimeMissing | ServiceError),
                    host_failed=passes,
                )
            )
            return
        finally:
            held.close()
        if self._kill_reason:
            self.kill(self._kill_reason)
        # On a busy machine the runner may be there before the engine says that it has started it.
        if not self._greeted:
            self._watch(HELLO_DEADLINE_S, f"did not answer within {HELLO_DEADLINE_S:.0f} s of its start")

    async def adopt(self, engine_id: str) -> None:
        """Listen again for a runner that an earlier life of the service left running."""
        self.engine_id = engine_id
        self._loaded = self.started = True
        self._holdings.from_earlier_life = True
        self._host.buckets.adopted(self.container_id)
        self._host.buckets.watch(self.container_id, self.kill)
        try:
            await self._listen()
        except OSError as error:
            log.warning("container %s can't be taken over: %s", self.container_id, error)
            self.kill(f"could not be taken over: {error}")
            return
        self._watch(RECONNECT_DEADLINE_S, f"did not come back within {RECONNECT_DEADLINE_S:.0f} s")

    async def _listen(self) -> None:
        connect = self._host.connect_guest
        await self._files.listen(
            self.container_id,
            lambda: RunnerLink(self.container_id, self._holdings.ids, self, self._runs),
            (lambda: connect(self.container_id, self._load.app_id)) if connect is not None else None,
        )

    def _write_source(self) -> None:
        if self._load.source_id:
            self._files.write_source(self._load.source_id)

    def _volume_mounts(self, volumes: Sequence[VolumeOrder], held: ExitStack) -> list[Mount]:
        store = self._host.volumes
        return [
            Mount(store.mount_source(one.volume_id, one.sub_path, held), one.path, one.read_only) for one in volumes
        ]

    def _spec(self, order: ContainerOrder, mounts: Sequence[Mount], labels: Mapping[str, str]) -> ContainerSpec:
        return ContainerSpec(
            name=self.name,
            image=order.image,
            command=COMMAND,
            mounts=(self._files.mount, *mounts),
            labels={
                **self._host.labels,
                **self.labels,
                **labels,
                LABEL: LAYOUT,
                CONTAINMENT_LABEL: self._host.containment.mark,
            },
            env={},
            cpu_limit=order.cpu_limit,
            cpu_request=order.cpu_request,
            memory_limit_mib=self._memory_limit.mib,
            memory_request_mib=order.memory_request_mib,
            network="none" if order.block_network else "bridge",
            pids_limit=None,
            disk_limit_mib=order.disk_limit_mib,
            gpus=tuple(order.gpus),
            runtime=self._host.containment.runtime,
            user=self._host.containment.user,
        )

    # node.NodeContainer

    def send(self, inputs: Sequence[Assignment]) -> None:
        rows: list[list[Any]] = []
        parts: list[bytes] = []
        keep: list[str] = []
        size = 0
        streams: list[Stream] = []
        for item in inputs:
            if item.stream is not None:
                self._streams[item.input_id] = item.stream
                streams.append(item.stream)
            payload = item.payload
            name = None
            if payload.blob_id:
                name = payload.blob_id
                self._lend(item.input_id, name)
            self._holdings.give(item)
            row = [item.input_id, item.call_id, payload.format, name]
            rows.append([*row, item.method] if item.method else row)
            parts.append(payload.data)
            if item.is_durable:
                keep.append(item.input_id)
            size += len(payload.data)
            if len(rows) >= _MAX_ROWS or size >= _MAX_BODY:
                self._write_inputs(rows, parts, keep)
                rows, parts, keep, size = [], [], [], 0
        if rows:
            self._write_inputs(rows, parts, keep)
        for stream in streams:
            stream.attach(self)

    def _write_inputs(self, rows: list[list[Any]], parts: list[bytes], keep: list[str]) -> None:
        header: dict[str, Any] = {"t": "inputs", "rows": rows, **({"keep": keep} if keep else {})}
        if self._runs.are_of(self._load):
            header["runs"] = [self._runs.begin(row[0]) for row in rows]
        self._write(header, parts)

    def stream(self, input_id: str, header: dict[str, Any], part: bytes) -> None:
        self._write({**header, "t": "web", "input": input_id}, (part,) if part else ())

    def cancel(self, input_ids: Sequence[str]) -> None:
        self._write({"t": "cancel", "inputs": list(input_ids)})

    def recall(self) -> None:
        self._write({"t": "recall"})

    def taken(self, rows: Sequence[tuple[str, int]]) -> None:
        self._holdings.taken(rows)
        self._write({"t": "taken", "rows": rows})

    def kept(self, input_ids: Sequence[str]) -> None:
        self._holdings.kept(input_ids)
        self._write({"t": "kept", "inputs": list(input_ids)})

    def drain(self) -> None:
        self._write({"t": "drain"})

    def pause(self) -> None:
        self._pauses += 1
        if self._pauses == 1 and self._link is not None and not self._dying:
            self._link.pause()

    def resume(self) -> None:
        self._pauses -= 1
        if not self._pauses and self._link is not None and not self._dying:
            self._link.resume()

    def is_connected(self) -> bool:
        return self._link is not None

    def kill(self, reason: str) -> None:
        self._kill_reason = self._kill_reason or reason
        if self.engine_id and not self._dying:
            self._host.spawn(self._kill())

    async def _kill(self) -> None:
        try:
            await self._host.engine.kill(self.engine_id)
        except EngineError as error:
            log.warning("container %s could not be killed: %s", self.container_id, error)
        # The engine's event tells the exit; where it stays silent (it is restarting, say), look for ourselves.
        try:
            await asyncio.wait_for(self.gone.wait(), 5.0)
        except TimeoutError:
            self.on_died(None)

    def _write(self, header: dict[str, Any], parts: Sequence[bytes] = ()) -> None:
        if self._link is not None:
            self._link.send(header, parts)

    def _lend(self, input_id: str, blob_id: str) -> None:
        if input_id in self._lent:
            return
        try:
            self._files.lend(blob_id)
        except (ServiceError, OSError) as error:
            # The runner reports the missing file as this input's failure.
            log.warning("container %s: %s", self.container_id, error)
        else:
            self._lent[input_id] = blob_id

    def _take_back(self, input_ids: Iterable[str]) -> None:
        for input_id in input_ids:
            if (blob_id := self._lent.pop(input_id, None)) is not None:
                self._files.take_back(blob_id)

    # runner_link.LinkEvents

    def on_connection(self, link: RunnerLink) -> None:
        self._callers.connected(link)

    def on_hello(self, link: RunnerLink, running: list[str], loaded: bool) -> None:
        if not self._callers.greeted(link):
            return
        self._greeted = True
        self._cancel_watch()
        if loaded or self._source is None or self._source.done():
            self._welcome(link, running, loaded)
        else:
            self._host.spawn(self._welcome_with_source(link, running, self._source))

    async def _welcome_with_source(self, link: RunnerLink, running: list[str], source: "asyncio.Future[None]") -> None:
        await asyncio.wait([source])
        if link is self._callers.greeting:
            self._welcome(link, running, False)

    def _welcome(self, link: RunnerLink, running: list[str], loaded: bool) -> None:
        if not loaded:
            if self._source is not None and (error := self._source.exception()) is not None:
                self._lacks_disk = is_of_disk(error)
                self.kill(f"could not get its source: {in_words(error)}")
                return
            if self._load.has_secrets and self._secrets is None:
                self.kill("had not loaded its code when the service was started anew")
                return
            secrets = json.dumps(dict(self._secrets)).encode() if self._secrets else b""
            link.send(load_frame(self._load), [self._load.serialized, self._load.parameters, secrets])
            limit = self._load.startup_timeout_s
            self._watch(limit, f"was still importing its code after {limit:g} s, its startup_timeout")
        self._callers.welcomed(link)
        self._link_lost.clear()
        running = self._holdings.claimed(running)
        if self._lent:
            self._take_back(set(self._lent).difference(running))
        if self._pauses:
            link.pause()
        self._events.on_connected(running, loaded)

    def on_ready(self, seconds: float) -> None:
        self._loaded = True
        self._cancel_watch()
        self._events.on_ready(seconds)

    def on_load_failed(self, failure: Failure) -> None:
        self._cancel_watch()
        self._events.on_load_failed(failure)
        self._watch(10.0, "did not exit after its code could not be loaded")

    def on_log(self, rows: list[LogRow]) -> None:
        self._events.on_log(self._masker.rows(rows))
        self._throttle.spend(len(rows), sum(len(row[3]) for row in rows))

    def on_web(self, input_id: str, header: dict[str, Any], part: bytes) -> None:
        stream = self._streams.get(input_id)
        # One from an earlier life of the service has nobody to hear it.
        if stream is not None:
            stream.feed(header, part)

    def on_outputs(self, rows: list[OutputRow]) -> None:
        self._holdings.check_outputs(rows)
        self._holdings.answered([row[0] for row in rows])
        if self._streams:
            for row in rows:
                self._streams.pop(row[0], None)
        if self._lent:
            self._take_back(row[0] for row in rows)
        self._once_written(lambda: self._events.on_outputs(rows))

    def on_yields(self, rows: list[YieldRow]) -> None:
        self._holdings.check_yields(rows)
        self._events.on_yields(rows)

    def on_failure(self, input_id: str, failure: Failure, num_yields: int) -> None:
        self._holdings.check_end(input_id, num_yields)
        self._holdings.answered((input_id,))
        self._streams.pop(input_id, None)
        self._take_back([input_id])
        self._once_written(lambda: self._events.on_failure(input_id, failure, num_yields))
        # Its traceback goes into the log as well.
        self._throttle.spend(1, len(failure.traceback))

    def on_returned(self, input_ids: list[str]) -> None:
        self._holdings.let_go(input_ids)
        for input_id in input_ids:
            if (stream := self._streams.pop(input_id, None)) is not None:
                stream.detach()
        self._take_back(input_ids)
        self._events.on_returned(input_ids)

    def _once_written(self, tell: Callable[[], None]) -> None:
        """Tell of an input's end once what it wrote into buckets is there; nothing else is read meanwhile."""
        if not self._host.buckets.has(self.container_id):
            tell()
            return

        async def write() -> None:
            await self._write_and(tell)
            self.resume()

        self.pause()
        self._host.spawn(write())

    async def _write_and(self, tell: Callable[[], None]) -> None:
        async with self._writing:
            for told in await self._host.buckets.flush(self.container_id):
                self._events.on_log([(2, "", int(time.time() * 1000), told, False)])
            tell()

    def on_bye(self) -> None:
        self._events.on_leaving()

    def take_blob(self, name: str, size: int) -> str:
        try:
            return self._files.take(name, size)
        except ServiceError as error:
            raise ProtocolError(f"named a blob it did not send: {error}") from None

    def on_protocol_error(self, link: RunnerLink, error: ProtocolError) -> None:
        log.warning("container %s broke the runner protocol: %s", self.container_id, error)
        self.kill(f"broke the runner protocol: {error}")

    def on_link_lost(self, link: RunnerLink) -> None:
        if not self._callers.lost(link):
            return
        self._link_lost.set()
        if not self._dying:
            self._watch(RECONNECT_DEADLINE_S, f"lost its connection for {RECONNECT_DEADLINE_S:.0f} s")
            # Usually the container has died: the engine's event is on its way, but it may be missed.
            self._host.spawn(self._check_alive())

    async def _check_alive(self) -> None:
        try:
            await asyncio.wait_for(self.gone.wait(), 2.0)
        except TimeoutError:
            try:
                status = await self._host.engine.inspect(self.engine_id)
            except EngineError:
                return
            if status is None or not status.running:
                self.on_died(None)

    # The end

    def _tell_oom(self) -> bool:
        if not self._dying:
            text = f"a process in this container was killed: it ran out of memory{self._memory_limit}"
            # On the stream of the service's own words.
            self._events.on_log([(3, "", int(time.time() * 1000), text, False)])
        return not self._dying

    def on_died(self, exit_code: int | None) -> None:
        """Hear from the engine that the container has ended."""
        if not self._dying:
            self._dying = True
            self._host.spawn(self._bury(exit_code))

    async def _bury(self, exit_code: int | None) -> None:
        self._cancel_watch()
        if self._link is not None:
            # What it wrote before it ended is still being read, whoever lags behind: it is not much any more.
            if self._pauses:
                self._link.resume()
            try:
                await asyncio.wait_for(self._link_lost.wait(), 2.0)
            except TimeoutError:
                self._link.close()
        engine, tail = self._host.engine, ""
        death = await death_of(
            engine, self.engine_id, exit_code, lambda: self.memory.is_short, is_ours=bool(self._kill_reason)
        )
        try:
            if death.exit_code or self._kill_reason:
                tail = self._masker.text(await engine.log_tail(self.engine_id, _LOG_TAIL_LINES))
        except EngineError as error:
            log.warning("container %s ended; the engine has no last words of it: %s", self.container_id, error)
        await self._finish(
            ContainerExit(
                exit_code=death.exit_code,
                oom_killed=death.oom_killed,
                memory_limit=self._memory_limit or self._host.containment.found_limit(death.memory_limit_mib),
                reason=self._kill_reason,
                log_tail=tail,
                not_started=not self._loaded,
                # An engine that was killed meanwhile: it says nothing of what ran.
                host_failed=not self._loaded
                and (self._lacks_disk or (death.exit_code is None and not self._kill_reason)),
            )
        )

    async def _finish(self, exit: ContainerExit) -> None:
        self._dying = True
        self._cancel_watch()
        self._throttle.end()
        self._files.stop_listening()
        if rest := self._masker.rest(int(time.time() * 1000)):
            self._events.on_log(rest)
        # After what is told already, in its turn.
        await self._write_and(lambda: self._events.on_exit(exit))
        self._host.masks.forget(self.container_id)
        if self.engine_id:
            await self.remove()
        await self._host.buckets.release(self.container_id)
        if self._source is not None:
            await asyncio.gather(self._source, return_exceptions=True)
        await asyncio.to_thread(self._files.remove)
        self._forget(self)
        self.gone.set()

    async def remove(self) -> None:
        """Remove it from the engine, now or when the engine answers again."""
        try:
            await self._host.engine.remove(self.engine_id)
            self.removed = True
        except EngineError as error:
            log.warning("container %s could not be removed yet: %s", self.container_id, error)
            self._host.remove_later(self)

    def _watch(self, seconds: float, reason: str) -> None:
        self._cancel_watch()
        self._watchdog = asyncio.get_running_loop().call_later(seconds, self.kill, reason)

    def _cancel_watch(self) -> None:
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None
