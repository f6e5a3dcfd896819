"""The inputs of one function that wait for a container."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from wherry_service.calls.call import Call, Input
from wherry_service.calls.outcomes import Outcomes
from wherry_service.calls.retry import RetryPolicy
from wherry_service.pools.pool import Pool

# So many that were removed may stay among those that wait, and as many as wait.
_MAX_REMOVED = 1000


@dataclass(frozen=True, slots=True)
class QueueLimit:
    """How much may wait for one function: beyond it, new inputs are refused. What comes back is always taken."""

    inputs: int = 100_000
    payload_bytes: int = 1 << 30


class FunctionQueue:
    """First in, first out; what comes back goes to the front."""

    def __init__(
        self, function_id: str, app_id: str, client_id: str, pool: Pool[Input], retry: RetryPolicy, limit: QueueLimit
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
        self.outcomes = Outcomes()
        # In order. What was removed stays in place, unmarked, until its turn comes or too much of it is there.
        self._waiting: deque[Input] = deque()
        self._count = 0
        self._bytes = 0

    def __len__(self) -> int:
        return self._count

    @property
    def num_bytes(self) -> int:
        """Bytes of the arguments that wait."""
        return self._bytes

    def is_full(self, more: int = 0) -> bool:
        """Whether it has no room for another input, after that many `more`."""
        return self._count + more >= self.limit.inputs or self._bytes >= self.limit.payload_bytes

    def put(self, item: Input) -> None:
        self._waiting.append(item)
        self._note(item)

    def put_back(self, items: Iterable[Input]) -> None:
        """Put inputs, given in order, before all others."""
        back = list(items)
        self._waiting.extendleft(reversed(back))
        for item in back:
            self._note(item)

    def next_ones(self) -> Iterator[Input]:
        """Yield those that wait, in order; nothing may be put or taken meanwhile."""
        return (item for item in self._waiting if item.queued)

    def take(self, count: int) -> list[Input]:
        """Remove and return the first `count`."""
        waiting = self._waiting
        taken: list[Input] = []
        while waiting and len(taken) < count:
            item = waiting.popleft()
            if self.remove(item):
                taken.append(item)
        return taken

    def take_all(self) -> list[Input]:
        return self.take(self._count)

    def remove(self, item: Input) -> bool:
        """Remove one input; False if it does not wait here."""
        if not item.queued:
            return False
        item.queued = False
        self._count -= 1
        self._bytes -= item.payload.size
        return True

    def remove_call(self, call: Call) -> list[Input]:
        """Remove and return the inputs of a call."""
        removed = [item for item in call.open.values() if self.remove(item)]
        if len(self._waiting) > 2 * self._count + _MAX_REMOVED:
            self._waiting = deque(item for item in self._waiting if item.queued)
        return removed

    def _note(self, item: Input) -> None:
        item.queued = True
        self._count += 1
        self._bytes += item.payload.size
