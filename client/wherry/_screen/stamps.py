"""The time in front of each line that containers print."""

from collections.abc import Sequence
from typing import Any

from wherry._screen.output import Output
from wherry_proto.messages import LogLine
from wherry_proto.times import stamp


class Stamped:
    """An output that shows what containers print with its time; all else it leaves to the output below."""

    def __init__(self, below: Output) -> None:
        self._below = below
        # Whose line has begun and goes on, and whether what comes next replaces it.
        self._begun: dict[tuple[str, int, str], bool] = {}

    def log(self, lines: Sequence[LogLine]) -> None:
        """Show lines with their times; a line that comes in pieces has one, and one more after each "\\r"."""
        self._below.log([self._stamped(line) for line in lines])

    def _stamped(self, line: LogLine) -> LogLine:
        at = stamp(line.at_ms)
        owner = (line.container_id, line.stream, line.input_id)
        begins = self._begun.pop(owner, True)
        if line.goes_on:
            self._begun[owner] = line.text.endswith("\r")
        head, *states = line.text.split("\r")
        head = f"{at} {head}" if begins and (head or not states) else head
        text = "\r".join([head, *(f"{at} {state}" if state else "" for state in states)])
        return LogLine(
            text=text,
            stream=line.stream,
            at_ms=line.at_ms,
            container_id=line.container_id,
            input_id=line.input_id,
            goes_on=line.goes_on,
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._below, name)
