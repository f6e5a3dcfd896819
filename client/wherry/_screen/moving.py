"""What moves below all that a terminal has printed: builds and what is waited for, bars of maps and transfers."""

import threading
from collections.abc import Callable
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, SpinnerColumn, Task, TaskID, TextColumn
from rich.progress import Progress as Moving
from rich.table import Column
from rich.text import Text

from wherry._screen.harmless import harmless
from wherry._screen.output import cut, describe
from wherry._screen.pace import Pace, span
from wherry_proto.messages import ImageStepEnd

# Seconds after which something that is waited for is shown.
_SHOWN_AFTER_S = 1.0
_MOST_OF_A_NAME = 24


class Below(Protocol):
    """The terminal, as what moves needs it."""

    def show(
        self, moving: Moving, description: str, total: int | None, words: Callable[[], str], doing: Callable[[], str], /
    ) -> TaskID:
        """Keep a line moving."""

    def hide(self, moving: Moving, task: TaskID, /) -> None:
        """Take it away."""

    def lines(self, *lines: Text) -> None:
        """Print lines with nothing of others between them."""

    def detail(self, text: str, /) -> None:
        """Print something that is of interest to few."""


class _Words(ProgressColumn):
    """What is told of a task in words, as it stands when the line is drawn."""

    def __init__(self, column: Column) -> None:
        super().__init__(column)
        self.max_refresh = None

    def render(self, task: Task) -> Text:
        return Text(harmless(task.fields["words"]()), style="dim")


class _Doing(ProgressColumn):
    """What a task does just now, as far as there is room for it."""

    def __init__(self, column: Column) -> None:
        super().__init__(column)
        self.max_refresh = None

    def render(self, task: Task) -> Text:
        return Text(harmless(task.fields["doing"]()), style="dim")


def bars(console: Console) -> Moving:
    """Return what shows bars: a name, how far it has come, and how fast."""
    return Moving(
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
        BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=4)),
        _Words(Column(no_wrap=True)),
        console=console,
        expand=True,
    )


def spinners(console: Console) -> Moving:
    """Return what shows that something goes on that has no measure: its name, for how long, and its last words."""
    return Moving(
        SpinnerColumn(),
        # First: where the line is too long, it is the rest that is cut.
        _Words(Column(no_wrap=True, justify="right", min_width=4)),
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
        _Doing(Column(ratio=1, no_wrap=True, overflow="ellipsis")),
        console=console,
        expand=True,
    )


class MovingBuild:
    """One image's build: a line that moves, and the tree of its layers when it is there."""

    def __init__(self, below: Below, moving: Moving, image: str, wanted_by: str, several: bool, verbose: bool) -> None:
        self._below = below
        self._moving = moving
        self._verbose = verbose
        self._for = f" for {wanted_by}" if wanted_by else ""
        self._prefix = f"[{wanted_by}] " if several and wanted_by else ""
        self._layers: list[ImageStepEnd] = []
        self._reason = ""
        self._doing = ""
        pace = Pace(None)
        what = f"Building the image of {wanted_by}" if wanted_by else f"Building {image}"
        self._at = ""
        self._task: TaskID | None = below.show(
            moving, cut(what), None, lambda: f"{self._at}{span(pace.seconds)}", lambda: self._doing
        )

    def at(self, number: int, count: int) -> None:
        self._at = f"{number}/{count} "

    def line(self, text: str) -> None:
        if self._task is not None:
            self._doing = " ".join(Text.from_ansi(harmless(text)).plain.split())
        if self._verbose:
            self._below.detail(self._prefix + text)

    def because(self, reason: str) -> None:
        self._reason = f", because {reason}"

    def layer(self, step: ImageStepEnd) -> None:
        self._layers.append(step)

    def end(self, image_id: str, seconds: float) -> None:
        self.abandon()
        built = harmless(f"Built image {image_id}{self._for} in {seconds:.1f} s")
        head = Text.assemble(("├── ", "dim"), built, (harmless(self._reason), "dim"))
        branches = ["│   ├── "] * (len(self._layers) - 1) + ["│   └── "]
        self._below.lines(
            head,
            *(
                Text.assemble((branch, "dim"), (harmless(describe(step)), "dim" if step.cached else ""))
                for branch, step in zip(branches, self._layers, strict=False)
            ),
        )

    def abandon(self) -> None:
        if self._task is not None:
            self._below.hide(self._moving, self._task)
            self._task = None


class _Measured:
    """A bar; its steps are gathered: it can't follow 30,000 of them a second."""

    def __init__(self, below: Below, moving: Moving, what: str, pace: Pace, words: Callable[[], str]) -> None:
        self._below = below
        self._moving = moving
        self._pace = pace
        self._task: TaskID | None = below.show(moving, cut(what, _MOST_OF_A_NAME), pace.total, words, str)

    def end(self) -> None:
        if self._task is not None:
            self._below.hide(self._moving, self._task)
            self._task = None


class Bar(_Measured):
    """One map's."""

    def __init__(self, below: Below, moving: Moving, name: str, pace: Pace) -> None:
        super().__init__(below, moving, name, pace, pace.inputs)

    def advance(self) -> None:
        self._pace.advance()
        if (self._pace.done & 63 == 0 or self._pace.done < 64) and self._task is not None:
            self._moving.update(self._task, completed=self._pace.done)

    def failed(self) -> None:
        self._pace.failed += 1


class MovingTransfer(_Measured):
    """One upload's, or download's."""

    def __init__(self, below: Below, moving: Moving, what: str, pace: Pace) -> None:
        super().__init__(below, moving, what, pace, pace.bytes)

    def advance(self, size: int) -> None:
        self._pace.advance(size)
        if self._task is not None:
            self._moving.update(self._task, completed=self._pace.done)


class MovingWait:
    """A line on something that is waited for, once that takes longer than a moment."""

    def __init__(
        self, below: Below, moving: Moving, what: str, after_s: float = _SHOWN_AFTER_S, waited_s: float = 0.0
    ) -> None:
        self.what = what
        self._below = below
        self._moving = moving
        self._waited_s = waited_s
        self._pace = Pace(None)
        self._lock = threading.Lock()
        self._task: TaskID | None = None
        self._over = False
        self._timer: threading.Timer | None = None
        if after_s:
            self._timer = threading.Timer(after_s, self._show)
            self._timer.daemon = True
            self._timer.start()
        else:
            self._show()

    def _show(self) -> None:
        with self._lock:
            if not self._over:
                self._task = self._below.show(
                    self._moving, self.what, None, lambda: span(self._waited_s + self._pace.seconds), str
                )

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        with self._lock:
            self._over = True
            task, self._task = self._task, None
        if task is not None:
            self._below.hide(self._moving, task)
