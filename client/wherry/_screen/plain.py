"""Output as plain lines: what a pipe or a file gets. One of the two streams may be a terminal nevertheless."""

import sys
import threading
from collections.abc import Callable, Sequence
from typing import TextIO

from wherry._screen.harmless import harmless
from wherry._screen.output import Build, NoBuild, NoProgress, Progress, Silent, Transfer, Waiting, cut, describe
from wherry._screen.pace import Pace, span
from wherry._screen.stream import ScreenStream
from wherry._screen.ticker import Ticker
from wherry_proto.messages import ImageStepEnd, LogLine, Notice, Stream

# What containers print to be read by programs; the service's own words are for people.
_PRINTED = (Stream.STDOUT, Stream.UNSPECIFIED)
# Seconds after which something that is waited for is told, and after which it is told again.
_WAITED_S = 3.0
_WAITED_AGAIN_S = 30.0


class Plain:
    """Containers' lines go to the stream they were printed on; everything else to stderr."""

    def __init__(
        self,
        *,
        quiet: bool = False,
        verbose: bool = False,
        out: TextIO | None = None,
        err: TextIO | None = None,
        waited_s: float = _WAITED_S,
        on_gone: Callable[[], None] = lambda: None,
    ) -> None:
        self._quiet = quiet
        # Whether it is told what functions wait for.
        self._tells_waits = not quiet
        self._verbose = verbose
        # Seconds after which it is told that something is waited for.
        self._waited_s = waited_s
        self._out = ScreenStream(out or sys.stdout, on_gone)
        self._err = ScreenStream(err or sys.stderr)
        self._lock = threading.Lock()
        # Whose line has begun and goes on, by where it was written.
        self._begun: dict[ScreenStream, tuple[str, str]] = {}
        self._ticker = Ticker(self._say)
        # What each function was last said to wait for, and after how many seconds.
        self._waits: dict[str, tuple[str, float]] = {}

    def log(self, lines: Sequence[LogLine]) -> None:
        with self._lock:
            for line in lines:
                stream = self._out if line.stream in _PRINTED else self._err
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
        if notice.waits:
            self._wait(notice)
        elif notice.warning or not self._quiet:
            self._say(("warning: " if notice.warning else "") + notice.text)

    def _wait(self, notice: Notice) -> None:
        if notice.over:
            self._waits.pop(notice.function_id, None)
        elif self._tells_waits and notice.seconds >= self._waited_s:
            text, at = self._waits.get(notice.function_id, ("", 0.0))
            if text != notice.text or notice.seconds - at >= _WAITED_AGAIN_S:
                self._waits[notice.function_id] = (notice.text, notice.seconds)
                self._say(f"{notice.text} ({span(notice.seconds)})")

    def begin(self, text: str) -> None:
        self.step(text)

    def step(self, text: str) -> None:
        if not self._quiet:
            self._say(text)

    def closing(self, text: str) -> None:
        self.step(text)

    def detail(self, text: str) -> None:
        if self._verbose and not self._quiet:
            self._say(f"  {text}")

    def build(self, image: str, wanted_by: str = "", several: bool = False) -> Build:
        return NoBuild() if self._quiet else _PlainBuild(self, self._ticker, self._verbose, image, wanted_by, several)

    def progress(self, name: str, total: int | None) -> Progress:
        return NoProgress() if self._quiet else _PlainProgress(self._ticker, name, Pace(total))

    def transfer(self, what: str, size: int) -> Transfer:
        return NoProgress() if self._quiet else _PlainTransfer(self._ticker, what, Pace(size))

    def waiting(self, what: str) -> Waiting:
        return NoProgress() if self._quiet else _PlainWaiting(self._ticker, what, self._waited_s)

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
    """What notebooks show unless an output is enabled: what containers print, warnings, and what is waited for."""

    def __init__(self, waited_s: float = _WAITED_S) -> None:
        super().__init__(quiet=True, waited_s=waited_s)
        self._tells_waits = True

    def waiting(self, what: str) -> Waiting:
        return _PlainWaiting(self._ticker, what, self._waited_s)


class Steps(Silent):
    """What is done and waited for, as plain lines on stderr; nothing of what containers print."""

    def __init__(self) -> None:
        self._plain = Plain()

    def notice(self, notice: Notice) -> None:
        self._plain.notice(notice)

    def begin(self, text: str) -> None:
        self._plain.begin(text)

    def step(self, text: str) -> None:
        self._plain.step(text)

    def closing(self, text: str) -> None:
        self._plain.closing(text)

    def build(self, image: str, wanted_by: str = "", several: bool = False) -> Build:
        return self._plain.build(image, wanted_by, several)

    def transfer(self, what: str, size: int) -> Transfer:
        return self._plain.transfer(what, size)

    def waiting(self, what: str) -> Waiting:
        return self._plain.waiting(what)


class _PlainBuild:
    """A build's lines, as they come; those of two builds at once mix, each with whose it is."""

    def __init__(self, plain: Plain, ticker: Ticker, verbose: bool, image: str, wanted_by: str, several: bool) -> None:
        self._plain = plain
        self._ticker = ticker
        self._verbose = verbose
        self._prefix = f"[{wanted_by}] " if several and wanted_by else ""
        self._for = f" for {wanted_by}" if wanted_by else ""
        self._reason = ""
        self._doing = ""
        pace = Pace(None)
        what = f"the image of {wanted_by}" if wanted_by else cut(image)
        self._at = ""
        ticker.add(self, lambda: f"building {what}, {self._at}{span(pace.seconds)}{self._doing}")

    def at(self, number: int, count: int) -> None:
        self._at = f"step {number} of {count}, "

    def because(self, reason: str) -> None:
        self._reason = f", because {reason}"

    def line(self, text: str) -> None:
        self._doing = f": {cut(' '.join(text.split()))}"
        self._plain.detail(self._prefix + text)

    def layer(self, step: ImageStepEnd) -> None:
        if self._verbose or not step.cached:
            self._plain.step(f"  {self._prefix}{describe(step)}")

    def end(self, image_id: str, seconds: float) -> None:
        self.abandon()
        self._plain.step(f"Built image {image_id}{self._for} in {seconds:.1f} s{self._reason}")

    def abandon(self) -> None:
        self._ticker.remove(self)


class _PlainProgress:
    """A map's lines, one from time to time."""

    def __init__(self, ticker: Ticker, name: str, pace: Pace) -> None:
        self._ticker = ticker
        self._pace = pace
        self.advance = pace.advance
        ticker.add(self, lambda: f"{name}: {pace.inputs()}")

    def failed(self) -> None:
        self._pace.failed += 1

    def end(self) -> None:
        self._ticker.remove(self)


class _PlainTransfer:
    """A transfer's lines, likewise."""

    def __init__(self, ticker: Ticker, what: str, pace: Pace) -> None:
        self._ticker = ticker
        self.advance = pace.advance
        ticker.add(self, lambda: f"{what}: {pace.bytes()}")

    def end(self) -> None:
        self._ticker.remove(self)


class _PlainWaiting:
    """Is told once it takes some seconds, and again from time to time."""

    def __init__(self, ticker: Ticker, what: str, waited_s: float) -> None:
        self._ticker = ticker
        pace = Pace(None)
        ticker.add(self, lambda: f"{what} ({span(pace.seconds)})", waited_s)

    def end(self) -> None:
        self._ticker.remove(self)
