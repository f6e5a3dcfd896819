"""Runs of generators: each time a container is given a generator's input, that is a run, and has a number."""

import secrets
from collections.abc import Iterable
from typing import Any

from wherry_service.node.frames import ProtocolError
from wherry_service.node.node import LoadOrder


class Runs:
    """What a container was given in this life of the service, and how far each run has come.

    The runner says the number with each value and with the answer, so that nothing of one run counts for another.
    Numbers begin at a random one: a runner outlives the service, and may still hold runs that an earlier life numbered.
    Those are unknown here, and so are the inputs of functions that yield nothing.
    """

    def __init__(self) -> None:
        self._last = secrets.randbits(40)
        # By input: its run, and the index of the value that comes next.
        self._open: dict[str, list[int]] = {}

    @staticmethod
    def are_of(load: LoadOrder) -> bool:
        """Whether what a container loads yields values."""
        return load.is_generator or any(is_generator for _, is_generator, _ in load.methods)

    def begin(self, input_id: str) -> int:
        """Number a run that is about to begin."""
        self._last += 1
        self._open[input_id] = [self._last, 0]
        return self._last

    def value(self, input_id: str, run: Any, index: int) -> None:
        """Hear of a value; raise `ProtocolError` unless it is the next one of the run that the container was given."""
        known = self._open.get(input_id)
        if known is None or run is None:
            return
        if run != known[0]:
            raise ProtocolError("names a run that it was not given")
        if index != known[1]:
            raise ProtocolError(f"yielded value {index} of a generator where value {known[1]} was next")
        known[1] += 1

    def answer(self, input_id: str, run: Any, num_yields: int) -> None:
        """Hear how a run ended; raise `ProtocolError` where it is another's end, or values are missing before it."""
        known = self._open.pop(input_id, None)
        if known is None or run is None:
            return
        if run != known[0]:
            raise ProtocolError("names a run that it was not given")
        if num_yields != known[1]:
            raise ProtocolError(f"ended a generator after {num_yields} values, of which {known[1]} came")

    def returned(self, input_ids: Iterable[str]) -> None:
        """Hear that inputs came back unstarted."""
        for input_id in input_ids:
            self._open.pop(input_id, None)
