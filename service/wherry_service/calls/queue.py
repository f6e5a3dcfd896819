"""The inputs of one function that wait for a container."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from wherry_service.calls.call import Call, Input
from wherry_service.calls.retry import RetryPolicy
from wherry_service.pools.pool import Pool


@dataclass(frozen=True, slots=True)
class QueueLimit:
    """How much may wait for one function: beyond it, new inputs are refused. What comes back is always taken."""

    inputs: int = 100_000
    payload_bytes: int = 1 << 30


class FunctionQueue:
    """First in, first out; what comes back goes to the front."""

    def __init__(
        self, function_id: str, app_id: str, client_id: str, pool: Pool, retry: RetryPolicy, limit: QueueLimit
    ) -> None:
        self.function_id = function_id
        self.app_id = app_id
        # The client that runs the app and sees its logs; "" for a deployed one.
        self.client_id = client_id
        self.pool = pool
        self.retry = retry
        self.limit = limit
        self.noticed: dict[str, float] = {}
        # Inputs that failed and wait for the time of their retry.
        self.num_retrying = 0
        self._waiting: deque[Input] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def is_full(self, more: int = 0) -> bool:
        """Whether it has no room for another input, after that many `more`."""
        return len(self._waiting) + more >= self.limit.inputs or self._bytes >= self.limit.payload_bytes

    def put(self, item: Input) -> None:
        self._waiting.append(item)
        self._bytes += item.payload.size

    def put_back(self, items: Iterable[Input]) -> None:
        """Put inputs, given in order, before all others."""
        back = list(items)
        self._waiting.extendleft(reversed(back))
        self._bytes += sum(item.payload.size for item in back)

    def take(self, count: int) -> list[Input]:
        """Remove and return the first `count`."""
        waiting = self._waiting
        taken = [waiting.popleft() for _ in range(min(count, len(waiting)))]
        for item in taken:
            self._bytes -= item.payload.size
        return taken

    def take_all(self) -> list[Input]:
        return self.take(len(self._waiting))

    def remove(self, item: Input) -> bool:
        """Remove one input; False if it does not wait here."""
        try:
            self._waiting.remove(item)
        except ValueError:
            return False
        self._bytes -= item.payload.size
        return True

    def remove_call(self, call: Call) -> list[Input]:
        """Remove and return the inputs of a call."""
        removed = [item for item in self._waiting if item.call is call]
        if removed:
            self._waiting = deque(item for item in self._waiting if item.call is not call)
            self._bytes -= sum(item.payload.size for item in removed)
        return removed
