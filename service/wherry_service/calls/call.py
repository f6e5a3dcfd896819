"""Calls and their inputs, as the service keeps them while they are open."""

from collections import deque
from typing import TYPE_CHECKING

from wherry_proto.messages import CallKind, Output, Payload, Yield
from wherry_service.ids import call_of_input
from wherry_service.records.rows import Facts

if TYPE_CHECKING:
    from wherry_service.calls.client import Client
    from wherry_service.node.node import Stream
    from wherry_service.pools.container import Container


# large: the whole state of an input, one row of each table of those that are open; slots, since there are many.
class Input:
    """One input: waiting (no container, not done), running (a container) or done."""

    __slots__ = (
        "call",
        "call_id",
        "cancelled",
        "children",
        "container",
        "done",
        "in_graph",
        "index",
        "input_id",
        "losses",
        "method",
        "payload",
        "queued",
        "queued_ms",
        "retries",
        "saved",
        "started_ms",
        "stream",
        "yields",
        "yields_taken",
    )

    def __init__(
        self, input_id: str, call: "Call", index: int, payload: Payload, method: str = "", queued_ms: int = 0
    ) -> None:
        self.input_id = input_id
        self.call = call
        self.call_id = call.call_id
        self.index = index
        self.payload = payload
        # Of a class: which method runs.
        self.method = method
        self.container: Container[Input] | None = None
        # When it was taken, and when it was handed to its container, in milliseconds since 1970.
        self.queued_ms = queued_ms
        self.started_ms = 0
        # Whether it alone was cancelled, of the inputs of its call.
        self.cancelled = False
        # Whether a call graph has it.
        self.in_graph = False
        self.done = False
        # Whether it waits in its function's queue.
        self.queued = False
        self.losses = 0
        self.retries = 0
        # Open calls that it has made: while there are any, it waits rather than works.
        self.children = 0
        # Whether a durable input is on disk.
        self.saved = False
        # What a generator has yielded and its client has not taken: sent again when a session breaks.
        # The runner's window bounds it; None where there was no value yet.
        self.yields: deque[Yield] | None = None
        # All below this index were taken.
        self.yields_taken = 0
        # Of a web request: its body, and the response.
        self.stream: Stream | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether it has made calls that are not over."""
        return self.children > 0

    @property
    def is_cancelled(self) -> bool:
        """Whether nobody wants it to run: it, or its whole call."""
        return self.cancelled or self.call.cancelled

    @property
    def shown_call_id(self) -> str:
        """What its code is told of its call. Each input of a `spawn_map` is a call of its own, beside the whole.

        Of one that an earlier life took in the kind is not known: a spawned call and its one input have the same
        letters and digits, then.
        """
        call = self.call
        if call.kind == CallKind.SPAWN_MAP or (call.kind == CallKind.SPAWN and call.restored):
            return call_of_input(self.input_id)
        return self.call_id

    @property
    def is_durable(self) -> bool:
        """Whether it and its result live on disk."""
        return self.call.durable

    def keep_yield(self, value: Yield) -> bool:
        """Keep a value until it is taken; return False for any but the one whose turn it is.

        A run before this one has yielded the lower ones already. What lies behind a gap is nobody's.
        """
        if self.yields is None:
            self.yields = deque()
        known = self.yields[-1].index + 1 if self.yields else self.yields_taken
        if value.index != known:
            return False
        self.yields.append(value)
        return True

    def take_yields(self, below: int) -> None:
        """Forget the values of a lower index: they were taken."""
        self.yields_taken = max(self.yields_taken, below)
        while self.yields and self.yields[0].index < below:
            self.yields.popleft()


# large: the whole state of a call, as of an input.
class Call:
    """One call: its open inputs, and the outputs its client has not taken yet."""

    __slots__ = (
        "call_id",
        "cancelled",
        "cause",
        "client",
        "durable",
        "facts",
        "finished",
        "function_id",
        "kind",
        "num_done",
        "num_inputs",
        "open",
        "origin",
        "parent_input_id",
        "restored",
        "scheduled",
        "watchers",
    )

    def __init__(
        self, call_id: str, function_id: str, kind: int, client: "Client | None", parent_input_id: str
    ) -> None:
        self.call_id = call_id
        self.function_id = function_id
        self.kind = kind
        # None for a durable call whose client is not known any more.
        self.client = client
        self.parent_input_id = parent_input_id
        self.open: dict[str, Input] = {}
        self.finished: dict[str, Output] = {}
        self.watchers: set[Client] = set()
        self.num_done = 0
        # None until the client has said how many there are.
        self.num_inputs: int | None = None if kind in (CallKind.MAP, CallKind.SPAWN_MAP) else 1
        self.cancelled = False
        # What its records have in common, from the first of them on.
        self.facts: Facts | None = None
        # Whether the clock has made it.
        self.scheduled = False
        # Whether an earlier life had it: of its inputs, those that ended there are only on disk.
        self.restored = False
        # Whether inputs and results live in the database (reference: Function.spawn).
        self.durable = kind in (CallKind.SPAWN, CallKind.SPAWN_MAP)
        # Why the service made it itself, and the input because of which it did (store/calls.py).
        self.cause = 0
        self.origin = ""
