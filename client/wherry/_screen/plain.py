"""Output as plain lines: what a pipe or a file gets. One of the two streams may be a terminal nevertheless."""

import sys
import threading
from collections.abc import Callable, Sequence
from typing import TextIO

from wherry._screen.harmless import harmless
from wherry._screen.output import Build, NoProgress, Progress, Silent, describe
from wherry._screen.stream import ScreenStream
from wherry_proto.messages import ImageStepEnd, LogLine, Notice, Stream


class Plain:
    """Containers' lines go to the stream they were printed on; everything else to stderr."""

    def __init__(
        self,
        *,
        quiet: bool = False,
        verbose: bool = False,
        out: TextIO | None = None,
        err: TextIO | None = None,
        on_gone: Callable[[], None] = lambda: None,
    ) -> None:
        self._quiet = quiet
        self._verbose = verbose
        self._out = ScreenStream(out or sys.stdout, on_gone)
        self._err = ScreenStream(err or sys.stderr)
        self._lock = threading.Lock()
        # Whose line has begun and goes on, by where it was written.
        self._begun: dict[ScreenStream, tuple[str, str]] = {}

    def log(self, lines: Sequence[LogLine]) -> None:
        with self._lock:
            for line in lines:
                stream = self._err if line.stream == Stream.STDERR else self._out
                owner = (line.container_id, line.input_id)
                if self._begun and self._begun.get(stream) != owner:
                    self._end_line(stream)
                text = harmless(line.text) if stream.isatty() else line.text
                stream.write(text if line.goes_on else text + "\n")
                if line.goes_on:
                    self._begun[stream] = owner
                elif self._begun:
                    self._begun.pop(stream, None)
            self._out.flush()
            self._err.flush()

    def notice(self, notice: Notice) -> None:
        if notice.warning or not self._quiet:
            self._say(("warning: " if notice.warning else "") + notice.text)

    def step(self, text: str) -> None:
        if not self._quiet:
            self._say(text)

    def detail(self, text: str) -> None:
        if self._verbose and not self._quiet:
            self._say(f"  {text}")

    def build(self, image: str) -> Build:
        return _PlainBuild(self, self._verbose)

    def progress(self, name: str, total: int | None) -> Progress:
        return NoProgress()

    def close(self) -> None:
        with self._lock:
            for stream in list(self._begun):
                self._end_line(stream)
                stream.flush()

    def _end_line(self, stream: ScreenStream) -> None:
        if self._begun.pop(stream, None) is not None:
            stream.write("\n")

    def _say(self, text: str) -> None:
        with self._lock:
            self._end_line(self._err)
            self._err.write(f"wherry: {harmless(text)}\n")
            self._err.flush()


class Cells(Plain):
    """What notebooks show unless an output is enabled: what containers print, and warnings."""

    def __init__(self) -> None:
        super().__init__(quiet=True)


class Steps(Silent):
    """What is done and waited for, as plain lines on stderr; nothing of what containers print."""

    def __init__(self) -> None:
        self._plain = Plain()

    def notice(self, notice: Notice) -> None:
        self._plain.notice(notice)

    def step(self, text: str) -> None:
        self._plain.step(text)

    def build(self, image: str) -> Build:
        return self._plain.build(image)


class _PlainBuild:
    """A build's lines, as they come: those of two builds at once mix."""

    def __init__(self, plain: Plain, verbose: bool) -> None:
        self._plain = plain
        self._verbose = verbose
        self._reason = ""

    def because(self, reason: str) -> None:
        self._reason = f", because {reason}"

    def line(self, text: str) -> None:
        self._plain.detail(text)

    def layer(self, step: ImageStepEnd) -> None:
        if self._verbose or not step.cached:
            self._plain.step(f"  {describe(step)}")

    def end(self, image_id: str, seconds: float) -> None:
        self._plain.step(f"Built image {image_id} in {seconds:.1f} s{self._reason}")

    def abandon(self) -> None:
        """What went wrong is said by an error."""
