"""A response on its way to the client, looked at as it passes."""

from typing import Any, Protocol

from wherry_service.calls.exchange import Exchange


class Served(Protocol):
    """A request that is being served: its exchange, once it has one."""

    @property
    def exchange(self) -> Exchange | None: ...


class Seen:
    """Passes on what is sent, and knows the status of the response: 0 while there is none."""

    __slots__ = ("_send", "served", "status")

    def __init__(self, send: Any) -> None:
        self._send = send
        self.status = 0
        # Set by who serves the request.
        self.served: Served | None = None

    async def __call__(self, message: dict[str, Any]) -> None:
        if not self.status:
            self.status = 101 if message["type"] == "websocket.accept" else message.get("status", 0)
        await self._send(message)

    @property
    def exchange(self) -> Exchange | None:
        """What went to the container; None where it did not come to that."""
        return self.served.exchange if self.served is not None else None
