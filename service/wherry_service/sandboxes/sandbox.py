"""One sandbox: its record, its clocks, and who waits for it."""

import asyncio
import ipaddress
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from wherry_proto.messages import SandboxInfo, SandboxState, SandboxTunnel
from wherry_service.node.events import ContainerExit
from wherry_service.node.tunnel import Tunnel
from wherry_service.store.sandboxes import SandboxRecord

TIMED_OUT = 124
TERMINATED = 137


# large: what its register, its beginning, its streams and its end each wait for or count.
class Sandbox:
    """A sandbox that runs, or is just beginning or ending.

    `end` is called when a clock has run out, with how that ends it.
    """

    def __init__(self, record: SandboxRecord, end: Callable[["Sandbox", int, str], None]) -> None:
        self.record = record
        self.begun: asyncio.Future[None] | None = None
        # Whether it is counted as part of what the host carries; set when room may have come, or when it is to end.
        self.has_room = False
        self.woken = asyncio.Event()
        # Whether its command has ended.
        self.finishing = False
        # Its end is on disk; what it printed is kept; its container is gone.
        self.ended = asyncio.Event()
        self.saved = asyncio.Event()
        self.gone = asyncio.Event()
        # Variables that its commands have and the engine does not know; None: an earlier life read them.
        self.secrets: Mapping[str, str] | None = None
        # Whether its probe has succeeded, and who asks it.
        self.ready = False
        self.probing = asyncio.Lock()
        self.tunnels: list[Tunnel] = []
        # By writer: bytes of input that have been written.
        self.written: dict[str, int] = {}
        self.input_lock = asyncio.Lock()
        # Whether its processes are stopped; one change at a time.
        self.paused = False
        self.pausing = asyncio.Lock()
        self.mounting = asyncio.Lock()
        # Whether it began in an earlier life of the service.
        self.restored = False
        self._end = end
        self._state = 0
        self._reason = ""
        self._uses = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._idle: asyncio.TimerHandle | None = None

    @property
    def sandbox_id(self) -> str:
        return self.record.sandbox_id

    # Its beginning

    async def wait_begun(self) -> SandboxInfo:
        """Return what it is once its command runs; raise what kept it from beginning. It begins also unwaited for."""
        if self.begun is not None:
            await asyncio.shield(self.begun)
        return self.info()

    async def has_begun(self) -> bool:
        """Wait until it has begun, or can't; return which."""
        if self.begun is None:
            return True
        await asyncio.wait([self.begun])
        return self.begun.exception() is None

    # Clocks

    def start_clocks(self) -> None:
        """Count from here on; its timeout counts from when it was created."""
        left = self.record.created_at_ms / 1000 + self.record.spec.timeout_s - time.time()
        reason = f"lived longer than its timeout of {self.record.spec.timeout_s:g} s"
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(max(0.0, left), self._end, self, SandboxState.TIMED_OUT, reason)
        self._watch_idle()

    @contextmanager
    def used(self) -> Iterator[None]:
        """Keep its idle timeout from passing meanwhile."""
        self.begin_use()
        try:
            yield
        finally:
            self.end_use()

    def begin_use(self) -> None:
        self._uses += 1
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def end_use(self) -> None:
        self._uses -= 1
        self._watch_idle()

    def _watch_idle(self) -> None:
        limit = self.record.spec.idle_timeout_s
        if limit and not self._uses and not self.ended.is_set():
            reason = f"was idle for its idle_timeout of {limit:g} s"
            if self._idle is not None:
                self._idle.cancel()
            self._idle = asyncio.get_running_loop().call_later(limit, self._end, self, SandboxState.TIMED_OUT, reason)

    def admits(self, address: str) -> bool:
        """Whether its ports may be reached from an address."""
        inbound = self.record.spec.inbound
        if inbound is None:
            return True
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        found = getattr(found, "ipv4_mapped", None) or found
        return any(found in ipaddress.ip_network(network) for network in inbound.networks)

    def note_paused(self, paused: bool) -> None:
        """Know whether it is paused: meanwhile it is not idle, and afterwards that counts from the beginning."""
        if paused != self.paused:
            self.paused = paused
            self.begin_use() if paused else self.end_use()

    def stop_clocks(self) -> None:
        for timer in (self._deadline, self._idle):
            if timer is not None:
                timer.cancel()
        self._deadline = self._idle = None

    # Its end

    @property
    def is_ending(self) -> bool:
        """Whether somebody has said that it ends."""
        return bool(self._state)

    def decide(self, state: int, reason: str) -> None:
        """Say how it is going to have ended; the first word counts."""
        if not self._state:
            self._state, self._reason = state, reason

    def conclude(self, exit: ContainerExit) -> None:
        """Write its end into its record."""
        record = self.record
        record.begun = True
        record.state = self._state or SandboxState.EXITED
        record.reason = self._reason or exit.describe()
        if record.state == SandboxState.TIMED_OUT:
            record.returncode = TIMED_OUT
        elif record.state == SandboxState.TERMINATED or exit.exit_code is None:
            record.returncode = TERMINATED
        else:
            record.returncode = exit.exit_code
        record.ended_at_ms = int(time.time() * 1000)

    def info(self) -> SandboxInfo:
        found = info_of(self.record)
        found.ready = self.ready
        if not self.ended.is_set():
            found.paused = self.paused
            encrypted = {item.port: item.encrypted for item in self.record.spec.ports}
            found.tunnels = [
                SandboxTunnel(
                    port=tunnel.port, host=tunnel.host, host_port=tunnel.host_port, encrypted=encrypted[tunnel.port]
                )
                for tunnel in self.tunnels
            ]
        return found


def info_of(record: SandboxRecord) -> SandboxInfo:
    """Return what clients are told of a sandbox."""
    return SandboxInfo(
        sandbox_id=record.sandbox_id,
        app_id=record.app_id,
        app_name=record.app_name,
        environment=record.environment,
        name=record.name,
        tags=dict(record.tags),
        state=record.state,
        returncode=record.returncode,
        reason=record.reason,
        created_at_ms=record.created_at_ms,
        ended_at_ms=record.ended_at_ms,
        command=list(record.spec.command),
        image_id=record.spec.image_id,
        timeout_s=record.spec.timeout_s,
    )
