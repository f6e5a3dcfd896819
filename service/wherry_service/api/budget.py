"""How many bytes of requests the service holds for one peer, and for all of a kind together."""

from collections.abc import Callable


class Budget:
    """Counts what is held. `whole` is the budget of all peers together; `on_full` hears that this one is exceeded."""

    def __init__(self, most: int, whole: "Budget | None" = None, on_full: Callable[[], None] = lambda: None) -> None:
        self.most = most
        self.used = 0
        self._whole = whole
        self._on_full = on_full

    def change(self, more: int) -> bool:
        """Note so many bytes more, or fewer; return whether that is within what this peer may have."""
        self.used += more
        if self._whole is not None:
            self._whole.change(more)
        if more <= 0 or self.used <= self.most:
            return True
        self._on_full()
        return False
