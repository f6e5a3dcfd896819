"""What sandboxes with a list may reach: their network, its rules, and the gate for domains, as one thing."""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass

from wherry_service.engines.engine import EngineError
from wherry_service.engines.listed import Listed, ListedNetwork, may_pass
from wherry_service.node.gate import Gate, resolve
from wherry_service.node.sandbox import Outbound

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Admitted:
    """Where a sandbox is to be: the network, its address there, and who answers it for names."""

    network: str
    address: str
    name_server: str


class Outbounds:
    """Has the lists of sandboxes hold. `name_servers`: the host's own."""

    def __init__(self, network: ListedNetwork, name_servers: Callable[[], tuple[str, ...]]) -> None:
        self._network = network
        self._lists: dict[str, Outbound] = {}
        self._gate = Gate(self._find, self._may_pass, resolve, lambda: next(iter(name_servers()), ""))
        self._opening = asyncio.Lock()

    async def admit(self, sandbox_id: str, outbound: Outbound) -> Admitted:
        """Return where a new sandbox is to be; its list holds from here on. Raises `EngineError`."""
        listed = await self._prepare(outbound)
        self._lists[sandbox_id] = outbound
        try:
            address = await self._network.admit(sandbox_id, listed)
        except BaseException:
            del self._lists[sandbox_id]
            raise
        return Admitted(await self._network.name(), address, self._network.gateway)

    async def change(self, sandbox_id: str, outbound: Outbound, address: str) -> None:
        """Have another list hold, for one that is at an address; open connections that it lacks end."""
        listed = await self._prepare(outbound)
        before = self._lists.get(sandbox_id)
        self._lists[sandbox_id] = outbound
        try:
            await self._network.change(sandbox_id, listed, address)
        except BaseException:
            if before is None:
                del self._lists[sandbox_id]
            else:
                self._lists[sandbox_id] = before
            raise
        self._gate.cut(sandbox_id, outbound)

    async def leave(self, sandbox_id: str) -> None:
        """Forget one whose container is gone."""
        if self._lists.pop(sandbox_id, None) is not None:
            self._gate.cut(sandbox_id, None)
            await self._network.leave(sandbox_id)

    def close(self) -> None:
        """Stop listening: sandboxes that run on reach no domain until a service is back."""
        self._gate.close()

    async def _prepare(self, outbound: Outbound) -> Listed:
        await self._network.name()
        async with self._opening:
            try:
                await self._network.gate_at(await self._gate.listen(self._network.gateway))
            except OSError as error:
                if outbound.domains:
                    raise EngineError(_why_no_gate(error)) from error
                # It reaches its networks, and nobody answers it for names.
                return Listed(outbound.networks)
        return Listed(outbound.networks, names=True, web=bool(outbound.domains))

    def _find(self, address: str) -> tuple[str, Outbound] | None:
        owner = self._network.owner_of(address)
        outbound = self._lists.get(owner)
        return (owner, outbound) if outbound is not None else None

    def _may_pass(self, address: str, port: int) -> bool:
        settings = self._network.settings
        return may_pass(address, port, settings.allowed, settings.blocked, _is_own(address))


def _is_own(address: str) -> bool:
    """Whether an address is this host's: nothing else can be bound."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def _why_no_gate(error: OSError) -> str:
    if error.errno == errno.EADDRNOTAVAIL:
        return (
            "a list of domains can't be held here: the service must run on the engine's host itself, not in a "
            "container; give a list of networks (outbound_cidr_allowlist), or run the service on the host"
        )
    return f"a list of domains can't be held here: {error}"
