"""Terminals that clients offer to the code of their apps."""

import asyncio
from collections.abc import AsyncIterator

from wherry_proto.messages import TerminalAsk, TerminalAskResponse, TerminalOffer
from wherry_service.api.rpc import rpc
from wherry_service.api.rules import ADMIN, APP, DEVELOP, Inside, Where
from wherry_service.apps.register import AppRegister
from wherry_service.calls.call import Input
from wherry_service.errors import InvalidRequest
from wherry_service.ids import check_id
from wherry_service.pools.pools import Pools

# Containers that wait for one terminal; they ask again.
MAX_WAITING = 1000
# As the runner's (terminal.py).
MORE_TIME_S = 86_400.0


class Terminals:
    """Serves offers, and passes on to them what containers ask."""

    def __init__(self, apps: AppRegister, pools: Pools[Input]) -> None:
        self._apps = apps
        self._pools = pools
        self._offers: dict[str, asyncio.Queue[TerminalAsk]] = {}

    # What comes of it is in the audit log: a command in the container that asks.
    @rpc("Terminals.Offer", DEVELOP, APP)
    async def offer(self, request: TerminalOffer) -> AsyncIterator[TerminalAsk]:
        app_id = check_id(request.app_id, "ap", "app id")
        self._apps.info(app_id)
        waiting: asyncio.Queue[TerminalAsk] = asyncio.Queue(MAX_WAITING)
        self._offers[app_id] = waiting
        try:
            yield TerminalAsk()
            while True:
                yield await waiting.get()
        finally:
            # Another may have taken its place: a client that has connected anew.
            if self._offers.get(app_id) is waiting:
                del self._offers[app_id]

    def ask(self, container_id: str, app_id: str, socket: str) -> TerminalAskResponse:
        """Pass on what a container's code asks; raise `InvalidRequest` when its app has no terminal."""
        waiting = self._offers.get(app_id)
        if waiting is None:
            raise InvalidRequest(
                "there is no terminal for this code: run its app with `wherry run -i`, at a terminal and not detached"
            )
        if (found := self._pools.find(container_id)) is not None:
            found[1].attend(MORE_TIME_S)
        if not waiting.full():
            waiting.put_nowait(TerminalAsk(container_id=container_id, socket=socket))
        return TerminalAskResponse()

    # Containers ask, over their own socket.
    @rpc("Terminals.Ask", ADMIN, Where.NOWHERE, inside=Inside.APP)
    async def _refuse(self, request: TerminalAsk) -> TerminalAskResponse:
        raise InvalidRequest("only code in a container can ask for a terminal: call interact() in a function")
