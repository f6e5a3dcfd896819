"""The inputs of one function that wait for a container."""

from collections import deque
from collections.abc import Iterable

from wherry_service.calls.call import Call, Input
from wherry_service.calls.retry import RetryPolicy
from wherry_service.pools.pool import Pool


class FunctionQueue:
    """First in, first out; what comes back goes to the front."""

    def __init__(self, function_id: str, app_id: str, client_id: str, pool: Pool, retry: RetryPolicy) -> None:
        self.function_id = function_id
        self.app_id = app_id
        # The client that runs the app and sees its logs; "" for a deployed one.
        self.client_id = client_id
        self.pool = pool
        self.retry = retry
        self.noticed: dict[str, float] = {}
        self._waiting: deque[Input] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, item: Input) -> None:
        self._waiting.append(item)

    def put_back(self, items: Iterable[Input]) -> None:
        """Put inputs, given in order, before all others."""
        self._waiting.extendleft(reversed(list(items)))

    def take(self, count: int) -> list[Input]:
        """Remove and return the first `count`."""
        waiting = self._waiting
        return [waiting.popleft() for _ in range(min(count, len(waiting)))]

    def take_all(self) -> list[Input]:
        return self.take(len(self._waiting))

    def remove(self, item: Input) -> bool:
        """Remove one input; False if it does not wait here."""
        try:
            self._waiting.remove(item)
        except ValueError:
            return False
        return True

    def remove_call(self, call: Call) -> list[Input]:
        """Remove and return the inputs of a call."""
        removed = [item for item in self._waiting if item.call is call]
        if removed:
            self._waiting = deque(item for item in self._waiting if item.call is not call)
        return removed
