"""The interface of outputs, and the silent one."""

from collections.abc import Sequence
from typing import Protocol

from wherry_proto.messages import ImageStepEnd, LogLine, Notice


class Progress(Protocol):
    """The progress of one map."""

    def advance(self) -> None:
        """One input more has been answered."""

    def end(self) -> None:
        """No more will be."""


class Build(Protocol):
    """The build of one image."""

    def line(self, text: str) -> None:
        """A line of its log."""

    def because(self, reason: str) -> None:
        """Why it is built."""

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

    def step(self, text: str) -> None:
        """Something was done: an image built, a function made."""

    def detail(self, text: str) -> None:
        """Something that is of interest to few, for example a file that was sent."""

    def build(self, image: str) -> Build:
        """The build of an image has begun."""

    def progress(self, name: str, total: int | None) -> Progress:
        """A map has begun."""

    def close(self) -> None:
        """Show nothing any more."""


class NoProgress:
    """Progress that is not shown."""

    def advance(self) -> None:
        """Show nothing."""

    def end(self) -> None:
        """Show nothing."""


class NoBuild:
    """A build that is not shown."""

    def line(self, text: str) -> None:
        """Show nothing."""

    def because(self, reason: str) -> None:
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

    def step(self, text: str) -> None:
        """Show nothing."""

    def detail(self, text: str) -> None:
        """Show nothing."""

    def build(self, image: str) -> Build:
        return NoBuild()

    def progress(self, name: str, total: int | None) -> Progress:
        return NoProgress()

    def close(self) -> None:
        """Nothing is open."""


def describe(step: ImageStepEnd) -> str:
    """Return a step of a build and what it took, in one line."""
    title = " ".join(step.title.split())
    short = title if len(title) <= 100 else title[:99] + "…"
    return f"{short} (cached)" if step.cached else f"{short} ({step.seconds:.1f} s)"
