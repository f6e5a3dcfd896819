"""BuildKit's plain progress, turned into lines for people."""

import re
from collections.abc import Callable, Mapping, Sequence

_STEP = re.compile(r"#(\d+) \[(?:[^\]]*?([^\s\]]+) )?\s*(\d+)/\d+\] ")
_OUTPUT = re.compile(r"#(\d+) \d+\.\d+ ?(.*)")
_ERROR = re.compile(r"#(\d+) ERROR: (.*)")
_FAILED = re.compile(r"^(?:ERROR|error): (.*)|^.*failed to solve.*?: (.*)")
_DONE = re.compile(r"#(\d+) (?:DONE (\d+\.\d+)s|(CACHED))$")
_TAIL_LINES = 30

Titles = Sequence[str] | Mapping[tuple[str, int], str]
OnLog = Callable[[str], None]
OnStep = Callable[[str, float, bool], None]
"""Hears of a step that has ended: what a person calls it, its seconds, whether it was taken from an earlier build."""
OnBegun = Callable[[int], None]
"""Hears that a step has begun: the how manieth it is of those that have a title, counted from 1."""


class Progress:
    """Hears BuildKit's lines; `titles` are the instructions after FROM, as a person calls them.

    Of a Dockerfile of the user's they are by stage and place there; what has none is called what BuildKit calls it.
    """

    def __init__(
        self,
        titles: Titles,
        on_log: OnLog,
        on_step: OnStep = lambda title, seconds, cached: None,
        on_begun: OnBegun = lambda number: None,
    ) -> None:
        self._titles = titles
        self._on_log = on_log
        self._on_step = on_step
        self._on_begun = on_begun
        self._by_number: dict[str, str] = {}
        self._tails: dict[str, list[str]] = {}
        self._other: list[str] = []
        self._failed = ""
        self._reason = ""

    def line(self, line: str) -> None:
        """Hear one line."""
        if match := _STEP.match(line):
            self._begin(match[1], match[2] or "", int(match[3]), line[match.end() :])
        elif match := _DONE.match(line):
            if title := self._by_number.get(match[1]):
                self._on_step(title, float(match[2] or 0), bool(match[3]))
        elif match := _ERROR.match(line):
            self._failed, self._reason = match[1], match[2]
        elif match := _OUTPUT.match(line):
            self._output(match[1], match[2])
        elif match := _FAILED.match(line):
            self._reason = self._reason or match[1] or match[2]
            self._remember(self._other, line)
        elif line and not line.startswith("#"):
            self._remember(self._other, line)

    def reason(self) -> str:
        """Return what failed, in one line."""
        title = self._by_number.get(self._failed)
        reason = self._reason or (self._other[-1] if self._other else "the builder gave no reason")
        return f"`{title}` failed: {_short(reason)}" if title else _short(reason)

    def tail(self) -> list[str]:
        """Return the last lines of what failed."""
        # What is said outside of a step repeats its command.
        return self._tails.get(self._failed, [] if self._failed in self._by_number else self._other)

    def _begin(self, number: str, stage: str, position: int, said: str) -> None:
        if number in self._by_number:
            return
        if isinstance(self._titles, Mapping):
            self._by_number[number] = self._titles.get((stage, position), said)
        elif 2 <= position < len(self._titles) + 2:
            self._by_number[number] = self._titles[position - 2]
        else:
            return
        # BuildKit runs stages of a Dockerfile side by side: their own numbers would jump.
        self._on_begun(len(self._by_number))
        self._on_log(self._by_number[number])

    def _output(self, number: str, text: str) -> None:
        if number in self._by_number and text.strip():
            self._on_log(f"  {text}")
        self._remember(self._tails.setdefault(number, []), text)

    @staticmethod
    def _remember(lines: list[str], line: str) -> None:
        lines.append(line)
        del lines[:-_TAIL_LINES]


def _short(reason: str) -> str:
    # BuildKit repeats the whole command before it says how it ended.
    after_command = re.search(r"failed running \[.*\]: (.*)$", reason)
    exit_code = re.search(r"exit code: \d+$", reason)
    return exit_code[0] if exit_code else after_command[1] if after_command else reason
