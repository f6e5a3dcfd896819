"""Inputs of a map that the service has no room for now (RESOURCE_EXHAUSTED): offered again, ever more slowly."""

import threading
from collections.abc import Callable

from wherry_proto.messages import FailureKind, Input, Output

FIRST_DELAY_S = 0.05
LONGEST_DELAY_S = 2.0


class Refusals:
    """While there are any, `pending`, the map feeds nothing new. `done` is called when all were offered again.

    The delay doubles with each round that is refused, and shrinks as the service answers.
    """

    def __init__(
        self, send: Callable[[Input], None], done: Callable[[], None], first_delay_s: float = FIRST_DELAY_S
    ) -> None:
        self._send = send
        self._done = done
        self._first_delay_s = first_delay_s
        self._delay_s = first_delay_s
        self._lock = threading.Lock()
        self._items: dict[str, Input] = {}
        self._timer: threading.Timer | None = None
        self._closed = False

    @property
    def pending(self) -> bool:
        """Whether inputs wait to be offered again."""
        return bool(self._items)

    def add(self, item: Input) -> None:
        """Note an input that was refused."""
        with self._lock:
            if self._closed:
                return
            self._items[item.input_id] = item
            if self._timer is None:
                self._timer = threading.Timer(self._delay_s, self._offer_again)
                self._timer.daemon = True
                self._delay_s = min(LONGEST_DELAY_S, self._delay_s * 2)
                self._timer.start()

    def answered(self) -> None:
        """Note that the service has answered an input."""
        if self._delay_s > self._first_delay_s:
            self._delay_s = max(self._first_delay_s, self._delay_s * 0.9)

    def close(self) -> None:
        """Offer nothing any more."""
        with self._lock:
            self._closed = True
            self._items.clear()
            if self._timer is not None:
                self._timer.cancel()

    def _offer_again(self) -> None:
        with self._lock:
            items, self._items = self._items, {}
            self._timer = None
        for item in items.values():
            self._send(item)
        self._done()


def is_refusal(output: Output) -> bool:
    """Whether the service had no room for the input."""
    return output.failure is not None and output.failure.kind == FailureKind.EXHAUSTED
