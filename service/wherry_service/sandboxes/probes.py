"""Whether sandboxes are ready: their probes, asked again and again while somebody waits."""

import asyncio
import contextlib

from wherry_proto.messages import SandboxProbe
from wherry_service.engines.engine import EngineError
from wherry_service.errors import InvalidRequest
from wherry_service.node.sandbox import SandboxNode
from wherry_service.sandboxes.sandbox import Sandbox

MIN_INTERVAL_S = 0.05
MAX_INTERVAL_S = 60.0
# Seconds that one try may take; what it has begun by then runs on.
TRY_WITHIN_S = 30.0
_CONNECT_WITHIN_S = 1.0
# All sockets of the sandbox, where a server listens at its loopback alone, or nothing reaches it from outside.
_SOCKETS = ("cat", "/proc/net/tcp", "/proc/net/tcp6")
_LISTENS = "0A"


def check_probe(probe: SandboxProbe) -> None:
    """Raise `InvalidRequest` unless it can be asked."""
    if bool(probe.tcp_port) == bool(probe.exec_args):
        raise InvalidRequest("a sandbox's probe has either a port or a command")
    if probe.tcp_port > 65535:
        raise InvalidRequest(f"a probe's port is {probe.tcp_port}: it must be from 1 to 65535")
    if any("\0" in part for part in probe.exec_args):
        raise InvalidRequest("a probe's command contains a NUL character")


class Probes:
    """Asks the probes of sandboxes."""

    def __init__(self, node: SandboxNode) -> None:
        self._node = node

    async def wait(self, sandbox: Sandbox, within_s: float) -> None:
        """Return when a sandbox is ready or has ended, or after the given time; raise `InvalidRequest`."""
        probe = sandbox.record.spec.probe
        if probe is None:
            raise InvalidRequest(f"sandbox {sandbox.sandbox_id} has no readiness_probe: give it one when it is created")
        with contextlib.suppress(TimeoutError), sandbox.used():
            async with asyncio.timeout(within_s):
                await sandbox.wait_begun()
                # One asks for all who wait.
                async with sandbox.probing:
                    while not sandbox.ready and not sandbox.ended.is_set():
                        sandbox.ready = await self._try(sandbox, probe)
                        if not sandbox.ready:
                            await self._pause(sandbox, probe)

    async def _pause(self, sandbox: Sandbox, probe: SandboxProbe) -> None:
        interval = min(max(probe.interval_ms / 1000, MIN_INTERVAL_S), MAX_INTERVAL_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(interval):
                await sandbox.ended.wait()

    async def _try(self, sandbox: Sandbox, probe: SandboxProbe) -> bool:
        try:
            async with asyncio.timeout(TRY_WITHIN_S):
                if probe.tcp_port:
                    return await self._accepts(sandbox, probe.tcp_port)
                code, _ = await self._node.run(sandbox.sandbox_id, tuple(probe.exec_args), sandbox.secrets or {})
                return code == 0
        except (EngineError, TimeoutError):
            return False

    async def _accepts(self, sandbox: Sandbox, port: int) -> bool:
        address = await self._node.address(sandbox.sandbox_id)
        if address and await _connects(address, port):
            return True
        _, told = await self._node.run(sandbox.sandbox_id, _SOCKETS, {})
        return port in listening(told.decode(errors="replace"))


async def _connects(address: str, port: int) -> bool:
    try:
        async with asyncio.timeout(_CONNECT_WITHIN_S):
            _, writer = await asyncio.open_connection(address, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


def listening(table: str) -> set[int]:
    """Return the ports at which something listens, of what /proc/net/tcp says."""
    found: set[int] = set()
    for line in table.splitlines():
        fields = line.split()
        if len(fields) > 3 and fields[3] == _LISTENS:
            with contextlib.suppress(ValueError):
                found.add(int(fields[1].rpartition(":")[2], 16))
    return found
