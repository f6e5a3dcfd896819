"""Ports that code in functions' containers opens for as long as it wants: `forward`."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from wherry_service.errors import Exhausted, InvalidRequest, Unready
from wherry_service.node.tunnel import Target, Tunnel, anyone

# Of one container, at once.
MAX_FORWARDS = 16

Address = Callable[[str], Awaitable[str]]
"""From a container's id to its address, "" if there is none; raises `EngineError`."""


class Forwards:
    """All forwards that are open. `host`: where their ports of this host are."""

    def __init__(self, address: Address, host: str) -> None:
        self._address = address
        self._host = host
        self._open: dict[str, list[Tunnel]] = {}

    @contextlib.asynccontextmanager
    async def opened(self, container_id: str, port: int) -> AsyncIterator[Tunnel]:
        """Have a port of a container open within this block; raise `ServiceError` where that can't be."""
        if not 1 <= port <= 65535:
            raise InvalidRequest(f"port {port} can't be forwarded: a port is from 1 to 65535")
        own = self._open.setdefault(container_id, [])
        tunnel = Tunnel(port, lambda: self._address(container_id), _nothing, _nothing, anyone)
        try:
            if len(own) >= MAX_FORWARDS:
                raise Exhausted(f"this container has {MAX_FORWARDS} ports forwarded already: leave one of them first")
            own.append(tunnel)
            try:
                if not await self._address(container_id):
                    raise InvalidRequest("this function has no network (block_network=True), so no port to forward")
                await tunnel.open(self._host)
                yield tunnel
            except OSError as error:
                raise Unready(f"no port can be opened at {self._host}: {error}") from error
            finally:
                tunnel.close()
                own.remove(tunnel)
        finally:
            if not own:
                self._open.pop(container_id, None)

    def target(self, container_id: str, port: int) -> Target | None:
        """Return what answers at a port that is forwarded; None where it is not."""
        if not any(tunnel.port == port for tunnel in self._open.get(container_id, ())):
            return None
        return Target(container_id, port, lambda: self._address(container_id), _nothing, _nothing, anyone)


def _nothing() -> None:
    """A function's container is not idle while its input runs."""
