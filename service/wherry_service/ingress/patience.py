"""How long a client may take nothing of what it is sent."""

import asyncio
import logging
from typing import Any

from wherry_service.ingress.protocol import ABORT

log = logging.getLogger(__name__)

Send = Any


class Stalled(ConnectionError):
    """A client took nothing for too long: its connection is ended."""


class Patience:
    """Sends to a client (implements ASGI's `send`); raises `Stalled` where that takes too long."""

    __slots__ = ("_limit_s", "_scope", "_send")

    def __init__(self, scope: dict[str, Any], send: Send, limit_s: float) -> None:
        self._scope = scope
        self._send = send
        self._limit_s = limit_s

    async def __call__(self, message: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(self._limit_s or None):
                await self._send(message)
        except TimeoutError:
            client = self._scope.get("client") or ("?",)
            log.warning("a client at %s took nothing for %g s: its connection is ended", client[0], self._limit_s)
            self._scope[ABORT]()
            # Its protocol hears so before whoever serves it returns.
            await asyncio.sleep(0)
            raise Stalled from None
