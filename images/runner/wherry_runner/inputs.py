"""One input, from its arrival to its answer."""

from __future__ import annotations

from _collections import deque  # type: ignore[import-not-found]  # the C type alone

TYPE_CHECKING = False  # typing and collections cost 12 ms and 2 MiB; only the type checker needs them
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

WINDOW_VALUES = 512
WINDOW_BYTES = 8 << 20


class Input:
    """`ended_by` is "cancelled" or "timeout" once it is to end; what its function then does is not told."""

    __slots__ = (
        "answered",
        "blob",
        "call_id",
        "deadline",
        "early",
        "ended_by",
        "format",
        "handle",
        "input_id",
        "keep",
        "method",
        "payload",
        "run",
        "stream",
        "window",
    )

    def __init__(
        self, input_id: str, call_id: str, format: int, blob: str | None, payload: bytes, method: str = ""
    ) -> None:
        self.input_id = input_id
        self.call_id = call_id
        self.format = format
        self.blob = blob
        self.payload = payload
        # Of a class: which method to run.
        self.method = method
        # Whether its answer is kept until the agent has it on disk.
        self.keep = False
        # Of a generator's: which run of it this is; it is said with each value, and with the answer.
        self.run: int | None = None
        self.ended_by = ""
        self.answered = False
        self.deadline = 0.0
        # The executor's own: a task, a thread.
        self.handle: object = None
        self.window: Window | None = None
        # Of a web request: what is heard while it runs, and what came before that.
        self.stream: Any = None
        self.early: list[Any] = []


class Intake:
    """The inputs that this container holds. `held` has those unanswered, `inbox` those of them not started."""

    def __init__(self) -> None:
        self.inbox: deque[Input] = deque()
        self.held: dict[str, Input] = {}

    def take_in(
        self, rows: list[list[Any]], parts: list[bytes], keep: Sequence[str] = (), runs: Sequence[int] = ()
    ) -> int:
        """Note new inputs; return how many. After a reconnection the agent may offer again what is held.

        `keep` names those whose answers are kept until the agent has them on disk. `runs` has the number of each row's
        run, where the function yields values.
        """
        new = 0
        kept = frozenset(keep)
        for place, ((input_id, call_id, format, blob, *method), part) in enumerate(zip(rows, parts, strict=True)):
            if input_id not in self.held:
                item = self.held[input_id] = Input(input_id, call_id, format, blob, part, *method)
                item.keep = input_id in kept
                if runs:
                    item.run = runs[place]
                self.inbox.append(item)
                new += 1
        return new

    def give_back(self) -> list[str]:
        """Take all unstarted inputs out; each is either among them or started, never both."""
        returned: list[str] = []
        while True:
            try:
                item = self.inbox.popleft()
            except IndexError:
                return returned
            self.held.pop(item.input_id, None)
            returned.append(item.input_id)

    def drop(self, item: Input) -> bool:
        """Take one unstarted input out; False: it has started."""
        try:
            self.inbox.remove(item)
        except ValueError:
            return False
        return True


class Window:
    """How far a generator is ahead of its caller. Values count from 0."""

    def __init__(self) -> None:
        self.index = 0
        self._bytes = 0
        self._ahead: deque[tuple[int, int]] = deque()

    def note(self, size: int) -> int:
        """Note one more value of `size` bytes; return its index."""
        index = self.index
        self.index = index + 1
        self._bytes += size
        self._ahead.append((index, size))
        return index

    def take(self, below: int) -> None:
        """Note that the caller has all values below that index."""
        ahead = self._ahead
        while ahead and ahead[0][0] < below:
            self._bytes -= ahead.popleft()[1]

    @property
    def is_full(self) -> bool:
        return len(self._ahead) >= WINDOW_VALUES or self._bytes >= WINDOW_BYTES
