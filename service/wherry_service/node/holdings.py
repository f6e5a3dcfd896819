"""The inputs that one container was given, and what it may say of each: anything else breaks the protocol."""

from collections import deque
from collections.abc import Iterable, Sequence

from wherry_proto.messages import Format
from wherry_service.node.events import OutputRow, YieldRow
from wherry_service.node.frames import ProtocolError
from wherry_service.node.node import Assignment, LoadOrder
from wherry_service.node.runner_protocol import MAX_AHEAD, MAX_AHEAD_BYTES

# Inputs that a container of an earlier life of the service may say it holds. A hello has room for 30,000.
MAX_CLAIMS = 32_768


class Holdings:
    """`ids` are the inputs that it holds: an answer to any other breaks the protocol."""

    def __init__(self, load: LoadOrder) -> None:
        self.ids: set[str] = set()
        # Whether an earlier life of the service gave it what it holds: then its word is all there is, once.
        self.from_earlier_life = False
        # Answered, and kept by the runner until the answers are on disk: it names them again when it reconnects.
        self._durable: set[str] = set()
        self._unkept: set[str] = set()
        self._is_class = bool(load.methods)
        self._is_web = bool(load.web)
        self._generators = frozenset(name for name, is_generator, _ in load.methods if is_generator)
        self._yields = bool(self._generators) if load.methods else load.is_generator
        # Of a class: the inputs that run a method which yields nothing.
        self._plain: set[str] = set()
        # What generators have yielded and their callers not taken: (index, bytes), and the sum of these.
        self._ahead: dict[str, tuple[deque[tuple[int, int]], list[int]]] = {}

    def give(self, item: Assignment) -> None:
        """Note that it was given an input."""
        self.ids.add(item.input_id)
        if item.is_durable:
            self._durable.add(item.input_id)
        if self._is_class and self._yields and item.method not in self._generators:
            self._plain.add(item.input_id)

    def claimed(self, running: Sequence[str]) -> list[str]:
        """Return which of the inputs that a hello names it was given; it holds these now, and no others."""
        named = dict.fromkeys(running)
        if self.from_earlier_life:
            self.from_earlier_life = False
            found = [input_id for input_id in named if input_id.startswith("in-")][:MAX_CLAIMS]
            self._durable.update(found)
        else:
            found = [input_id for input_id in named if input_id in self.ids or input_id in self._unkept]
        self._unkept.difference_update(found)
        for lost in self.ids.difference(found):
            self._forget(lost)
        self.ids.update(found)
        return found

    def answered(self, input_ids: Iterable[str]) -> None:
        """Note that it has answered inputs."""
        for input_id in input_ids:
            if input_id in self._durable:
                self._unkept.add(input_id)
            self.ids.discard(input_id)
            self._plain.discard(input_id)
            self._ahead.pop(input_id, None)

    def kept(self, input_ids: Iterable[str]) -> None:
        """Note that the answers of inputs are on disk, or of no use: it is told so, and names them no more."""
        for input_id in input_ids:
            self._unkept.discard(input_id)
            if input_id not in self.ids:
                self._durable.discard(input_id)

    def let_go(self, input_ids: Iterable[str]) -> None:
        """Note that it has given inputs back."""
        for input_id in input_ids:
            self._forget(input_id)

    def _forget(self, input_id: str) -> None:
        self.ids.discard(input_id)
        self._durable.discard(input_id)
        self._plain.discard(input_id)
        self._ahead.pop(input_id, None)

    def check_outputs(self, rows: Sequence[OutputRow]) -> None:
        """Raise ProtocolError where a value is not of the kind that such an input has."""
        for input_id, payload, num_yields in rows:
            self.check_end(input_id, num_yields)
            if payload.format == Format.WEB and not self._is_web:
                raise ProtocolError("answered with a response, and runs no web endpoint")

    def check_end(self, input_id: str, num_yields: int) -> None:
        """Raise ProtocolError where an input that yields nothing is said to have yielded."""
        if num_yields and not self._may_yield(input_id):
            raise ProtocolError("speaks of values yielded by an input that is no generator")

    def check_yields(self, rows: Sequence[YieldRow]) -> None:
        """Raise ProtocolError for values of an input that is no generator, or too far ahead of its caller."""
        for input_id, index, payload in rows:
            if not self._may_yield(input_id):
                raise ProtocolError("yielded a value for an input that is no generator")
            known = self._ahead.get(input_id)
            if known is None:
                known = self._ahead[input_id] = (deque(), [0])
            values, size = known
            values.append((index, len(payload.data)))
            size[0] += len(payload.data)
            if len(values) > MAX_AHEAD or size[0] > MAX_AHEAD_BYTES:
                raise ProtocolError(f"is {len(values)} values of {size[0]} bytes ahead of its caller")

    def taken(self, rows: Iterable[tuple[str, int]]) -> None:
        """Note how far callers have taken values."""
        for input_id, below in rows:
            known = self._ahead.get(input_id)
            if known is None:
                continue
            values, size = known
            while values and values[0][0] < below:
                size[0] -= values.popleft()[1]

    def _may_yield(self, input_id: str) -> bool:
        return self._yields and input_id not in self._plain
