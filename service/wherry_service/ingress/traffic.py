"""The requests that are being answered, and who hears of each at its end."""

from collections.abc import Callable

from wherry_service.apps.endpoints import Endpoint

# What stands for the method of a websocket.
SOCKET = "WS"
OnAnswered = Callable[[Endpoint, str, int, float], None]
"""Called with the endpoint, the method, the status (0: its client had gone), and seconds."""


class Traffic:
    """Requests and websockets to endpoints that are open now, and those who hear of each that is over."""

    def __init__(self) -> None:
        self.num_open = self.num_sockets = 0
        self.on_answered: list[OnAnswered] = []

    def begin(self, method: str) -> None:
        """Note that one has begun."""
        self._count(method, 1)

    def end(self, endpoint: Endpoint, method: str, status: int, seconds: float) -> None:
        """Note that one is over."""
        self._count(method, -1)
        for hear in self.on_answered:
            hear(endpoint, method, status, seconds)

    def _count(self, method: str, more: int) -> None:
        if method == SOCKET:
            self.num_sockets += more
        else:
            self.num_open += more
