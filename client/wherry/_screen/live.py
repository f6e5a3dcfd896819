"""Output on a terminal: a tree of what was made, containers' lines in colour, and what moves below them."""

import sys
import threading
from collections.abc import Sequence
from typing import TextIO, cast

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.control import Control
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Moving
from rich.segment import ControlType
from rich.table import Column
from rich.text import Text

from wherry._screen.harmless import harmless
from wherry._screen.output import Build, NoBuild, NoProgress, Progress, describe
from wherry._screen.stream import ScreenStream
from wherry_proto.messages import ImageStepEnd, LogLine, Notice, Stream

# A longer one that has begun is printed instead of being shown with what moves.
_LONGEST_BELOW = 500


class Terminal:
    """Everything goes through one console, so that what moves and lines do not run into each other."""

    def __init__(self, *, quiet: bool = False, verbose: bool = False, console: Console | None = None) -> None:
        self._quiet = quiet
        self._verbose = verbose
        self._console = console or Console(file=cast("TextIO", ScreenStream(sys.stdout)))
        self._lock = threading.Lock()
        # Whoever writes has this one; it is taken after the other.
        self._writing = threading.RLock()
        self._begun: _Begun | None = None
        # The line that has begun, while something moves.
        self._below = _Below()
        self._bars = Moving(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
        )
        self._builds = Moving(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            TextColumn(
                "{task.fields[doing]}",
                style="dim",
                markup=False,
                table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
            ),
            console=self._console,
            expand=True,
        )
        # One at a time is all that a console can keep moving.
        self._live: Live | None = None
        self._moving = 0

    def log(self, lines: Sequence[LogLine]) -> None:
        with self._writing:
            text = Text()
            for line in lines:
                owner = (line.container_id, line.stream, line.input_id)
                if not line.goes_on and self._begun is None and "\r" not in line.text:
                    text.append_text(_shown(line.stream, line.text))
                    text.append("\n")
                    continue
                if self._begun is not None and self._begun.owner != owner:
                    self._print(text)
                    text = Text()
                    self._end_line()
                self._print(text)
                text = Text()
                self._piece(owner, line)
            self._print(text)

    def _piece(self, owner: tuple[str, int, str], line: LogLine) -> None:
        """Show a line that has begun, or what changes it."""
        begun = self._begun or _Begun(owner, Text())
        self._begun = begun
        more = line.text.rstrip("\r")
        if more:
            state = more[more.rfind("\r") + 1 :]
            if begun.returned or len(state) < len(more):
                self._erase()
                begun.text = Text()
            piece = _shown(line.stream, state)
            begun.text.append_text(piece)
            # What moves at the bottom has the cursor: there the line is shown with it.
            if self._live is None:
                self._print(piece)
            begun.returned = False
        begun.returned |= len(more) < len(line.text)
        if not line.goes_on:
            self._end_line()
        elif self._live is not None:
            self._below.text = begun.text.copy()
            if len(begun.text) > _LONGEST_BELOW:
                self._end_line()

    def _end_line(self) -> None:
        begun, self._begun = self._begun, None
        if begun is not None:
            self._below.text = Text()
            self._print(Text.assemble("" if self._live is None else begun.text, "\n"))

    def _erase(self) -> None:
        if self._live is None and self._begun is not None and self._begun.text:
            self._console.control(Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2)))

    def _print(self, text: Text) -> None:
        if text:
            self._console.print(text, end="", soft_wrap=True)

    def _print_line(self, text: Text) -> None:
        with self._writing:
            self._end_line()
            self._console.print(text, soft_wrap=True)

    def notice(self, notice: Notice) -> None:
        if notice.warning or not self._quiet:
            self._print_line(Text(harmless(notice.text), style="yellow" if notice.warning else "dim"))

    def step(self, text: str) -> None:
        if not self._quiet:
            self._print_line(Text.assemble(("├── ", "dim"), harmless(text)))

    def detail(self, text: str) -> None:
        if self._verbose and not self._quiet:
            self._print_line(Text.assemble(("│   ", "dim"), (harmless(text), "dim")))

    def build(self, image: str) -> Build:
        return NoBuild() if self._quiet else _Build(self, self._builds, image, self._verbose)

    def progress(self, name: str, total: int | None) -> Progress:
        return NoProgress() if self._quiet else _Bar(self, self._bars, name, total)

    def show(self, moving: Moving, description: str, total: int | None) -> TaskID:
        """Keep a line moving below all that is printed, until it is hidden."""
        with self._lock:
            task = moving.add_task(harmless(description), total=total, doing="")
            self._moving += 1
            if self._live is None:
                with self._writing:
                    self._erase()
                    if self._begun is not None:
                        self._below.text = self._begun.text.copy()
                    shown = Group(self._below, self._builds, self._bars)
                    self._live = Live(shown, console=self._console, transient=True)
                    self._live.start()
            return task

    def hide(self, moving: Moving, task: TaskID) -> None:
        """Take a line away."""
        with self._lock:
            moving.remove_task(task)
            self._moving -= 1
            if not self._moving:
                self._stop()

    def lines(self, *lines: Text) -> None:
        """Print lines with nothing of others between them."""
        self._print_line(Text("\n").join(lines))

    def close(self) -> None:
        with self._lock:
            self._stop()
        with self._writing:
            self._end_line()

    def _stop(self) -> None:
        with self._writing:
            if self._live is not None:
                self._live.stop()
                self._live = None
                self._below.text = Text()
                if self._begun is not None:
                    self._print(self._begun.text)


class _Begun:
    """A line that goes on."""

    def __init__(self, owner: tuple[str, int, str], text: Text) -> None:
        self.owner = owner
        # As it is shown.
        self.text = text
        # What comes replaces it: the cursor is at its beginning.
        self.returned = False


class _Below:
    """The line that has begun, as a part of what moves; nothing where none has."""

    def __init__(self) -> None:
        self.text = Text()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.text:
            yield self.text


def _shown(stream: int, text: str) -> Text:
    # Lines keep their own colours, and nothing else that steers a terminal.
    text = harmless(text)
    part = Text.from_ansi(text) if "\x1b" in text else Text(text)
    if stream == Stream.STDERR:
        part.stylize("yellow")
    return part


class _Build:
    """One image's build: a line that moves, and the tree of its layers when it is there."""

    def __init__(self, terminal: Terminal, moving: Moving, image: str, verbose: bool) -> None:
        self._terminal = terminal
        self._moving = moving
        self._verbose = verbose
        self._layers: list[ImageStepEnd] = []
        self._reason = ""
        self._task: TaskID | None = terminal.show(moving, f"Building {_short(image)}", None)

    def line(self, text: str) -> None:
        if self._task is not None:
            self._moving.update(self._task, doing=" ".join(Text.from_ansi(harmless(text)).plain.split()))
        if self._verbose:
            self._terminal.detail(text)

    def because(self, reason: str) -> None:
        self._reason = f", because {reason}"

    def layer(self, step: ImageStepEnd) -> None:
        self._layers.append(step)

    def end(self, image_id: str, seconds: float) -> None:
        self.abandon()
        head = Text.assemble(("├── ", "dim"), f"Built image {image_id} in {seconds:.1f} s", (self._reason, "dim"))
        branches = ["│   ├── "] * (len(self._layers) - 1) + ["│   └── "]
        self._terminal.lines(
            head,
            *(
                Text.assemble((branch, "dim"), (harmless(describe(step)), "dim" if step.cached else ""))
                for branch, step in zip(branches, self._layers, strict=False)
            ),
        )

    def abandon(self) -> None:
        if self._task is not None:
            self._terminal.hide(self._moving, self._task)
            self._task = None


class _Bar:
    """One map's bar. Steps are gathered: a bar can't follow 30,000 of them a second."""

    def __init__(self, terminal: Terminal, moving: Moving, name: str, total: int | None) -> None:
        self._terminal = terminal
        self._moving = moving
        self._task = terminal.show(moving, name, total)
        self._steps = 0

    def advance(self) -> None:
        self._steps += 1
        if self._steps & 63 == 0 or self._steps < 64:
            self._moving.update(self._task, completed=self._steps)

    def end(self) -> None:
        self._terminal.hide(self._moving, self._task)


def _short(image: str) -> str:
    return image if len(image) <= 50 else image[:49] + "…"
