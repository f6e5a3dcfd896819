"""Runs of generators that an earlier life of the service began: they end before their inputs run again."""

import asyncio
from collections.abc import Sequence

from wherry_service.calls.call import Input
from wherry_service.pools.container import Container, Ending, State
from wherry_service.pools.interruption import END_GRACE_S


class OldRuns:
    """What such a run yielded may be lost with that life, so another takes its place.

    Until the old one has ended, its input waits here: a container never holds two runs of one input, whose values
    could be taken for each other's. One that does not end in time is ended with its container.
    """

    def __init__(self) -> None:
        self._containers: dict[str, Container[Input]] = {}
        self._waiting: dict[str, Input] = {}

    def __len__(self) -> int:
        return len(self._containers)

    def end(self, container: Container[Input], input_ids: Sequence[str]) -> None:
        """Have runs end."""
        if container.handle is None:
            return
        for input_id in input_ids:
            self._containers[input_id] = container
        container.handle.cancel(list(input_ids))
        asyncio.get_running_loop().call_later(END_GRACE_S, self._end_late, container, list(input_ids))

    def _end_late(self, container: Container[Input], input_ids: Sequence[str]) -> None:
        late = any(self._containers.get(input_id) is container for input_id in input_ids)
        if late and container.ending is Ending.NONE and container.state is not State.STOPPED:
            # Its other inputs are not to blame.
            container.ending = Ending.CANCELLED
            container.kill("was ended with a generator that an earlier life of the service began and that did not stop")

    def hold_back(self, item: Input) -> bool:
        """Keep an input until its old run has ended; False: it has none."""
        if item.input_id not in self._containers:
            return False
        self._waiting[item.input_id] = item
        return True

    def waits(self, function_id: str) -> bool:
        """Whether an input of the function is kept here."""
        return any(item.call.function_id == function_id for item in self._waiting.values())

    def take_all(self, function_id: str) -> list[Input]:
        """Remove and return the inputs of a function that are kept here."""
        found = [item for item in self._waiting.values() if item.call.function_id == function_id]
        for item in found:
            del self._waiting[item.input_id]
        return found

    def withdraw(self, item: Input) -> None:
        """Keep an input no longer: it was cancelled."""
        self._waiting.pop(item.input_id, None)

    def ended(self, container: Container[Input], input_id: str) -> Input | None:
        """Hear that a container has answered an input it does not hold; return the input that may run now."""
        if self._containers.get(input_id) is not container:
            return None
        del self._containers[input_id]
        return self._waiting.pop(input_id, None)

    def gone(self, container: Container[Input]) -> list[Input]:
        """Hear that a container has ended; return the inputs that may run now."""
        ids = [input_id for input_id, its in self._containers.items() if its is container]
        return [item for input_id in ids if (item := self.ended(container, input_id)) is not None]
