"""What becomes of containers and their inputs: one set of events on the whole way back.

A runner's link tells its container, the container tells its pool, the pool tells the dispatcher. Each does its part
and says what is left in the same words; `C` is what the one who hears knows the container by.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from wherry_proto.messages import Failure, Payload
from wherry_service.engines.containment import NO_LIMIT, MemoryLimit
from wherry_service.logs.batch import LogRow

C = TypeVar("C")


class OutputRow(NamedTuple):
    """The value of an input that has finished."""

    input_id: str
    payload: Payload
    # How many values it has yielded before.
    num_yields: int


class YieldRow(NamedTuple):
    """A value of a generator."""

    input_id: str
    # Counts up from 0.
    position: int
    payload: Payload


# Why a container ends that was started for work which others have done: as ordinary as an end can be.
UNNEEDED = "was not needed any more"


@dataclass(frozen=True, slots=True)
class ContainerExit:
    """How a container ended. `reason` is set when the agent itself ended it or could not start it."""

    exit_code: int | None = None
    oom_killed: bool = False
    memory_limit: MemoryLimit = NO_LIMIT
    reason: str = ""
    log_tail: str = ""
    # The container never ran: its order can be given again.
    not_started: bool = False
    # Starting it again would fail the same way.
    permanent: bool = False
    # The host kept it from starting, by its engine or its disk: nothing of the function's.
    host_failed: bool = False

    @property
    def is_failure(self) -> bool:
        """Whether it ended otherwise than it was told to, or when nothing was left to do."""
        # What was done to it is told as such: it "was stopped", "was ended with its function".
        told = self.reason.startswith("was ") if self.reason else self.exit_code == 0
        return self.oom_killed or not told

    def describe(self) -> str:
        """Return the ending as the end of a sentence, for example "was killed by signal 9 (SIGKILL)"."""
        if self.reason:
            return self.reason
        if self.oom_killed:
            return f"ran out of memory{self.memory_limit}"
        if self.exit_code is None:
            return "ended, and the engine does not know how"
        if self.exit_code > 128:
            return f"was killed by signal {self.exit_code - 128}{_signal_name(self.exit_code - 128)}"
        return f"exited with code {self.exit_code}"


def _signal_name(number: int) -> str:
    import signal  # noqa: PLC0415 - start-up cost: only for this message

    try:
        return f" ({signal.Signals(number).name})"
    except ValueError:
        return ""


class ContainerEvents(Generic[C]):
    """Who hears of containers: of what it does not care for, nothing follows.

    Called on the event loop, in the order things happened.
    """

    def on_connected(self, container: C, running: Sequence[str], loaded: bool) -> None:
        """Hear that the runner is there, for the first time or again; `running` are the inputs it holds."""

    def on_ready(self, container: C, seconds: float) -> None:
        """Hear that the user's code is imported."""

    def on_load_failed(self, container: C, failure: Failure) -> None:
        """Hear that the user's code could not be imported; the container is about to exit."""

    def on_log(self, container: C, rows: Sequence[LogRow]) -> None:
        """Hear what it printed."""

    def on_outputs(self, container: C, rows: Sequence[OutputRow]) -> None:
        """Hear the values of finished inputs."""

    def on_yields(self, container: C, rows: Sequence[YieldRow]) -> None:
        """Hear values of generators."""

    def on_failure(self, container: C, input_id: str, failure: Failure, num_yields: int) -> None:
        """Hear that an input failed."""

    def on_returned(self, container: C, input_ids: Sequence[str]) -> None:
        """Hear which inputs came back unstarted."""

    def on_leaving(self, container: C) -> None:
        """Hear that the runner takes no more inputs, and ends."""

    def on_exit(self, container: C, exit: ContainerExit) -> None:
        """Hear that the container is gone; nothing follows."""


@dataclass(frozen=True, slots=True)
class Hearer(Generic[C]):
    """Who hears of one container, which they know by `container`.

    What it prints goes straight to `lines`: nobody in between has anything to do with it.
    """

    container: C
    events: ContainerEvents[C]
    lines: ContainerEvents[C]
