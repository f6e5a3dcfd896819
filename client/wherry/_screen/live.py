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
# Bars of several containers that are shown at the same time: those that moved last. The others move on unseen, and are
# shown as they end; of very many the oldest is left as it is.
_MOST_SHOWN = 8
_MOST_KEPT = 1000


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
        # All bars that have not ended, by whose they are: after others' lines they move on with their next state.
        self._unended: dict[_Owner, _Begun] = {}
        # The lines that have not ended, while something moves.
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
                is_whole = not line.goes_on and self._begun is None and "\r" not in line.text
                if is_whole and owner not in self._unended:
                    text.append_text(_shown(line.stream, line.text))
                    text.append("\n")
                    continue
                if self._begun is not None and self._begun.owner != owner:
                    self._print(text)
                    text = Text()
                    self._leave_line()
                self._print(text)
                text = Text()
                self._piece(owner, line)
            self._print(text)

    def _piece(self, owner: "_Owner", line: LogLine) -> None:
        """Show a line that has begun, or what changes it."""
        begun = self._begun or self._taken_up(owner)
        self._begun = begun
        more = line.text.rstrip("\r")
        if more:
            state = more[more.rfind("\r") + 1 :]
            if begun.returned or len(state) < len(more):
                self._erase()
                begun.text = Text()
                # The one that moved last is the last.
                self._unended.pop(owner, None)
                self._unended[owner] = begun
            piece = _shown(line.stream, state)
            begun.text.append_text(piece)
            # What moves at the bottom has the cursor: there the line is shown with it.
            if self._live is None:
                self._print(piece)
            begun.returned = False
        begun.returned |= len(more) < len(line.text)
        if not line.goes_on or (self._live is not None and len(begun.text) > _LONGEST_BELOW):
            self._end_line()
        self._show_below()

    def _taken_up(self, owner: "_Owner") -> "_Begun":
        """Return the line of this owner, with the cursor at its end: its bar, or a new one."""
        begun = self._unended.get(owner)
        if begun is None:
            return _Begun(owner, Text())
        if self._live is None:
            self._print(begun.text)
        return begun

    def _leave_line(self) -> None:
        """Make room for others' lines: a bar will move on, another line that has begun ends here."""
        begun = self._begun
        if begun is None or begun.owner not in self._unended:
            self._end_line()
            return
        self._erase()
        self._begun = None
        if len(self._unended) > _MOST_KEPT:
            self._print(Text.assemble(self._unended.pop(next(iter(self._unended))).text, "\n"))

    def _end_line(self) -> None:
        begun, self._begun = self._begun, None
        if begun is not None:
            self._unended.pop(begun.owner, None)
            self._show_below()
            self._print(Text.assemble("" if self._live is None else begun.text, "\n"))

    def _show_below(self) -> None:
        if self._live is None:
            self._below.lines = []
            return
        shown = list(self._unended.values())[-_MOST_SHOWN:]
        lines = [bar.text.copy() for bar in sorted(shown, key=lambda bar: bar.owner)]
        if self._begun is not None and self._begun.owner not in self._unended:
            lines.append(self._begun.text.copy())
        self._below.lines = lines

    def _erase(self) -> None:
        if self._live is None and self._begun is not None and self._begun.text:
            self._console.control(Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2)))

    def _print(self, text: Text) -> None:
        if text:
            self._console.print(text, end="", soft_wrap=True)

    def _print_line(self, text: Text) -> None:
        with self._writing:
            self._leave_line()
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
                    shown = Group(self._below, self._builds, self._bars)
                    self._live = Live(shown, console=self._console, transient=True)
                    self._show_below()
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
            for bar in self._unended.values():
                self._print(Text.assemble(bar.text, "\n"))
            self._unended.clear()

    def _stop(self) -> None:
        with self._writing:
            if self._live is not None:
                self._live.stop()
                self._live = None
                self._show_below()
                if self._begun is not None:
                    self._print(self._begun.text)


# A container, one of its streams, an input.
_Owner = tuple[str, int, str]


class _Begun:
    """A line that goes on."""

    def __init__(self, owner: _Owner, text: Text) -> None:
        self.owner = owner
        # As it is shown.
        self.text = text
        # What comes replaces it: the cursor is at its beginning.
        self.returned = False


class _Below:
    """The lines that have not ended, as a part of what moves; nothing where there are none."""

    def __init__(self) -> None:
        self.lines: list[Text] = []

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from (line for line in self.lines if line)


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
