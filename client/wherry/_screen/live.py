"""Output on a terminal: a tree of what was made, containers' lines in colour, and what moves below them."""

import sys
import threading
from collections.abc import Callable, Sequence
from typing import TextIO, cast

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.control import Control
from rich.live import Live
from rich.progress import Progress as Moving
from rich.progress import TaskID
from rich.segment import ControlType
from rich.text import Text

from wherry._screen.harmless import harmless
from wherry._screen.moving import Bar, MovingBuild, MovingTransfer, MovingWait, bars, spinners
from wherry._screen.output import Build, NoBuild, NoProgress, Progress, Transfer, Waiting
from wherry._screen.pace import Pace
from wherry._screen.stream import ScreenStream
from wherry_proto.messages import LogLine, Notice, Stream

# A longer one that has begun is printed instead of being shown with what moves.
_LONGEST_BELOW = 500
# Bars of several containers that are shown at the same time: those that moved last. The others move on unseen, and are
# shown as they end; of very many the oldest is left as it is.
_MOST_SHOWN = 8
_MOST_KEPT = 1000


# large: the console, and what is said of all that is on it.
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
        self._bars = bars(self._console)
        self._spinners = spinners(self._console)
        # What each function is said to wait for.
        self._waits: dict[str, MovingWait] = {}
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
        if notice.waits:
            self._wait(notice)
        elif notice.warning or not self._quiet:
            self._print_line(Text(harmless(notice.text), style="yellow" if notice.warning else "dim"))

    def _wait(self, notice: Notice) -> None:
        before = self._waits.pop(notice.function_id, None)
        if before is not None and before.what == notice.text and not notice.over:
            self._waits[notice.function_id] = before
            return
        if not notice.over and not self._quiet:
            self._waits[notice.function_id] = MovingWait(self, self._spinners, notice.text, 0.0, notice.seconds)
        # After the other is there: what moves goes on moving.
        if before is not None:
            before.end()

    def begin(self, text: str) -> None:
        if not self._quiet:
            self._print_line(Text(harmless(text)))

    def closing(self, text: str) -> None:
        if not self._quiet:
            self._print_line(Text.assemble(("└── ", "dim"), harmless(text)))

    def step(self, text: str) -> None:
        if not self._quiet:
            self._print_line(Text.assemble(("├── ", "dim"), harmless(text)))

    def detail(self, text: str) -> None:
        if self._verbose and not self._quiet:
            self._print_line(Text.assemble(("│   ", "dim"), (harmless(text), "dim")))

    def build(self, image: str, wanted_by: str = "", several: bool = False) -> Build:
        if self._quiet:
            return NoBuild()
        return MovingBuild(self, self._spinners, image, wanted_by, several, self._verbose)

    def progress(self, name: str, total: int | None) -> Progress:
        return NoProgress() if self._quiet else Bar(self, self._bars, name, Pace(total))

    def transfer(self, what: str, size: int) -> Transfer:
        return NoProgress() if self._quiet else MovingTransfer(self, self._bars, what, Pace(size))

    def waiting(self, what: str) -> Waiting:
        return NoProgress() if self._quiet else MovingWait(self, self._spinners, what)

    def show(
        self, moving: Moving, description: str, total: int | None, words: Callable[[], str], doing: Callable[[], str]
    ) -> TaskID:
        """Keep a line moving below all that is printed, until it is hidden; `words` and `doing` are asked each time."""
        with self._lock:
            task = moving.add_task(harmless(description), total=total, words=words, doing=doing)
            self._moving += 1
            if self._live is None:
                with self._writing:
                    self._erase()
                    shown = Group(self._below, self._spinners, self._bars)
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
        for wait in self._waits.values():
            wait.end()
        self._waits.clear()
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
    elif stream == Stream.SYSTEM:
        part.stylize("dim")
    return part
