"""Output on a terminal: a tree of what was made, containers' lines in colour, and bars for maps."""

import threading
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.text import Text

from wherry._output.output import NoProgress, Progress, describe
from wherry_proto.messages import ImageStepEnd, LogLine, Notice, Stream


class Terminal:
    """Everything goes through one console, so that bars and lines do not run into each other."""

    def __init__(self, *, quiet: bool = False, verbose: bool = False, console: Console | None = None) -> None:
        self._quiet = quiet
        self._verbose = verbose
        self._console = console or Console()
        self._lock = threading.Lock()
        self._bars: Bars | None = None
        self._open_bars = 0

    def log(self, lines: Sequence[LogLine]) -> None:
        text = Text()
        for line in lines:
            # Lines keep their own escape sequences.
            part = Text.from_ansi(line.text) if "\x1b" in line.text else Text(line.text)
            if line.stream == Stream.STDERR:
                part.stylize("yellow")
            text.append_text(part)
            if not line.goes_on:
                text.append("\n")
        self._console.print(text, end="", soft_wrap=True)

    def notice(self, notice: Notice) -> None:
        if notice.warning or not self._quiet:
            self._console.print(Text(notice.text, style="yellow" if notice.warning else "dim"), soft_wrap=True)

    def step(self, text: str) -> None:
        if not self._quiet:
            self._console.print(Text.assemble(("├── ", "dim"), text), soft_wrap=True)

    def detail(self, text: str) -> None:
        if self._verbose and not self._quiet:
            self._console.print(Text.assemble(("│   ", "dim"), (text, "dim")), soft_wrap=True)

    def layer(self, step: ImageStepEnd) -> None:
        if not self._quiet and (self._verbose or not step.cached):
            self._console.print(Text.assemble(("│   ├── ", "dim"), describe(step)), soft_wrap=True)

    def progress(self, name: str, total: int | None) -> Progress:
        if self._quiet:
            return NoProgress()
        with self._lock:
            if self._bars is None:
                self._bars = Bars(
                    TextColumn("{task.description}"),
                    BarColumn(),
                    MofNCompleteColumn(),
                    TimeRemainingColumn(),
                    console=self._console,
                    transient=True,
                )
                self._bars.start()
            self._open_bars += 1
            return _Bar(self, self._bars, self._bars.add_task(name, total=total))

    def ended(self, task: TaskID) -> None:
        with self._lock:
            if self._bars is None:
                return
            self._bars.remove_task(task)
            self._open_bars -= 1
            if not self._open_bars:
                self._bars.stop()
                self._bars = None

    def close(self) -> None:
        with self._lock:
            if self._bars is not None:
                self._bars.stop()
                self._bars = None


class _Bar:
    """One map's bar. Steps are gathered: a bar can't follow 30,000 of them a second."""

    def __init__(self, terminal: Terminal, bars: Bars, task: TaskID) -> None:
        self._terminal = terminal
        self._bars = bars
        self._task = task
        self._steps = 0

    def advance(self) -> None:
        self._steps += 1
        if self._steps & 63 == 0 or self._steps < 64:
            self._bars.update(self._task, completed=self._steps)

    def end(self) -> None:
        self._terminal.ended(self._task)
