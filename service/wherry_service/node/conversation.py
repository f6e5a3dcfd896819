"""What goes on between one container's runner and us: inputs there, and back what becomes of them."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

from wherry_proto.messages import Failure
from wherry_service.errors import ServiceError
from wherry_service.logs.batch import LogRow
from wherry_service.logs.masks import Masker
from wherry_service.node import runner_frames
from wherry_service.node.bucket_writes import BucketWrites
from wherry_service.node.buckets import Buckets
from wherry_service.node.callers import Callers
from wherry_service.node.container_files import ContainerFiles
from wherry_service.node.events import ContainerExit, Hearer, OutputRow, YieldRow
from wherry_service.node.frames import Header, ProtocolError
from wherry_service.node.holdings import Holdings
from wherry_service.node.lendings import Lendings
from wherry_service.node.node import Assignment, Stream
from wherry_service.node.runner_link import LinkEvents, RunnerLink
from wherry_service.node.runner_load import RunnerLoad
from wherry_service.node.runs import Runs
from wherry_service.node.throttle import Valve

log = logging.getLogger(__name__)


class Life(Protocol):
    """The container, as its conversation needs it (see local_container.py)."""

    @property
    def is_dying(self) -> bool:
        """Whether the engine has said that it has ended."""

    def kill(self, reason: str) -> None:
        """End it now."""

    def watch(self, seconds: float, reason: str) -> None:
        """End it in so many seconds, unless something is heard of it before."""

    def heard(self) -> None:
        """Hear that its runner does what was waited for."""

    def fell_silent(self) -> None:
        """Hear that its runner's connection has ended."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine beside everything else."""


# large: what pools say (`NodeContainer`) and what runners say (`LinkEvents`) meet here, each in a few lines
class Conversation(LinkEvents):
    """Implements `node.NodeContainer`: hears its links, and tells `hearer`."""

    def __init__(
        self,
        container_id: str,
        load: RunnerLoad,
        life: Life,
        files: ContainerFiles,
        buckets: Buckets,
        masker: Masker,
        hearer: Hearer[Any],
    ) -> None:
        self.container_id = container_id
        self.kill = life.kill
        # Whether its runner has loaded the code.
        self.loaded = False
        self.callers = Callers(container_id, life.kill)
        self.holdings = Holdings(load.order)
        self.link_lost = asyncio.Event()
        self._load = load
        self._life = life
        self._files = files
        self._events = hearer.events
        self._lines = hearer.lines
        # As they know it.
        self._name = hearer.container
        self._lendings = Lendings(container_id, files)
        self._runs = Runs()
        # Numbers them, where what it runs yields values.
        self._number = self._runs.begin if Runs.are_of(load.order) else None
        # Of those inputs that are web requests.
        self._streams: dict[str, Stream] = {}
        self._valve = Valve(lambda: None if life.is_dying else self.callers.link)
        self._writes = BucketWrites(buckets, container_id, self._print)
        self._masker = masker

    def connect(self) -> RunnerLink:
        """Make the protocol of one connection to the runner's socket."""
        return RunnerLink(self.container_id, self.holdings.ids, self, self._runs, self._take_blob)

    # node.NodeContainer

    def send(self, inputs: Sequence[Assignment]) -> None:
        streams: list[Stream] = []
        for item in inputs:
            if item.stream is not None:
                self._streams[item.input_id] = item.stream
                streams.append(item.stream)
            if item.payload.blob_id:
                self._lendings.lend(item.input_id, item.payload.blob_id)
            self.holdings.give(item)
        for header, parts in runner_frames.inputs(inputs, self._number):
            self._write(header, parts)
        for stream in streams:
            stream.attach(self)

    def stream(self, input_id: str, header: Header, part: bytes) -> None:
        self._write(runner_frames.web(input_id, header), (part,) if part else ())

    def cancel(self, input_ids: Sequence[str]) -> None:
        self._write(runner_frames.cancel(input_ids))

    def recall(self) -> None:
        self._write(runner_frames.recall())

    def taken(self, rows: Sequence[tuple[str, int]]) -> None:
        self.holdings.taken(rows)
        self._write(runner_frames.taken(rows))

    def kept(self, input_ids: Sequence[str]) -> None:
        self.holdings.kept(input_ids)
        self._write(runner_frames.kept(input_ids))

    def drain(self) -> None:
        self._write(runner_frames.drain())

    def pause(self) -> None:
        self._valve.pause()

    def resume(self) -> None:
        self._valve.resume()

    def is_connected(self) -> bool:
        return self.callers.link is not None

    def _write(self, header: Header, parts: Sequence[bytes] = ()) -> None:
        if self.callers.link is not None:
            self.callers.link.send(header, parts)

    # runner_link.LinkEvents

    def on_connection(self, link: RunnerLink) -> None:
        self.callers.connected(link)

    def on_connected(self, link: RunnerLink, running: Sequence[str], loaded: bool) -> None:
        if not self.callers.greeted(link):
            return
        self._life.heard()
        if loaded or self._load.is_there:
            self._welcome(link, running, loaded)
        else:
            self._life.spawn(self._welcome_with_source(link, running))

    async def _welcome_with_source(self, link: RunnerLink, running: Sequence[str]) -> None:
        await self._load.wait()
        if link is self.callers.greeting:
            self._welcome(link, running, False)

    def _welcome(self, link: RunnerLink, running: Sequence[str], loaded: bool) -> None:
        if not loaded:
            if why := self._load.refusal():
                self._life.kill(why)
                return
            link.send(*self._load.frame())
            limit = self._load.order.startup_timeout_s
            self._life.watch(limit, f"was still importing its code after {limit:g} s, its startup_timeout")
        self.callers.welcomed(link)
        self.link_lost.clear()
        held = self.holdings.claimed(running)
        self._lendings.keep_only(held)
        self._valve.opened(link)
        self._events.on_connected(self._name, held, loaded)

    def on_ready(self, link: RunnerLink, seconds: float) -> None:
        self.loaded = True
        self._life.heard()
        self._events.on_ready(self._name, seconds)

    def on_load_failed(self, link: RunnerLink, failure: Failure) -> None:
        self._life.heard()
        self._events.on_load_failed(self._name, failure)
        self._life.watch(10.0, "did not exit after its code could not be loaded")

    def on_log(self, link: RunnerLink, rows: Sequence[LogRow]) -> None:
        self._print(self._masker.rows(rows))
        self._valve.spend(len(rows), sum(len(text) for _, _, _, text, _ in rows))

    def on_web(self, link: RunnerLink, input_id: str, header: Header, part: bytes) -> None:
        stream = self._streams.get(input_id)
        # One from an earlier life of the service has nobody to hear it.
        if stream is not None:
            stream.feed(header, part)

    def on_outputs(self, link: RunnerLink, rows: Sequence[OutputRow]) -> None:
        self.holdings.check_outputs(rows)
        input_ids = [row.input_id for row in rows]
        self.holdings.answered(input_ids)
        if self._streams:
            for input_id in input_ids:
                self._streams.pop(input_id, None)
        self._lendings.take_back(input_ids)
        self._once_written(lambda: self._events.on_outputs(self._name, rows))

    def on_yields(self, link: RunnerLink, rows: Sequence[YieldRow]) -> None:
        self.holdings.check_yields(rows)
        self._events.on_yields(self._name, rows)

    def on_failure(self, link: RunnerLink, input_id: str, failure: Failure, num_yields: int) -> None:
        self.holdings.check_end(input_id, num_yields)
        self.holdings.answered((input_id,))
        self._streams.pop(input_id, None)
        self._lendings.take_back((input_id,))
        self._once_written(lambda: self._events.on_failure(self._name, input_id, failure, num_yields))
        # Its traceback goes into the log as well.
        self._valve.spend(1, len(failure.traceback))

    def on_returned(self, link: RunnerLink, input_ids: Sequence[str]) -> None:
        self.holdings.let_go(input_ids)
        for input_id in input_ids:
            if (stream := self._streams.pop(input_id, None)) is not None:
                stream.detach()
        self._lendings.take_back(input_ids)
        self._events.on_returned(self._name, input_ids)

    def _once_written(self, tell: Callable[[], None]) -> None:
        """Tell of an input's end once what it wrote into buckets is there; nothing else is read meanwhile."""
        if not self._writes.are_possible:
            tell()
            return

        async def write() -> None:
            await self._writes.then(tell)
            self._valve.resume()

        self._valve.pause()
        self._life.spawn(write())

    def on_leaving(self, link: RunnerLink) -> None:
        self._events.on_leaving(self._name)

    def _take_blob(self, name: str, size: int) -> str:
        try:
            return self._files.take(name, size)
        except ServiceError as error:
            raise ProtocolError(f"named a blob it did not send: {error}") from None

    def on_protocol_error(self, link: RunnerLink, error: ProtocolError) -> None:
        log.warning("container %s broke the runner protocol: %s", self.container_id, error)
        self._life.kill(f"broke the runner protocol: {error}")

    def on_link_lost(self, link: RunnerLink) -> None:
        if self.callers.lost(link):
            self.link_lost.set()
            self._life.fell_silent()

    # The end

    def _print(self, rows: Sequence[LogRow]) -> None:
        self._lines.on_log(self._name, rows)

    def say(self, text: str) -> None:
        """Write a line of the service's own words into what it prints."""
        self._print([(3, "", int(time.time() * 1000), text, False)])

    async def read_out(self, within_s: float) -> None:
        """Read what it wrote before it ended, whoever lags behind: it is not much any more."""
        link = self.callers.link
        if link is None:
            return
        self._valve.open(link)
        try:
            await asyncio.wait_for(self.link_lost.wait(), within_s)
        except TimeoutError:
            link.close()

    async def end(self, exit: ContainerExit) -> None:
        """Tell how it ended, after what is told already, in its turn."""
        self._valve.end()
        if rest := self._masker.rest(int(time.time() * 1000)):
            self._print(rest)
        await self._writes.then(lambda: self._events.on_exit(self._name, exit))
