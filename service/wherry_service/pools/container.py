"""One container of a pool: its state machine and the inputs it holds."""

import enum
import time
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from wherry_service.node.events import UNNEEDED
from wherry_service.node.node import Assignment, NodeContainer
from wherry_service.pools.plan import PoolPlan

# What the inputs of a pool are: its dispatcher's own.
A = TypeVar("A", bound=Assignment)

# Transitions that are kept: one that serves single calls goes from idle to busy and back with each.
MAX_HISTORY = 400
_BEGINNING = 3


class State(enum.StrEnum):
    """creating → starting → idle ⇄ busy → draining → stopped."""

    CREATING = "creating"
    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    DRAINING = "draining"
    STOPPED = "stopped"


class Ending(enum.Enum):
    """Why the pool ends a container whose inputs are not to blame, or known to be."""

    NONE = enum.auto()
    # Its inputs ran over their timeout and did not stop.
    OVERDUE = enum.auto()
    # A cancelled input can only be ended with it: the others run again elsewhere.
    CANCELLED = enum.auto()


_NEXT: dict[State, frozenset[State]] = {
    State.CREATING: frozenset({State.STARTING, State.DRAINING, State.STOPPED}),
    State.STARTING: frozenset({State.IDLE, State.BUSY, State.DRAINING, State.STOPPED}),
    State.IDLE: frozenset({State.BUSY, State.DRAINING, State.STOPPED}),
    State.BUSY: frozenset({State.IDLE, State.DRAINING, State.STOPPED}),
    State.DRAINING: frozenset({State.STOPPED}),
    State.STOPPED: frozenset(),
}


class Home(Protocol):
    """The pool, as its containers and those who hear of them know it."""

    @property
    def plan(self) -> PoolPlan: ...
    @property
    def closed(self) -> bool: ...
    def now(self) -> float: ...


# large: the facts that a pool decides by; where there is room is for `rooms` to say
class Container(Generic[A]):
    """Asked by its pool, and told what happened; its transitions are in `history` with their times, the first and the
    latest ones."""

    def __init__(self, container_id: str, slots: int, pool: Home, batch_size: int) -> None:
        self.container_id = container_id
        self.pool = pool
        self.slots = slots
        self.batch_size = batch_size
        self.state = State.CREATING
        self.history: list[tuple[State, float]] = [(State.CREATING, pool.now())]
        # In the order they were handed over: the first `slots` of them are running, the rest wait inside.
        self.held: dict[str, A] = {}
        self.idle_since = pool.now()
        # Commands that run in it beside its inputs: it is not idle while there are such.
        self.num_execs = 0
        # Sessions of a server, whose requests come to it alone: likewise.
        self.num_sessions = 0
        self.created_at_ms = time.time_ns() // 1_000_000
        self.last_progress = pool.now()
        # When the last input of it ended, for the records: in milliseconds since 1970.
        self.last_end_ms = 0
        # When the last of its slots was taken, or one of the inputs in them ended and another took its place.
        self.full_since = pool.now()
        self.recalled = False
        # Whether it was ever given an input: one for single use takes no second.
        self.used = False
        # When the first input of the batch that gathers in it was handed over.
        self.gathers_since = pool.now()
        # Why it is about to be ended by us; its inputs are not lost with it.
        self.ending = Ending.NONE
        # Its code is at somebody's terminal: until then it is not overdue.
        self.attended_until = 0.0
        self.ready = False
        self.handle: NodeContainer | None = None
        # Where several run at once: when each was handed over.
        self._sent_at: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"<Container {self.container_id} {self.state} holding {len(self.held)}>"

    def move(self, state: State) -> None:
        """Go to `state`; an impossible transition is a bug and raises RuntimeError."""
        if state is self.state:
            return
        if state not in _NEXT[self.state]:
            raise RuntimeError(f"container {self.container_id} can't go from {self.state} to {state}")
        self.state = state
        self.history.append((state, self.pool.now()))
        if len(self.history) > MAX_HISTORY:
            # How it began stays.
            del self.history[_BEGINNING : _BEGINNING + MAX_HISTORY // 4]

    @property
    def is_used(self) -> bool:
        """Whether somebody counts on it beside its inputs."""
        return self.num_execs > 0 or self.num_sessions > 0

    @property
    def accepts(self) -> bool:
        """Whether it may be given inputs."""
        return self.state in (State.IDLE, State.BUSY) and self.handle is not None and self.handle.is_connected()

    def send(self, inputs: Sequence[A]) -> None:
        """Hand over inputs."""
        assert self.handle is not None
        if not self.held:
            self.last_progress = self.pool.now()
        if self.slots > 1:
            self._note_times(inputs)
        if len(self.held) < self.slots:
            self.full_since = self.pool.now()
        for item in inputs:
            self.held[item.input_id] = item
        self.recalled = False
        self.used = True
        if self.state is State.IDLE:
            self.move(State.BUSY)
        self.handle.send(inputs)

    def _note_times(self, inputs: Sequence[A]) -> None:
        now = self.pool.now()
        if self.batch_size and len(self.held) % self.batch_size == 0:
            self.gathers_since = now
        for item in inputs:
            self._sent_at[item.input_id] = now

    def running(self, longer_than_s: float = 0.0) -> list[str]:
        """Return the inputs that it runs, to our knowledge: those that were handed over that long ago."""
        ids = list(self.held)[: self.slots]
        if self.slots == 1 or not longer_than_s:
            return ids
        before = self.pool.now() - longer_than_s
        return [input_id for input_id in ids if self._sent_at.get(input_id, 0.0) <= before]

    @property
    def full_s(self) -> float:
        """Seconds for which all its slots have been taken and none of the inputs in them has ended."""
        is_full = self.ready and len(self.held) >= self.slots
        return self.pool.now() - self.full_since if is_full else 0.0

    @property
    def is_blocked(self) -> bool:
        """Whether all slots are taken by inputs that wait for calls of their own."""
        return len(self.held) >= self.slots and all(item.is_waiting for item in self.held.values())

    def hold(self, item: A) -> None:
        """Note that it holds an input already, from an earlier life of the service."""
        self.held[item.input_id] = item
        self.used = True
        if self.state is State.IDLE:
            self.move(State.BUSY)

    def release(self, input_id: str) -> A | None:
        """Forget an input that has ended or come back."""
        item = self.held.pop(input_id, None)
        if self._sent_at:
            self._sent_at.pop(input_id, None)
        if not self.held and self.state is State.BUSY:
            self.move(State.IDLE)
            self.idle_since = self.pool.now()
        if not self.held:
            self.attended_until = 0.0
        return item

    def take_all(self) -> list[A]:
        """Forget all inputs, which end or run elsewhere; return them."""
        inputs = list(self.held.values())
        self.held.clear()
        return inputs

    def attend(self, seconds: float) -> None:
        """Give its inputs that much more time: somebody looks at what they do."""
        self.attended_until = self.pool.now() + seconds

    def drain(self) -> None:
        """Let it finish and go."""
        if self.state in (State.DRAINING, State.STOPPED):
            return
        connected = self.handle is not None and self.handle.is_connected()
        self.move(State.DRAINING)
        if self.handle is not None:
            if connected:
                self.handle.drain()
            elif not self.held:
                self.handle.kill(UNNEEDED)

    def kill(self, reason: str) -> None:
        """End it now."""
        if self.state is not State.STOPPED and self.handle is not None:
            if self.state is not State.DRAINING:
                self.move(State.DRAINING)
            self.handle.kill(reason)

    # What its runner says, as far as it concerns its state

    def connected(self, running: Sequence[str], loaded: bool) -> list[str]:
        """Hear that its runner is there, for the first time or again; return the inputs that did not reach it."""
        if self.state is State.CREATING:
            self.move(State.STARTING)
        if self.state is State.STARTING:
            self.move(State.IDLE)
            self.idle_since = self.pool.now()
        elif self.state is State.DRAINING and self.handle is not None:
            self.handle.drain()
        self.ready = self.ready or loaded
        present = set(running)
        lost = [input_id for input_id in self.held if input_id not in present]
        if not loaded and not self.ready and len(lost) == len(self.held):
            # Its process has begun again before it had any code: what it was given never reached that.
            self.used = False
        return lost

    def became_ready(self) -> None:
        """Hear that the user's code is imported."""
        self.ready = True
        self.last_progress = self.full_since = self.pool.now()

    def could_not_load(self) -> None:
        """Hear that the user's code could not be imported: it ends."""
        if self.state not in (State.DRAINING, State.STOPPED):
            self.move(State.DRAINING)

    def leave(self) -> None:
        """Hear that it takes no more inputs, and ends."""
        if self.state in (State.IDLE, State.BUSY):
            self.move(State.DRAINING)
