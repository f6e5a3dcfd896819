"""Lines on their way into the store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from wherry_proto.messages import LogLine

LogRow = tuple[int, str, int, str, bool]
"""Stream (1, 2; 3 for the service's own words), input id or "", milliseconds since 1970, text without its newline,
whether the line goes on in the next row of that stream and input."""

# What a line weighs beside its text, wherever lines are bounded by bytes.
LINE_BYTES = 64


@dataclass(frozen=True, slots=True)
class LogBatch:
    """Rows of one container, in order, as they came together."""

    app_id: str
    function_id: str
    container_id: str
    rows: Sequence[LogRow]
    # Of the inputs that are named: their calls, as far as they are known.
    calls: Mapping[str, str] = field(default_factory=dict)
    # Where the first row stands among all lines of the service; the others follow it.
    position: int = 0

    @property
    def size(self) -> int:
        """What it weighs, in bytes."""
        return sum(len(row[3]) for row in self.rows) + LINE_BYTES * len(self.rows)

    def lines(self) -> list[LogLine]:
        """Return the rows as a client gets them."""
        return [
            LogLine(
                app_id=self.app_id,
                function_id=self.function_id,
                container_id=self.container_id,
                input_id=input_id,
                stream=stream,
                text=text,
                at_ms=at_ms,
                call_id=self.calls.get(input_id, "") if input_id else "",
                position=position,
                goes_on=goes_on,
            )
            for position, (stream, input_id, at_ms, text, goes_on) in enumerate(self.rows, self.position)
        ]
