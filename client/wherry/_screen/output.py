"""The interface of outputs, and the silent one."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from wherry_proto.messages import ImageStepEnd, LogLine, Notice


class Progress(Protocol):
    """The progress of one map."""

    def advance(self) -> None:
        """One input more has been answered."""

    def failed(self) -> None:
        """Of those that were answered, one more has failed."""

    def end(self) -> None:
        """No more will be."""


class Transfer(Protocol):
    """What is sent or fetched, as far as it has come."""

    def advance(self, size: int) -> None:
        """So many bytes more have passed."""

    def end(self) -> None:
        """All have, or it was given up."""


class Waiting(Protocol):
    """Something that is waited for."""

    def end(self) -> None:
        """It is there, or nobody waits any more; said again, this does nothing."""


class Build(Protocol):
    """The build of one image."""

    def line(self, text: str) -> None:
        """A line of its log."""

    def because(self, reason: str) -> None:
        """Why it is built."""

    def at(self, number: int, count: int) -> None:
        """A step has begun: which it is, of how many."""

    def layer(self, step: ImageStepEnd) -> None:
        """A step has ended."""

    def end(self, image_id: str, seconds: float) -> None:
        """The image is there; after `abandon` nothing more comes."""

    def abandon(self) -> None:
        """It ended some other way, which others tell; after `end` this does nothing."""


class Output(Protocol):
    """Shows what happens. Its methods are called from several threads."""

    def log(self, lines: Sequence[LogLine]) -> None:
        """Lines that containers printed."""

    def notice(self, notice: Notice) -> None:
        """Something the service wants the person to know."""

    def begin(self, text: str) -> None:
        """What the steps that follow belong to."""

    def step(self, text: str) -> None:
        """Something was done: an image built, a function made."""

    def closing(self, text: str) -> None:
        """How that ended which began: the last of its steps."""

    def detail(self, text: str) -> None:
        """Something that is of interest to few, for example a file that was sent."""

    def build(self, image: str, wanted_by: str = "", several: bool = False) -> Build:
        """The build of an image has begun, for functions of these names; `several`: there are others at once."""

    def progress(self, name: str, total: int | None) -> Progress:
        """A map has begun."""

    def transfer(self, what: str, size: int) -> Transfer:
        """So many bytes are about to be sent, or fetched."""

    def waiting(self, what: str) -> Waiting:
        """Something is waited for: it is shown if that takes longer than a moment."""

    def close(self) -> None:
        """Show nothing any more."""


class NoProgress:
    """Progress, or something that is waited for, that is not shown."""

    def advance(self, size: int = 1) -> None:
        """Show nothing."""

    def failed(self) -> None:
        """Show nothing."""

    def end(self) -> None:
        """Show nothing."""


class NoBuild:
    """A build that is not shown."""

    def line(self, text: str) -> None:
        """Show nothing."""

    def because(self, reason: str) -> None:
        """Show nothing."""

    def at(self, number: int, count: int) -> None:
        """Show nothing."""

    def layer(self, step: ImageStepEnd) -> None:
        """Show nothing."""

    def end(self, image_id: str, seconds: float) -> None:
        """Show nothing."""

    def abandon(self) -> None:
        """Show nothing."""


class Silent:
    """Shows nothing: how the SDK starts (reference: output must be enabled)."""

    def log(self, lines: Sequence[LogLine]) -> None:
        """Show nothing."""

    def notice(self, notice: Notice) -> None:
        """Show nothing."""

    def begin(self, text: str) -> None:
        """Show nothing."""

    def step(self, text: str) -> None:
        """Show nothing."""

    def closing(self, text: str) -> None:
        """Show nothing."""

    def detail(self, text: str) -> None:
        """Show nothing."""

    def build(self, image: str, wanted_by: str = "", several: bool = False) -> Build:
        return NoBuild()

    def progress(self, name: str, total: int | None) -> Progress:
        return NoProgress()

    def transfer(self, what: str, size: int) -> Transfer:
        return NoProgress()

    def waiting(self, what: str) -> Waiting:
        return NoProgress()

    def close(self) -> None:
        """Nothing is open."""


def describe(step: ImageStepEnd) -> str:
    """Return a step of a build and what it took, in one line."""
    title = " ".join(step.title.split())
    short = title if len(title) <= 100 else title[:99] + "…"
    return f"{short} (cached)" if step.cached else f"{short} ({step.seconds:.1f} s)"


def cut(text: str, length: int = 50) -> str:
    """Return the beginning of a text, with "…" where it is longer than that."""
    return text if len(text) <= length else text[: length - 1] + "…"


@contextmanager
def waited(screen: Output, what: str) -> Iterator[None]:
    """Show within this block what is waited for, if that takes longer than a moment."""
    waiting = screen.waiting(what)
    try:
        yield
    finally:
        waiting.end()
